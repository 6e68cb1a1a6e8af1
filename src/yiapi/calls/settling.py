"""The settler: writes what is in a journal into the books, in one synced transaction for all that is new.

How far a journal is settled is kept in that transaction, so a frame is settled once, whoever reads it, and however
often a settler dies. It runs as a process beside its gateway and ends after it; in a test it is a thread.
"""

from __future__ import annotations

import os
import select
import time
from collections.abc import Iterator, Sequence
from pathlib import Path
from typing import TypeVar

import msgspec

from yiapi.calls import frames, store
from yiapi.calls.courtesy import Courtesy
from yiapi.calls.frames import Answered, Ended, Frame, Returned, Spare
from yiapi.calls.journal import Damaged, Place, Reader, lock_path, segments_of
from yiapi.db import ConflictInDatabase, Connection, RowRefused, Transaction, connect
from yiapi.errors import StorageUnavailable
from yiapi.ledger import Batch, answer_recall, capture_batch, note_spare, release, shrink_allowance
from yiapi.logs import get_logger

FRAMES_MAX = 2000
BATCH_S = 0.009
"""From one batch to the next, the commit of the last one included."""
PAUSE_S_MIN = 0.002
PIECE_CALLS = 12
"""Done at a stretch, a tenth of a millisecond or two: then whoever waits for this processor goes first."""
COURTEOUS_FRAMES_MAX = 512
"""Who is behind with more than this does not stand back: on a busy machine each time costs milliseconds."""
QUIET_S = 1.0
SLEEP_S = 5.0
OUTAGE_S = 0.5
DAMAGED_S = 0.5

FRAMES_FAULTS = (RowRefused, msgspec.MsgspecError, OverflowError, UnicodeError)
"""What is the fault of a frame and not of the moment: trying again does not help."""

log = get_logger()
T = TypeVar("T")


class Moved(Exception):
    """Another settler was faster."""


class Settler:
    """Settles one journal."""

    def __init__(self, database_url: str, folder: Path, name: str, node_id: str) -> None:
        self._database_url = database_url
        self._folder, self._name, self._node_id = folder, name, node_id
        self._reader = Reader(folder, name, node_id)
        self._connection: Connection | None = None
        self._is_placed = False
        self._limit = FRAMES_MAX
        self._damaged: tuple[Place, float] | None = None

    def run(self, wake: int, courtesy: Courtesy | None = None) -> None:
        """Settle until the other end of the pipe ``wake`` is closed and nothing is left; an outage is waited out.

        With ``courtesy`` this process has nothing else to do, and lets others go first.
        """
        due = quiet_since = time.monotonic()
        is_ending = False
        while True:
            began = time.monotonic()
            settled = self._settle_through_outages()
            now = time.monotonic()
            if settled:
                quiet_since = now
                if courtesy is not None:
                    courtesy.note(now - min(began, due), now)
            elif is_ending:
                break
            pause_s = SLEEP_S if now - quiet_since > QUIET_S else max(began + BATCH_S - now, PAUSE_S_MIN)
            due = now + pause_s
            is_ending = is_ending or _is_closed(wake, pause_s)
        self._close()

    def settle_all(self) -> int:
        """Settle everything that is there, and return how many frames that was. Raises StorageUnavailable."""
        total = 0
        while count := self.settle_once():
            total += count
        self._close()
        return total

    def clean(self) -> None:
        """Delete a journal that is settled and whose writer is gone, and end its lease. Raises StorageUnavailable."""
        connection = self._open()
        connection.begin(write=True)
        store.end_journal(Transaction(connection), self._node_id)
        connection.commit()
        self._close()
        for _, path in segments_of(self._folder, self._name, self._node_id):
            path.unlink(missing_ok=True)
        lock_path(self._folder, self._name, self._node_id).unlink(missing_ok=True)

    def settle_once(self) -> int:
        """Settle what is new, and return how many frames that was, or 1 if it is to be tried again at once.

        Raises StorageUnavailable.
        """
        if not self._is_placed and not self._place():
            return 0
        before = self._reader.place
        try:
            payloads = self._reader.read(self._limit)
        except Damaged as damaged:
            return self._step_over(damaged)
        if not payloads:
            return 0
        try:
            self._commit(before, payloads)
        except (ConflictInDatabase, Moved):
            self._is_placed = False
            return 1
        self._limit = min(2 * self._limit, FRAMES_MAX)
        if self._reader.place.segment > before.segment:
            self._forget(self._reader.place.segment)
        return len(payloads)

    def _settle_through_outages(self) -> int:
        try:
            return self.settle_once()
        except StorageUnavailable as error:
            log.warning("settling_waits", node=self._node_id, error=error.code)
        except Exception:
            log.exception("settling_broke", node=self._node_id)
        self._close()
        time.sleep(OUTAGE_S)
        return 1

    def _open(self) -> Connection:
        self._connection = self._connection or connect(self._database_url)
        return self._connection

    def _place(self) -> bool:
        """Find out how far the journal is settled; False while there is none."""
        if not segments_of(self._folder, self._name, self._node_id):
            return False
        connection = self._open()
        connection.begin(write=True)
        place = store.begin_journal(Transaction(connection), self._node_id)
        connection.commit()
        self._reader.close()
        self._reader.move(place)
        self._is_placed = True
        return True

    def _commit(self, before: Place, payloads: Sequence[bytes]) -> None:
        """Write frames and how far they go.

        Where one of them cannot be written, half of them is tried again (raises Moved); a single one is tried without
        what no database takes, and set aside at last.
        """
        try:
            self._write(before, [frames.decode(payload) for piece in _pieces(payloads) for payload in piece])
        except FRAMES_FAULTS as error:
            if len(payloads) > 1:
                self._limit = len(payloads) // 2
                raise Moved from error
            self._write_at_last(before, payloads[0])

    def _write_at_last(self, before: Place, payload: bytes) -> None:
        try:
            frame = frames.decode(payload)
            if not isinstance(frame, Ended):
                raise RowRefused("there is no other way to write this")
            self._write(before, [frames.cleaned(frame)])
        except FRAMES_FAULTS:
            log.exception("frame_set_aside", node=self._node_id, segment=before.segment, at=before.position)
            self._set_aside(before, self._reader.place, payload)

    def _write(self, before: Place, batch: Sequence[Frame]) -> None:
        connection = self._open()
        try:
            connection.begin(write=True)
            tx = Transaction(connection)
            self._advance(tx, before)
            write_frames(tx, f"{self._node_id}:{before.segment}:{before.position}", batch)
            connection.commit()
        except BaseException:
            self._is_placed = False
            connection.rollback()
            raise
        self._is_placed = True

    def _step_over(self, damaged: Damaged) -> int:
        """Set aside what is damaged, once it has been so for a moment; return whether to go on at once."""
        now = time.monotonic()
        if self._damaged is None or self._damaged[0] != damaged.place:
            self._damaged = damaged.place, now
        if now - self._damaged[1] < DAMAGED_S:
            time.sleep(PAUSE_S_MIN)
            return 1
        log.error("journal_damaged", node=self._node_id, segment=damaged.place.segment, at=damaged.place.position)
        self._set_aside(damaged.place, damaged.behind, damaged.rest)
        self._reader.move(damaged.behind)
        return 1

    def _set_aside(self, before: Place, behind: Place, content: bytes) -> None:
        """Keep for the operator what nobody can write down, and go on behind it."""
        folder = self._folder / "refused"
        folder.mkdir(mode=0o700, exist_ok=True)
        path = folder / f"{self._name}.{self._node_id}.{before.segment}.{before.position}"
        file = os.open(path, os.O_WRONLY | os.O_CREAT | os.O_TRUNC, 0o600)
        try:
            os.write(file, content)
        finally:
            os.close(file)
        connection = self._open()
        connection.begin(write=True)
        self._advance(Transaction(connection), before, behind)
        connection.commit()

    def _advance(self, tx: Transaction, before: Place, behind: Place | None = None) -> None:
        """Note how far the journal is settled. Raises Moved."""
        if not store.advance_journal(tx, self._node_id, before, behind or self._reader.place):
            raise Moved

    def _forget(self, before: int) -> None:
        """Delete the segments that are settled."""
        for number, path in segments_of(self._folder, self._name, self._node_id):
            if number < before:
                path.unlink(missing_ok=True)

    def _close(self) -> None:
        self._reader.close()
        if self._connection is not None:
            self._connection.close()
        self._connection = None
        self._is_placed = False


