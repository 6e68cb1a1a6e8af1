"""The settler: every frame is in the books once, whoever settles it, and one that is bad harms no other."""

import asyncio
import json

import pytest

from yiapi.calls import frames
from yiapi.calls.journal import BEGINNING, FRAME_HEAD_BYTES, HEAD_BYTES, segment_path
from yiapi.calls.settling import Settler, write_frames
from yiapi.calls.store import write_records
from yiapi.db import Transaction
from yiapi.db.sql import query_of
from yiapi.ids import new_id
from yiapi.ledger import release, tenant_balance
from yiapi.money import Money
from yiapi.providers.contract import Fault

from .conftest import ATTEMPTS, POSTINGS, REQUESTS, WALLET, ending_of

pytestmark = pytest.mark.anyio

JOURNALS = query_of("journals", "SELECT * FROM journals")
BREAK = query_of("break", "UPDATE journals SET segment = 0, position = 16")


@pytest.fixture
async def node(station):
    await station.fund(10**9)
    return await station.node(settles=False, tends=False)


async def test_calls_of_a_batch_are_one_posting_and_a_row_each(station, node):
    calls = [await node.call(100, 40 + number) for number in range(5)]

    assert node.settler.settle() == 5

    [posting] = await station.rows(POSTINGS)
    rows = await station.rows(REQUESTS)
    assert (posting["kind"], posting["source"], posting["amount"]) == ("capture", WALLET, sum(range(40, 45)))
    assert sorted(row["charge"] for row in rows) == sorted(call.charge.nano for call in calls)
    assert {row["settled_by"] for row in rows} == {posting["reference"]}
    assert {row["hold_id"] for row in rows} == {posting["hold_id"]}
    assert len(await station.rows(ATTEMPTS)) == 5


async def test_a_row_is_what_a_transaction_would_have_written(station, node):
    draw = await node.reserve()
    ending = ending_of(
        draw,
        40,
        status="failed",
        http_status=502,
        is_partial=True,
        is_estimated=True,
        client_request_id="mine",
        error_code="upstream_error",
        error_message='it said "no"\tand\\more\n',
        first_byte_ms=3,
    )
    ending.attempts[0].fault, ending.attempts[0].detail = Fault.TIMEOUT, "None"
    finished = node.calls.noted(ending, draw)
    node.settler.settle()
    [journaled], [tried] = await station.rows(REQUESTS), await station.rows(ATTEMPTS)

    ending.record.id = new_id("req")
    connection = station.connection()
    connection.begin(write=True)
    write_records(Transaction(connection), [(ending, finished)])
    written = next(row for row in Transaction(connection).all(REQUESTS) if row["id"] == ending.record.id)
    attempt = next(row for row in Transaction(connection).all(ATTEMPTS) if row["request_id"] == ending.record.id)
    connection.rollback()
    connection.close()

    assert {**journaled, "id": 0, "settled_by": 0} == {**written, "id": 0, "settled_by": 0}
    assert {**tried, "request_id": 0} == {**attempt, "request_id": 0}


async def test_settling_again_changes_nothing(station, node):
    for _ in range(3):
        await node.call()
    node.settler.settle()
    before = await station.rows(POSTINGS), await station.rows(REQUESTS)

    again = Settler(station.url, station.folder, node.journal.name, node.journal.node_id)

    assert again.settle_all() == 0
    assert (await station.rows(POSTINGS), await station.rows(REQUESTS)) == before


async def test_two_settlers_at_once_settle_each_frame_once(station, node):
    for _ in range(400):
        await node.call()
    others = [Settler(station.url, station.folder, node.journal.name, node.journal.node_id) for _ in range(2)]

    await asyncio.gather(*[asyncio.to_thread(one.settle_all) for one in others])

    assert len(await station.rows(REQUESTS)) == 400
    assert sum(posting["amount"] for posting in await station.rows(POSTINGS)) == 400 * 100


async def test_a_settler_that_died_before_its_commit_left_nothing(station, node):
    await node.call()
    [payload] = frames_of(node)
    connection = station.connection()
    connection.begin(write=True)
    write_frames(Transaction(connection), "node:0:16", [payload])
    connection.rollback()
    connection.close()

    assert await station.rows(REQUESTS) == []
    assert node.settler.settle() == 1


def frames_of(node):
    from yiapi.calls.journal import Reader

    return [
        frames.decode(one) for one in Reader(node.journal.folder, node.journal.name, node.journal.node_id).read(100)
    ]


