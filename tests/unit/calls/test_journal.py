"""The journal: what was appended is there for other readers, whole and in order, and nothing else is."""

import os
import stat
from pathlib import Path

import pytest

from yiapi.calls.journal import (
    BEGINNING,
    HEAD_BYTES,
    Damaged,
    Journal,
    Place,
    Reader,
    journals_in,
    lock,
    lock_path,
    segment_path,
    written_until,
)

SEGMENT = 4096


@pytest.fixture
def folder(tmp_path) -> Path:
    return tmp_path / "journal"


@pytest.fixture
def journal(folder):
    journal = Journal(folder, "gateway-0", "node_1", segment_bytes=SEGMENT)
    yield journal
    journal.close()


def reader_of(journal: Journal) -> Reader:
    return Reader(journal.folder, journal.name, journal.node_id)


def payloads(count: int, size: int = 100) -> list[bytes]:
    return [bytes([number % 256]) * size for number in range(count)]


def damage(journal: Journal, segment: int, at: int) -> None:
    with segment_path(journal.folder, journal.name, journal.node_id, segment).open("r+b") as file:
        file.seek(at)
        byte = file.read(1)
        file.seek(at)
        file.write(bytes([byte[0] ^ 0xFF]))


def test_a_frame_is_there_for_others_as_soon_as_it_is_appended(journal):
    reader = reader_of(journal)
    assert reader.read(10) == []

    journal.append(b"one")

    assert reader.read(10) == [b"one"]
    assert reader.read(10) == []


def test_frames_keep_their_order_over_many_segments(journal):
    frames = payloads(300)
    for frame in frames:
        journal.append(frame)

    assert reader_of(journal).read(1000) == frames
    assert len(list(journal.folder.glob("*.0000*"))) > 5


def test_a_reader_goes_on_where_it_was(journal):
    frames = payloads(100)
    for frame in frames:
        journal.append(frame)
    reader = reader_of(journal)

    first = reader.read(33)
    second = reader_of(journal)
    second.move(reader.place)

    assert first + second.read(1000) == frames


def test_what_is_not_said_to_be_whole_is_not_read(journal):
    journal.append(b"one")
    end = journal.place().position
    journal.append(b"two")
    with segment_path(journal.folder, journal.name, journal.node_id, 0).open("r+b") as file:
        file.write(end.to_bytes(8, "little"))  # as a kill leaves it before the end was written

    assert reader_of(journal).read(10) == [b"one"]


def test_a_damaged_frame_is_told_after_what_is_before_it(journal):
    for frame in (b"one", b"two", b"three"):
        journal.append(frame)
    damage(journal, 0, HEAD_BYTES + 8 + 3 + 8)  # in the payload of the second
    reader = reader_of(journal)

    assert reader.read(10) == [b"one"]
    with pytest.raises(Damaged) as found:
        reader.read(10)
    reader.move(found.value.behind)

    assert reader.read(10) == [b"three"]


def test_a_length_that_cannot_be_ends_its_segment(journal):
    journal.append(b"one")
    at = journal.place().position
    for frame in payloads(100):
        journal.append(frame)
    damage(journal, 0, at + 2)  # the length of the second frame
    reader = reader_of(journal)

    assert reader.read(10) == [b"one"]
    with pytest.raises(Damaged) as found:
        reader.read(10)
    reader.move(found.value.behind)

    assert reader.read(1000) == reader_of_rest(journal) != []


def reader_of_rest(journal: Journal) -> list[bytes]:
    reader = reader_of(journal)
    reader.move(Place(1, HEAD_BYTES))
    return reader.read(1000)


def test_its_files_are_for_nobody_else(journal):
    journal.append(b"one")

    assert stat.S_IMODE(journal.folder.stat().st_mode) == 0o700
    assert {stat.S_IMODE(path.stat().st_mode) for path in journal.folder.iterdir()} == {0o600}


def test_space_is_reserved_before_it_is_promised(journal):
    assert journal.free == 0

    journal.make_room(3 * SEGMENT)

    assert journal.free >= 6 * SEGMENT
    sizes = [path.stat().st_blocks * 512 for path in journal.folder.glob("*.0000*")]
    assert all(size >= SEGMENT for size in sizes)


def test_what_was_promised_can_be_appended_without_space(journal):
    journal.make_room(2 * SEGMENT)
    spoil(journal.folder)

    for frame in payloads(70):
        journal.append(frame)

    assert journal.is_whole


def test_a_frame_without_space_waits_and_keeps_its_place(journal):
    journal.append(b"one")
    kept = spoil(journal.folder)
    frames = payloads(100)
    for frame in frames:
        journal.append(frame)
    assert not journal.is_whole

    restore(journal.folder, kept)
    journal.append(b"last")
    journal.make_room(0)
    journal.catch_up()

    assert journal.is_whole
    assert reader_of(journal).read(1000) == [b"one", *frames, b"last"]


def test_room_that_cannot_be_made_is_told(journal):
    spoil(journal.folder)

    with pytest.raises(OSError):  # noqa: PT011 - what a disk says differs
        journal.make_room(0)


def spoil(folder: Path) -> Path:
    """Put a file in a folder's place, so that nothing can be made in it, as on a full disk."""
    kept = folder.with_name("kept")
    folder.rename(kept)
    folder.write_text("")
    return kept


def restore(folder: Path, kept: Path) -> None:
    folder.unlink()
    kept.rename(folder)


def test_whoever_holds_the_lock_lives(journal):
    path = lock_path(journal.folder, journal.name, journal.node_id)
    with pytest.raises(OSError):  # noqa: PT011 - BlockingIOError here, and others elsewhere
        lock(path)

    journal.close()

    os.close(lock(path))


def test_nothing_is_appended_to_a_journal_that_is_closed(folder):
    journal = Journal(folder, "gateway-0", "node_2", segment_bytes=SEGMENT)
    journal.append(b"one")
    journal.close()

    with pytest.raises(ValueError, match="closed"):
        journal.append(b"two")


def test_journals_are_found_by_their_files(journal, folder):
    other = Journal(folder, "gateway-1@a.host-0a1b2c", "node_9", segment_bytes=SEGMENT)
    other.append(b"one")
    other.close()

    assert journals_in(folder) == [("gateway-0", "node_1"), ("gateway-1@a.host-0a1b2c", "node_9")]


def test_where_a_journal_ends_is_where_its_last_frame_ends(journal, folder):
    assert written_until(folder, "gateway-0", "node_1") == BEGINNING
    for frame in payloads(100):
        journal.append(frame)
        assert written_until(folder, "gateway-0", "node_1") == journal.place()


def test_the_settler_is_woken_after_a_quiet_time_only(journal):
    woken: list[int] = []
    journal.wake_with(lambda: woken.append(1))

    for frame in payloads(20):
        journal.append(frame)

    assert len(woken) == 1
