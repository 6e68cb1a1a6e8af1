"""The journal of a node: calls that ended, in a file mapped into memory, until the settler has written them down.

A frame is there for other processes as soon as it is written, and after a kill, because the kernel keeps the pages; no
system call is made for it. A power cut may lose the frames of the last moments. Segments have their space reserved
before anybody counts on them, so a full disk is noticed before a vendor is called and not when the answer is there.

Layout: a segment begins with the end of its frames and a mark that it is closed, because the journal goes on in the
next one (8 bytes each, little endian). A frame is the length of its payload (4 bytes), its XXH3 (8 bytes), and the
payload. The end is written last: what is below it is whole.
"""

from __future__ import annotations

import fcntl
import mmap
import os
import threading
from collections import deque
from collections.abc import Callable, Iterator
from contextlib import suppress
from dataclasses import dataclass
from pathlib import Path
from struct import Struct
from time import monotonic
from typing import Any

from xxhash import xxh3_64_intdigest as checksum_of

from yiapi.logs import get_logger

SEGMENT_BYTES = 2 * 1024 * 1024
HEAD_BYTES = 16
FRAME_HEAD_BYTES = 12
CLOSED_AT = 8
FRAME_BYTES = 2048
"""What is kept free for the frame of a call under way; one that is larger takes of the spare room."""
SPARE_BYTES = 64 * 1024
QUIET_S = 0.4
"""After so long without a frame the settler may sleep, and is woken."""

_FRAME = Struct("<IQ")
_NUMBER = Struct("<Q")

log = get_logger()


@dataclass(frozen=True, slots=True, order=True)
class Place:
    """A place in a journal."""

    segment: int
    position: int


BEGINNING = Place(0, HEAD_BYTES)


