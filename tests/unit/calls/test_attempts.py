"""Attempts: that of a call which worked at once is in the call's row, others are apart; readers see no difference."""

import pytest

from yiapi.calls import Attempt, frames
from yiapi.calls.service import frame_of
from yiapi.calls.store import attempt_row, load_calls
from yiapi.db import Transaction
from yiapi.db.sql import query_of
from yiapi.money import Money
from yiapi.providers.contract import Fault

from .conftest import ATTEMPTS, REQUESTS, ending_of

pytestmark = pytest.mark.anyio

APART = query_of("apart", "SELECT * FROM attempts_apart ORDER BY request_id, number")

WORKED = Attempt("chan_1", "cred_1", 1000, http_status=200, duration_ms=5, cost=Money(2))
FREE = Attempt("chan_1", "cred_1", 1000, http_status=200, duration_ms=0, cost=Money(0))
FAILED = Attempt("chan_2", "cred_2", 900, fault=Fault.TIMEOUT, duration_ms=50, cost=Money(1), detail="too late")
EXPLAINED = Attempt("chan_1", "cred_1", 1000, http_status=200, duration_ms=5, cost=Money(2), detail="of the vendor")
CREATED = Attempt("chan_1", "cred_1", 1000, http_status=201, duration_ms=5, cost=Money(2))
UNANSWERED = Attempt("chan_1", "cred_1", 1000, duration_ms=5)


@pytest.fixture
async def node(station):
    await station.fund(10**9)
    return await station.node(settles=False, tends=False)


async def settle(node, attempts):
    """Settle a call with these attempts, and return them as rows that a transaction would write."""
    draw = await node.reserve()
    ending = ending_of(draw, 40)
    ending.attempts[:] = attempts
    node.calls.noted(ending, draw)
    node.settler.settle()
    return [attempt_row(ending.record.id, number, attempt) for number, attempt in enumerate(attempts, 1)]


@pytest.mark.parametrize("attempt", [WORKED, FREE], ids=["cost", "free"])
async def test_a_call_that_worked_at_once_is_one_row(station, node, attempt):
    expected = await settle(node, [attempt])

    assert await station.rows(ATTEMPTS) == expected
    assert await station.rows(APART) == []
    [row] = await station.rows(REQUESTS)
    assert (row["channel_id"], row["credential_id"]) == ("chan_1", "cred_1")
    assert (row["tried_at"], row["tried_ms"]) == (1000, attempt.duration_ms)


@pytest.mark.parametrize(
    "attempts",
    [[FAILED, WORKED], [WORKED, WORKED], [FAILED], [EXPLAINED], [CREATED], [UNANSWERED], []],
    ids=["second", "two", "failed", "detail", "created", "unanswered", "none"],
)
async def test_attempts_of_any_other_call_are_apart(station, node, attempts):
    expected = await settle(node, attempts)

    assert await station.rows(ATTEMPTS) == await station.rows(APART) == expected
    [row] = await station.rows(REQUESTS)
    assert {row[name] for name in ("channel_id", "credential_id", "tried_at", "tried_ms")} == {None}


async def test_calls_of_both_shapes_in_a_batch_keep_their_attempts(station):
    calls = {"req_1": [WORKED], "req_2": [FAILED, WORKED], "req_3": [], "req_4": [WORKED], "req_5": [FAILED]}

    rows = loaded(station, [ended(*call) for call in calls.items()], ATTEMPTS)

    assert rows == [
        attempt_row(name, number, attempt)
        for name, attempts in calls.items()
        for number, attempt in enumerate(attempts, 1)
    ]


def ended(request_id, attempts):
    """Return the frame of a call."""

    class Held:
        id, wallet, left = "hold_1", "wallet:acct_a:live", 0

    ending = ending_of(Held(), 40, id=request_id)
    ending.attempts[:] = attempts
    return frames.decode(frame_of(ending, Held(), 40, 0))


def loaded(station, calls, query):
    """Load calls, and return what is in the books before that is undone."""
    connection = station.connection()
    connection.begin(write=True)
    tx = Transaction(connection)
    load_calls(tx, calls, "batch_1", set())
    rows = tx.all(query)
    connection.rollback()
    connection.close()
    return rows