def _is_closed(wake: int, timeout_s: float) -> bool:
    """Wait for a wake-up; True when the gateway is gone."""
    ready, _, _ = select.select([wake], [], [], timeout_s)
    return bool(ready) and os.read(wake, 4096) == b""


def _pieces(batch: Sequence[T]) -> Iterator[Sequence[T]]:
    """Take a batch piece by piece, and let others have the processor in between.

    A batch at full load is two milliseconds of work, a hundred times a second: without this, whoever shares the
    processor would wait so long (measured: half of the 99th percentile of a call).
    """
    if len(batch) > COURTEOUS_FRAMES_MAX:
        yield batch
        return
    for at in range(0, len(batch), PIECE_CALLS):
        if at:
            os.sched_yield()
        yield batch[at : at + PIECE_CALLS]


def write_frames(tx: Transaction, reference: str, batch: Sequence[Frame]) -> None:
    """Write calls, and what else their node said, into the books."""
    calls = [frame for frame in batch if isinstance(frame, Ended)]
    batches, spares = _sums(batch)
    lost = capture_batch(tx, reference, batches) if batches else set()
    if lost:
        log.error("allowances_had_ended", holds=sorted(lost), calls=sum(call.hold_id in lost for call in calls))
    for piece in _pieces(calls) if tx.works_here else (calls,):
        store.load_calls(tx, piece, reference, lost)
    for hold_id, spare in spares.items():
        note_spare(tx, hold_id, spare)
    for frame in batch:
        if isinstance(frame, Returned):
            _give_back(tx, frame)
        elif isinstance(frame, Answered):
            answer_recall(tx, frame.hold_ids, frame.number)


def _sums(batch: Sequence[Frame]) -> tuple[dict[str, Batch], dict[str, int]]:
    """Add up calls by their allowance; what is spare of one is what was said last."""
    batches: dict[str, Batch] = {}
    spares: dict[str, int] = {}
    for frame in batch:
        if isinstance(frame, Ended):
            sums = batches.get(frame.hold_id)
            if sums is None:
                sums = batches[frame.hold_id] = Batch(frame.wallet)
                spares.pop(frame.hold_id, None)
            sums.captured += frame.charge
            sums.uncovered += frame.loss
            sums.spare = frame.spare
        elif isinstance(frame, Spare):
            if frame.hold_id in batches:
                batches[frame.hold_id].spare = frame.amount
            else:
                spares[frame.hold_id] = frame.amount
    return batches, spares


def _give_back(tx: Transaction, frame: Returned) -> None:
    if frame.is_all:
        release(tx, frame.hold_id)
    elif not shrink_allowance(tx, frame.wallet, frame.hold_id, frame.amount):
        log.warning("allowance_had_ended", hold=frame.hold_id)