class Journal:
    """The writing end, used by one thread; ``make_room`` alone may run in another."""

    def __init__(self, folder: Path, name: str, node_id: str, *, segment_bytes: int = SEGMENT_BYTES) -> None:
        self.folder, self.name, self.node_id = folder, name, node_id
        self._segment_bytes = segment_bytes
        self._segment = -1
        self._map: Any = None
        self._at = segment_bytes
        self._spares: deque[mmap.mmap] = deque()
        self._reserved = 0  # changed by make_room alone
        self._used = 0  # changed by append alone
        self._made = 0
        self._making = threading.Lock()
        self._is_closed = False
        self._unwritten: deque[bytes] = deque()
        self._wake: Callable[[], object] = int
        self._last = 0.0
        folder.mkdir(mode=0o700, parents=True, exist_ok=True)
        self._lock = lock(lock_path(folder, name, node_id))

    def wake_with(self, wake: Callable[[], object]) -> None:
        """Say how the settler is woken after a quiet time."""
        self._wake = wake

    def append(self, payload: bytes) -> None:
        """Write a frame. Where there is no space left it waits in memory until ``make_room`` has found some."""
        size = len(payload) + FRAME_HEAD_BYTES
        if (self._unwritten or self._at + size > self._segment_bytes) and not self._go_on(payload):
            return
        at, mapped = self._at, self._map
        mapped[at + FRAME_HEAD_BYTES : at + size] = payload
        _FRAME.pack_into(mapped, at, size - FRAME_HEAD_BYTES, checksum_of(payload))
        self._at = at + size
        _NUMBER.pack_into(mapped, 0, at + size)
        self._used += size
        now = monotonic()
        if now - self._last > QUIET_S:
            self._wake()
        self._last = now

    @property
    def free(self) -> int:
        """Return how many bytes of reserved space no frame has used yet."""
        return self._reserved - self._used

    def needs_room(self, promised: int) -> bool:
        """Whether more space should be reserved, when calls under way may write so many bytes."""
        return self.free < 2 * promised + self._segment_bytes

    def make_room(self, promised: int) -> None:
        """Reserve space for what calls under way may write. Raises OSError when there is none."""
        with self._making:
            while self.needs_room(promised):
                self._spares.append(self._make_segment())
                self._reserved += self._segment_bytes - HEAD_BYTES

    def catch_up(self) -> None:
        """Write the frames that had to wait for space."""
        waiting, self._unwritten = self._unwritten, deque()
        for payload in waiting:
            self.append(payload)

    @property
    def is_whole(self) -> bool:
        """Whether every frame is written."""
        return not self._unwritten

    def poke(self) -> None:
        """Wake the settler: somebody waits for it."""
        self._wake()

    def place(self) -> Place:
        """Return where the next frame will be."""
        return Place(self._segment, self._at) if self._map is not None else BEGINNING

    def close(self) -> None:
        """Let go of the files; what is in them stays."""
        if self._is_closed:
            return
        for mapped in (self._map, *self._spares):
            if mapped is not None:
                mapped.close()
        self._map, self._at, self._is_closed = None, self._segment_bytes, True
        self._spares.clear()
        os.close(self._lock)

    def _make_segment(self) -> mmap.mmap:
        path = segment_path(self.folder, self.name, self.node_id, self._made)
        file = os.open(path, os.O_RDWR | os.O_CREAT | os.O_EXCL, 0o600)
        try:
            os.posix_fallocate(file, 0, self._segment_bytes)
            mapped = mmap.mmap(file, self._segment_bytes)
        except BaseException:
            path.unlink()
            raise
        finally:
            os.close(file)
        self._made += 1
        return mapped

    def _go_on(self, payload: bytes) -> bool:
        """Begin the next segment; False when there is none, and the frame waits."""
        if self._is_closed:
            raise ValueError("the journal is closed")
        if self._unwritten:
            self._unwritten.append(payload)  # frames keep their order
            return False
        if len(payload) + FRAME_HEAD_BYTES + HEAD_BYTES > self._segment_bytes:
            raise ValueError("a frame is larger than a segment")
        if not self._spares:
            try:
                self.make_room(0)
            except OSError as error:
                log.warning("journal_has_no_space", error=str(error), waiting=len(self._unwritten) + 1)
                self._unwritten.append(payload)
                return False
        full, rest = self._map, self._segment_bytes - self._at
        self._map = self._spares.popleft()
        self._segment += 1
        self._at = HEAD_BYTES
        _NUMBER.pack_into(self._map, 0, HEAD_BYTES)
        if full is not None:
            self._used += rest
            _NUMBER.pack_into(full, CLOSED_AT, 1)
            full.close()
        return True


class Reader:
    """The reading end: any process may have one, at any place."""

    def __init__(self, folder: Path, name: str, node_id: str, place: Place = BEGINNING) -> None:
        self._folder, self._name, self._node_id = folder, name, node_id
        self._map: mmap.mmap | None = None
        self.place = place

    def read(self, frames_max: int) -> list[bytes]:
        """Return the next payloads and move behind them; empty where the journal ends for now.

        Raises Damaged, once it has returned what is before it.
        """
        frames: list[bytes] = []
        while len(frames) < frames_max:
            mapped = self._mapped()
            if mapped is None:
                break
            at, end = self.place.position, _NUMBER.unpack_from(mapped, 0)[0]
            if at >= end:
                if not _NUMBER.unpack_from(mapped, CLOSED_AT)[0]:
                    break
                self.move(Place(self.place.segment + 1, HEAD_BYTES))
                continue
            whole, behind = _frames(mapped, at, min(end, len(mapped)), frames_max - len(frames))
            if not whole:
                if frames:
                    break
                raise Damaged(self.place, min(end, len(mapped)), bytes(mapped[at : min(end, len(mapped))]))
            frames += whole
            self.place = Place(self.place.segment, behind)
        return frames

    def move(self, place: Place) -> None:
        """Go on reading elsewhere."""
        if place.segment != self.place.segment:
            self.close()
        self.place = Place(place.segment, max(place.position, HEAD_BYTES))

    def close(self) -> None:
        """Let go of the file."""
        if self._map is not None:
            self._map.close()
            self._map = None

    def _mapped(self) -> mmap.mmap | None:
        if self._map is None:
            path = segment_path(self._folder, self._name, self._node_id, self.place.segment)
            with suppress(FileNotFoundError, ValueError), path.open("rb") as file:  # not there, or without its space
                self._map = mmap.mmap(file.fileno(), 0, access=mmap.ACCESS_READ)
        return self._map