async def test_old_segments_are_deleted(station, node):
    for _ in range(2000):
        await node.call(1)
        if node.journal.needs_room(node.purses.promised):
            node.journal.make_room(node.purses.promised)

    node.settler.settle()

    numbers = sorted(int(path.suffix[1:]) for path in station.folder.glob("*.0*"))
    assert numbers[0] == node.journal.place().segment > 1


async def test_what_an_ended_allowance_should_have_paid_is_our_loss(station, node):
    lost, paid = await node.reserve(), await node.reserve(wallet="wallet:acct_a:live")
    await node.end(lost, 100)
    connection = station.connection()
    connection.begin(write=True)
    release(Transaction(connection), lost.id)  # as others do when the lease of its node was ended
    connection.commit()
    connection.close()
    await node.end(paid, 30)

    node.settler.settle()

    rows = await station.rows(REQUESTS)
    assert [(row["charge"], row["loss"], row["settled_by"]) for row in rows] == [(0, 100, None), (0, 30, None)]
    assert await station.rows(POSTINGS) == []
    found = await station.database.read(lambda tx: tenant_balance(tx, WALLET))
    assert (found.available, found.held) == (Money(10**9), Money(0))


async def test_a_call_that_failed_leaves_its_row_and_pays_nothing(station, node):
    await node.end(await node.reserve(), None, status="failed", error_code="upstream_error")

    node.settler.settle()

    [row] = await station.rows(REQUESTS)
    assert (row["status"], row["charge"], row["loss"], row["error_code"]) == ("failed", 0, 0, "upstream_error")
    assert await station.rows(POSTINGS) == []
    assert len(await station.rows(ATTEMPTS)) == 1


async def test_a_frame_that_no_database_takes_is_set_aside_and_its_neighbours_are_not(station, node):
    for number in range(40):
        await node.call(id=f"req_{number:02d}" if number != 23 else "req_11")  # an id that is taken

    node.settler.settle()

    assert len(await station.rows(REQUESTS)) == 39
    assert sum(posting["amount"] for posting in await station.rows(POSTINGS)) == 39 * 100
    [kept] = (station.folder / "refused").iterdir()
    assert frames.decode(kept.read_bytes()).record[0] == "req_11"


@pytest.mark.parametrize("text", ["a\0b", "half \ud83d", "long" * 40_000], ids=["NUL", "surrogate", "long"])
async def test_texts_that_no_database_takes_are_made_fit(station, node, text):
    await node.call(error_message=text, client_request_id=text)

    node.settler.settle()

    [row] = await station.rows(REQUESTS)
    assert row["charge"] == 100
    assert row["error_message"][:1] == text[:1]
    assert not (station.folder / "refused").exists()


async def test_a_damaged_frame_is_set_aside_and_what_follows_is_settled(station, node):
    for number in range(3):
        await node.call(id=f"req_{number}")
    path = segment_path(station.folder, node.journal.name, node.journal.node_id, 0)
    content = bytearray(path.read_bytes())
    content[HEAD_BYTES + FRAME_HEAD_BYTES + 20] ^= 0xFF  # in the payload of the first
    with path.open("r+b") as file:
        file.write(content)

    node.settler.settle()

    assert [row["id"] for row in await station.rows(REQUESTS)] == ["req_1", "req_2"]
    assert len(list((station.folder / "refused").iterdir())) == 1


async def test_a_journal_that_has_ended_is_never_settled_again(station, node):
    """Who still reads a journal that another has settled and deleted must not begin at its beginning."""
    for _ in range(3):
        await node.call()
    late = Settler(station.url, station.folder, node.journal.name, node.journal.node_id)
    assert late.settle_once() == 3
    node.settler.settle()
    await node.stop()

    late._is_placed = False  # as after a commit whose answer was lost

    assert late.settle_all() == 0
    assert len(await station.rows(REQUESTS)) == 3


async def test_usage_is_written_as_every_reader_expects_it(station, node):
    await node.call()
    node.settler.settle()

    [row] = await station.rows(REQUESTS)
    assert json.loads(row["usage"]) == [
        {"sku": "gpt-4o", "unit": "token_in", "quantity": 10},
        {"sku": "gpt-4o", "unit": "token_out", "quantity": 3},
    ]


async def test_how_far_a_journal_is_settled_is_kept_with_what_was_settled(station, node):
    assert await station.rows(JOURNALS) == []
    await node.call()
    node.settler.settle()

    [row] = await station.rows(JOURNALS)
    place = node.journal.place()
    assert (row["node_id"], row["segment"], row["position"]) == (node.journal.node_id, place.segment, place.position)
    assert place > BEGINNING
