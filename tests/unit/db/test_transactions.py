"""Units of work: what is written is there, what fails is undone alone, and readers go on beside the writer."""

import asyncio
import itertools

import pytest

from yiapi.db import ConflictInDatabase, Database, DuplicateRow, RowRefused
from yiapi.db.connect import connect
from yiapi.db.database import CONFLICT_TRIES_MAX
from yiapi.db.sql import query_of
from yiapi.errors import InternalError, StorageUnavailable

from .conftest import GET, PUT, names, put


class Mistake(Exception):
    """What a unit of work raises in these tests."""


def fail_after(job, error=Mistake):
    def run(tx):
        job(tx)
        raise error

    return run


# One unit


async def test_a_write_returns_when_others_can_see_it(database, connection):
    assert await database.write(put("a", "1")) == 1

    connection.begin(write=False)
    rows, _ = connection.execute(GET, {"name": "a"})
    assert rows == [{"value": "1"}]


async def test_a_unit_that_fails_is_undone_and_says_why(database):
    with pytest.raises(Mistake):
        await database.write(fail_after(put("a")))

    assert await names(database) == []


async def test_a_unit_sees_what_it_has_written(database):
    def write_and_read(tx):
        put("a", "1")(tx)
        return tx.one(GET, name="a")["value"], tx.one(GET, name="b")

    assert await database.write(write_and_read) == ("1", None)


async def test_a_statement_says_how_many_rows_it_changed(database):
    await database.write(lambda tx: tx.run_many(PUT, [{"name": name, "value": "v"} for name in "abc"]))
    await database.write(lambda tx: tx.run_many(PUT, []))
    update = query_of("update", "UPDATE station SET value = 'x' WHERE name >= :least")

    assert await database.write(lambda tx: tx.run(update, least="b")) == 2
    assert await database.write(lambda tx: tx.run(update, least="z")) == 0


async def test_many_rows_are_loaded_as_they_are(database):
    rows = [("a", "tab\there"), ("b", "line\nand \\ backslash"), ("c", "")]

    await database.write(lambda tx: tx.load("station", ("name", "value"), rows))
    await database.write(lambda tx: tx.load("station", ("name", "value"), []))

    every = query_of("every", "SELECT name, value FROM station ORDER BY name")
    assert [(row["name"], row["value"]) for row in await database.read(lambda tx: tx.all(every))] == rows


HARD = ["null", "NULL", "None", "'", "[1]", '{"a": ["b"]}', "\r", "a\r\nb", "\t", "\b\f\x01\x7f", "\u2028\U0001f600"]


async def test_whatever_text_is_loaded_comes_back_and_so_does_null(database):
    texts = HARD + ["".join(text) for text in itertools.product('\\"\n,.', repeat=3)]
    rows = [(f"s{number:03}", number, text, None) for number, text in enumerate(texts)]

    await database.write(lambda tx: tx.load("switches", ("name", "enabled", "message", "assets"), rows))

    every = query_of("every", "SELECT name, enabled, message, assets FROM switches ORDER BY name")
    assert [tuple(row.values()) for row in await database.read(lambda tx: tx.all(every))] == rows


async def test_time_is_the_databases_and_can_be_turned(database, clock):
    now = query_of("now", "SELECT now_ms() AS now")
    before = (await database.read(lambda tx: tx.one(now)))["now"]

    clock.turn(3600)

    assert before == clock.now_ms() - 3_600_000
    assert (await database.read(lambda tx: tx.one(now)))["now"] == clock.now_ms()
    assert await database.write(lambda tx: tx.one(now)["now"]) == clock.now_ms()


async def test_without_a_clock_of_its_own_the_time_is_the_machines(url):
    database = Database(url)
    now = query_of("now", "SELECT now_ms() AS now")

    first = (await database.read(lambda tx: tx.one(now)))["now"]
    second = await database.write(lambda tx: tx.one(now)["now"])

    assert 1_700_000_000_000 < first <= second < first + 60_000
    database.close()


# What cannot be written


async def test_a_unique_key_that_is_taken_is_a_duplicate(database):
    await database.write(put("a"))

    with pytest.raises(DuplicateRow):
        await database.write(put("a"))