class Damaged(Exception):
    """What is at a place is no frame: ``rest`` is everything up to the end of the segment's frames."""

    def __init__(self, place: Place, end: int, rest: bytes) -> None:
        super().__init__(f"{place} to {end}")
        self.place, self.rest = place, rest
        length, _ = _FRAME.unpack_from(rest.ljust(FRAME_HEAD_BYTES, b"\0"))
        behind = place.position + FRAME_HEAD_BYTES + length
        self.behind = Place(place.segment, behind if length > 0 and behind <= end else end)
        """Where the next frame is, if the length can be believed, else the end of the segment's frames."""


def _frames(mapped: mmap.mmap, at: int, end: int, frames_max: int) -> tuple[list[bytes], int]:
    """Return the payloads of whole frames, and where the one behind them begins, which may be damaged."""
    frames: list[bytes] = []
    while len(frames) < frames_max and at + FRAME_HEAD_BYTES <= end:
        length, checksum = _FRAME.unpack_from(mapped, at)
        start = at + FRAME_HEAD_BYTES
        if not length or start + length > end:
            break
        payload = mapped[start : start + length]
        if checksum_of(payload) != checksum:
            break
        frames.append(payload)
        at = start + length
    return frames, at


# Files


def segment_path(folder: Path, name: str, node_id: str, segment: int) -> Path:
    """Name the file of a segment: the name of the process, its start, and the number of the segment."""
    return folder / f"{name}.{node_id}.{segment:08d}"


def lock_path(folder: Path, name: str, node_id: str) -> Path:
    """Name the file that is locked as long as the writer lives."""
    return folder / f"{name}.{node_id}.lock"


def lock(path: Path) -> int:
    """Lock a file for as long as this process lives, or until it is closed. Raises BlockingIOError."""
    file = os.open(path, os.O_RDWR | os.O_CREAT, 0o600)
    try:
        fcntl.flock(file, fcntl.LOCK_EX | fcntl.LOCK_NB)
    except BaseException:
        os.close(file)
        raise
    return file


def segments_of(folder: Path, name: str, node_id: str) -> list[tuple[int, Path]]:
    """Return the segments of a journal in order."""
    found = ((path.name.rpartition(".")[2], path) for path in folder.glob(f"{name}.{node_id}.*"))
    return sorted((int(number), path) for number, path in found if number.isdigit())


def journals_in(folder: Path) -> list[tuple[str, str]]:
    """Return the (name, node id) of every journal in a folder."""
    found = (path.name.rsplit(".", 2) for path in folder.glob("*.*.*") if path.is_file())
    return sorted({(name, node_id) for name, node_id, last in found if last == "lock" or last.isdigit()})


def written_until(folder: Path, name: str, node_id: str) -> Place:
    """Return where a journal ends by now."""
    return max(_ends(folder, name, node_id), default=BEGINNING)


def _ends(folder: Path, name: str, node_id: str) -> Iterator[Place]:
    for number, path in segments_of(folder, name, node_id):
        with suppress(FileNotFoundError), path.open("rb") as file:
            end = _NUMBER.unpack(file.read(_NUMBER.size).ljust(_NUMBER.size, b"\0"))[0]
            if end > HEAD_BYTES:  # a segment without frames is nowhere to wait for
                yield Place(number, end)
