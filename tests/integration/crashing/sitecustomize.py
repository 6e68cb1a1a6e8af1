"""Crash points: named places on the way of money at which a process of a station ends as if it was killed.

Python imports this at its start where ``PYTHONPATH`` names this folder. ``CRASH_PLAN`` names a file of one line like
``gateway after_append 7``: the process (or several, with ``|`` between), the point, and at which passing. The process
that gets there deletes the file and is gone. Without a file nothing happens, so a station can run on, and the next
plan can be written for it.
"""

import os
import signal
import sys
import traceback
from pathlib import Path

PLAN = Path(os.environ.get("CRASH_PLAN", "/nonexistent"))
CALL = b"\x98\xa1c"  # how the frame of a call begins


def process_of(arguments: list[str]) -> str:
    """Tell which of the station's processes this is."""
    words = set(arguments)
    return "settler" if "yiapi.calls" in words else next((name for name in ("gateway", "worker") if name in words), "")


PROCESS = process_of(sys.orig_argv)
passed: dict[str, int] = {}


def point(name: str) -> None:
    """Pass a point; the process ends here if that is the plan."""
    try:
        process, wanted, count = PLAN.read_text().split()
    except (OSError, ValueError):
        return
    if wanted != name or PROCESS not in process.split("|"):
        return
    passed[name] = passed.get(name, 0) + 1
    if passed[name] >= int(count):
        try:
            PLAN.unlink()
        except FileNotFoundError:  # another process was here first
            return
        os.kill(os.getpid(), signal.SIGKILL)


def around(owner: object, attribute: str, *, before: str | None = None, after: str | None = None, when=lambda *_: True):
    """Put points around a function."""
    plain = getattr(owner, attribute)

    def passing(*args, **options):
        is_meant = when(*args)
        if before and is_meant:
            point(before)
        result = plain(*args, **options)
        if after and is_meant:
            point(after)
        return result

    setattr(owner, attribute, passing)


def around_coroutine(owner: object, attribute: str, *, before: str | None = None, after: str | None = None) -> None:
    """Put points around a coroutine function."""
    plain = getattr(owner, attribute)

    async def passing(*args, **options):
        if before:
            point(before)
        result = await plain(*args, **options)
        if after:
            point(after)
        return result

    setattr(owner, attribute, passing)


class Points:
    """A layout whose last write, the one that says that a frame is whole, can be preceded by the end."""

    def __init__(self, plain) -> None:
        self.plain = plain

    def __getattr__(self, name: str):
        return getattr(self.plain, name)

    def pack_into(self, buffer, offset, *values) -> None:
        if offset == 0:
            point("inside_append")
        self.plain.pack_into(buffer, offset, *values)


def in_gateway() -> None:
    import yiapi.calls.journal as journal
    import yiapi.calls.leftovers as leftovers
    import yiapi.calls.service as service
    from yiapi.calls.purse import Purses
    from yiapi.calls.settling import Settler

    is_call = lambda _, payload: payload.startswith(CALL)  # noqa: E731
    around(Purses, "draw", after="after_draw")
    around(journal.Journal, "append", before="before_append", after="after_append", when=is_call)
    journal._NUMBER = Points(journal._NUMBER)
    around(service, "release_orphans", before="before_release", after="after_release")
    around(Settler, "_write", before="before_replay", after="after_replay")
    around(leftovers.Settler, "clean", before="before_clean", after="after_clean")
    around_coroutine(service.Calls, "refill", after="after_refill")


def in_gateway_answers() -> None:
    import yiapi.relay.stream as stream
    from yiapi.relay.call import Call
    from yiapi.relay.passage import Passage

    around(Call, "answer_charged", before="before_answer", after="after_answer")
    around(Passage, "_write", after="after_chunk")
    around(stream, "finish", before="before_last", after="after_last")


def in_settler() -> None:
    import yiapi.calls.settling as settling

    around(settling, "write_frames", before="before_write", after="before_commit")
    around(settling.Settler, "_write", after="after_commit")
    around(settling.Settler, "clean", before="before_clean", after="after_clean")
    around(settling.Settler, "_forget", before="before_forget")


def put_points() -> None:
    if PROCESS in {"gateway", "worker"}:
        in_gateway()
    if PROCESS == "gateway":
        in_gateway_answers()
    if PROCESS == "settler":
        in_settler()


if "CRASH_PLAN" in os.environ:
    try:
        put_points()
    except Exception:  # noqa: BLE001 - Python would go on without the points, and a test would wait for them for ever
        traceback.print_exc()
        os._exit(70)