async def test_a_row_that_breaks_a_rule_of_its_table_is_refused(database):
    group = query_of("group", "INSERT INTO price_groups (name, multiplier) VALUES ('x', -1)")
    missing = query_of("missing", "INSERT INTO station (name) VALUES ('x')")
    stranger = query_of(
        "stranger",
        "INSERT INTO accounts (id, name, status, price_group, parallel_max, open_tasks_max, created_at, version)"
        " VALUES ('a', 'a', 'active', 'nobody', 1, 1, 1, 1)",
    )

    for query in (group, missing, stranger):
        with pytest.raises(RowRefused) as error:
            await database.write(lambda tx, query=query: tx.run(query))
        assert not isinstance(error.value, DuplicateRow)


async def test_a_statement_that_is_wrong_is_a_mistake_and_no_outage(database):
    for text in ("SELEC 1", "SELECT * FROM nowhere", "SELECT nothing FROM station"):
        with pytest.raises(Exception) as error:  # noqa: PT011 - each database has its own
            await database.write(lambda tx, text=text: tx.run(query_of("wrong", text)))
        assert not isinstance(error.value, StorageUnavailable)

    await database.write(put("a"))


# Several units in one commit


async def blocked(database, gate):
    """Occupy every thread of the writer; return what to await in the end."""
    threads = len(database._writer._threads)
    holding = [asyncio.ensure_future(database.write(gate)) for _ in range(threads)]
    await gate.reached()
    return holding


@pytest.fixture
def single(url, clock):
    """A database with one thread that writes, whatever its kind."""
    database = Database(url, clock=clock, writers=1)
    yield database
    database.close()


async def test_what_waits_shares_one_transaction(single, gate):
    seen = []
    group = single.group(lambda tx, items: seen.append((tx, list(items))) or items)
    holding = await blocked(single, gate)
    waiting = [group.submit(number) for number in range(10)]
    transactions = [asyncio.ensure_future(single.write(lambda tx: tx)) for _ in range(3)]
    await asyncio.sleep(0)

    gate.open()

    assert await asyncio.gather(*waiting) == list(range(10))
    assert [items for _, items in seen] == [list(range(10))]
    assert {seen[0][0]} == set(await asyncio.gather(*transactions))
    await asyncio.gather(*holding)


async def test_a_unit_that_fails_does_not_harm_its_neighbours(single, gate):
    holding = await blocked(single, gate)
    jobs = [put("a"), fail_after(put("b")), put("c"), put("a"), put("d"), fail_after(put("e"), ValueError)]
    waiting = [asyncio.ensure_future(single.write(job)) for job in jobs]
    await asyncio.sleep(0)

    gate.open()
    results = await asyncio.gather(*waiting, return_exceptions=True)

    assert [result if result == 1 else type(result) for result in results] == [
        1,
        Mistake,
        1,
        DuplicateRow,
        1,
        ValueError,
    ]
    assert await names(single) == ["a", "c", "d"]
    await asyncio.gather(*holding)


async def test_a_statement_that_the_database_refuses_does_not_harm_its_neighbours(single, gate):
    holding = await blocked(single, gate)
    wrong = [query_of("x", "SELECT * FROM nowhere"), query_of("y", "INSERT INTO price_groups VALUES ('x', -1)")]
    waiting = [
        asyncio.ensure_future(single.write(job))
        for job in (put("a"), *(lambda tx, q=q: tx.run(q) for q in wrong), put("b"))
    ]
    await asyncio.sleep(0)

    gate.open()
    results = await asyncio.gather(*waiting, return_exceptions=True)

    assert [results[0], results[3]] == [1, 1]
    assert all(isinstance(result, Exception) for result in results[1:3])
    assert await names(single) == ["a", "b"]
    await asyncio.gather(*holding)


async def test_an_item_that_its_group_refuses_does_not_harm_the_others(single, gate):
    def run(tx, items):
        return [Mistake(item) if item == "bad" else put(item)(tx) for item in items]

    group = single.group(run)
    holding = await blocked(single, gate)
    waiting = [group.submit(item) for item in ("a", "bad", "c")]

    gate.open()
    results = await asyncio.gather(*waiting, return_exceptions=True)

    assert [type(result) for result in results] == [int, Mistake, int]
    assert await names(single) == ["a", "c"]
    await asyncio.gather(*holding)


async def test_a_group_that_breaks_fails_whole_and_alone(single, gate):
    def run(tx, items):
        for item in items:
            put(item)(tx)
        raise Mistake

    group = single.group(run)
    holding = await blocked(single, gate)
    waiting = [group.submit(item) for item in ("a", "b")]
    neighbour = asyncio.ensure_future(single.write(put("c")))
    await asyncio.sleep(0)

    gate.open()
    results = await asyncio.gather(*waiting, return_exceptions=True)

    assert [type(result) for result in results] == [Mistake, Mistake]
    assert await neighbour == 1
    assert await names(single) == ["c"]
    await asyncio.gather(*holding)


async def test_the_writer_outlives_whatever_a_unit_does(database):
    for error in (SystemExit, KeyboardInterrupt, GeneratorExit):
        with pytest.raises(InternalError):
            await database.write(fail_after(put("a"), error))

    assert await database.write(put("b")) == 1
    assert await names(database) == ["b"]


async def test_what_was_submitted_is_done_whoever_stops_waiting(single, gate):
    holding = await blocked(single, gate)
    waiting = asyncio.ensure_future(single.write(put("a")))
    await asyncio.sleep(0)
    waiting.cancel()

    gate.open()

    await asyncio.gather(*holding)
    await single.write(put("b"))
    assert await names(single) == ["a", "b"]


# Conflicts


async def test_a_conflict_is_tried_again(database):
    tries = []

    def job(tx):
        put("a")(tx)
        tries.append(1)
        if len(tries) < 3:
            raise ConflictInDatabase
        return len(tries)

    assert await database.write(job) == 3
    assert await names(database) == ["a"]


async def test_a_conflict_that_does_not_end_is_an_outage(database):
    tries = []

    def job(tx):
        tries.append(1)
        raise ConflictInDatabase

    with pytest.raises(StorageUnavailable):
        await database.write(job)

    assert len(tries) == CONFLICT_TRIES_MAX
    assert await database.write(put("a")) == 1


# Readers beside the writer


async def test_readers_go_on_while_a_write_is_under_way(single, gate):
    await single.write(put("before"))

    def slow(tx):
        put("after")(tx)
        gate(tx)

    writing = asyncio.ensure_future(single.write(slow))
    await gate.reached()

    assert await names(single) == ["before"]
    gate.open()
    await writing
    assert await names(single) == ["after", "before"]


async def test_a_reader_sees_one_moment(database, gate):
    def read(tx):
        first = len(tx.all(NAMES_QUERY))
        gate(tx)
        return first, len(tx.all(NAMES_QUERY))

    reading = asyncio.ensure_future(database.read(read))
    await gate.reached()
    await database.write(put("a"))

    gate.open()

    assert await reading == (0, 0)
    assert await names(database) == ["a"]


NAMES_QUERY = query_of("names", "SELECT name FROM station")


async def test_what_a_reader_writes_is_never_kept(database):
    with pytest.raises(Exception):  # noqa: B017, PT011 - PostgreSQL refuses it
        await database.read(fail_after(put("a")))

    assert await names(database) == []


async def test_a_reader_that_fails_leaves_its_connection_usable(database):
    for _ in range(10):
        with pytest.raises(Mistake):
            await database.read(fail_after(lambda tx: tx.all(NAMES_QUERY)))

    assert await names(database) == []


# The end


async def test_closing_finishes_what_was_submitted_and_takes_no_more(url, clock, gate):
    database = Database(url, clock=clock)
    waiting = [asyncio.ensure_future(database.write(put(name))) for name in "abc"]
    await asyncio.sleep(0)

    await asyncio.to_thread(database.close)

    assert await asyncio.gather(*waiting) == [1, 1, 1]
    with pytest.raises(StorageUnavailable):
        await database.write(put("d"))
    after = connect(url, clock)
    after.begin(write=False)
    assert len(after.execute(NAMES_QUERY, {})[0]) == 3
    after.close()


def test_an_unknown_database_is_refused_at_once():
    with pytest.raises(ValueError, match="unknown database"):
        Database("mysql://somewhere/else")
