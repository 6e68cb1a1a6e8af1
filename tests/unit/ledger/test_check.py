"""The check finds what is planted: a check that never finds anything proves nothing."""

from dataclasses import dataclass

import pytest

from yiapi.db import Database
from yiapi.db.connect import connect
from yiapi.db.sql import query_of
from yiapi.ledger import Batch, Settlement, capture_batch, release, settle, take_allowance, take_hold, top_up
from yiapi.ledger.check import LINES_MAX, check
from yiapi.money import Money

WALLET = "wallet:acct_a:live"
OTHER = "wallet:acct_b:live"
NODE = query_of(
    "node",
    "INSERT INTO nodes (id, name, started_at, lease_until) VALUES ('node_1', 'gateway-0', now_ms(), now_ms() + 30000)",
)
BATCHED = query_of(
    "batched",
    "INSERT INTO requests (id, account_id, mode, key_id, operation, provider, model, status, http_status, usage,"
    " is_estimated, is_partial, price_version, multiplier, charge, loss, cost, hold_id, settled_by, created_at,"
    " duration_ms) VALUES (:id, 'acct_b', 'live', 'key_2', 'o', 'p', 'm', 'succeeded', 200, '[]', 0, 0, 1, 1000000,"
    " :charge, :loss, 0, :hold_id, 'batch_1', 1, 1)",
)
ATTEMPT = (
    "INSERT INTO attempts_apart (request_id, number, channel_id, credential_id, cost, started_at, duration_ms)"
    " VALUES ('{request}', {number}, '{channel}', 'cred_1', {cost}, 86400000, 1)"
)
POSTING = "INSERT INTO postings (reference, ordinal, kind, source, destination, amount, created_at) VALUES {values}"
TASK = (
    "INSERT INTO tasks (id, account_id, mode, key_id, request_id, operation, provider, model, status, progress,"
    " version, hold_id, held, captured, usage, price_version, multiplier, metadata, created_at,"
    " deadline_at)"
    " VALUES ('task_1', 'acct_a', 'live', 'key_1', 'req_task', 'o', 'p', 'm', 'succeeded', 100, 1, 'HOLD', 20,"
    " 20, '[]', 1, 1000000, 'null', 1, 1)"
)
TRIGGERS = {
    "sqlite": ("postings_stay", "postings_remain", "resolutions_stay", "resolutions_remain"),
    "postgresql": ("postings_stay", "resolutions_stay"),
}


@dataclass
class Books:
    """Books in which everything has happened once, and a way to change them behind the ledger's back."""

    database: Database
    holds: dict[str, str]

    def plant(self, *statements: str) -> None:
        connection = connect(self.database.url)
        if connection.kind == "sqlite":
            connection.command("PRAGMA foreign_keys = OFF")
            connection.command("PRAGMA ignore_check_constraints = ON")
        connection.begin(write=True)
        triggers = self._loosen(connection)
        for statement in statements:
            connection.command(statement.format(**self.holds))
        for sql in triggers:
            connection.command(sql)
        connection.commit()
        connection.close()

    def _loosen(self, connection) -> list[str]:
        """Take guards away and return what puts the triggers back."""
        if connection.kind == "postgresql":
            connection.command("SET LOCAL session_replication_role = replica")
            connection.command(
                "DO $$ DECLARE c record; BEGIN FOR c IN SELECT conname, conrelid::regclass AS t FROM pg_constraint"
                " WHERE contype = 'c' AND conrelid <> 0 AND connamespace = 'public'::regnamespace"
                " LOOP EXECUTE format('ALTER TABLE %s DROP CONSTRAINT %I', c.t, c.conname); END LOOP; END $$"
            )
            return []
        cursor = connection._db.execute("SELECT name, sql FROM sqlite_master WHERE type = 'trigger'")
        found = [(row["name"], row["sql"]) for row in cursor.fetchall()]
        for name, _ in found:
            connection.command(f"DROP TRIGGER {name}")
        return [sql for _, sql in found]


@pytest.fixture
async def books(database, new, note_request) -> Books:
    holds: dict[str, str] = {}

    def call(tx, name: str, amount: int, charge: int | None, loss: int = 0, **facts) -> None:
        hold = take_hold(tx, new(amount, f"req_{name}", **facts))
        holds[name] = hold.id
        if charge is None:
            return
        settled = settle(tx, Settlement(hold.id, Money(charge))) if charge else release(tx, hold.id)
        note_request(tx, hold, charge=charge - loss, loss=loss)
        assert settled

    def batch(tx) -> None:
        """Two calls below an allowance of the other tenant, one of them not covered as a whole."""
        top_up(tx, "op_3", OTHER, Money(1000))
        tx.run(NODE)
        allowance = take_allowance(tx, OTHER, owner="node_1", wanted=200, least=1, expires_s=600)
        holds["allowance"] = allowance.id
        capture_batch(tx, "batch_1", {allowance.id: Batch(OTHER, captured=90, uncovered=5, spare=60)})
        for name, charge, loss in (("one", 50, 0), ("two", 40, 5)):
            tx.run(BATCHED, id=f"req_{name}", charge=charge, loss=loss, hold_id=allowance.id)

    def fill(tx) -> None:
        batch(tx)
        top_up(tx, "op_1", WALLET, Money(1000))
        call(tx, "open", 50, None)
        call(tx, "below", 300, 200)
        call(tx, "budgeted", 100, 60, budget=500)
        call(tx, "released", 100, 0)
        call(tx, "above", 600, 800, loss=110)
        top_up(tx, "op_2", WALLET, Money(1000), "grant", "op_1")
        call(tx, "slice", 70, None)
        call(tx, "child", 40, 30, parent_hold_id=holds["slice"])

    await database.write(fill)
    return Books(database, holds)


async def test_sound_books_are_clean(books):
    report = await check(books.database)

    assert report.violations == ()
    assert report.is_clean
    assert report.lines() == ["11 postings, 8 holds, 5 resolutions: the books agree"]


PLANTED = {
    "a balance without an entry": (
        "I1",
        "UPDATE ledger_accounts SET posted = posted + 1 WHERE id = 'wallet:acct_a:live'",
    ),
    "an entry without a balance": (
        "I1",
        POSTING.format(values="('op_9', 0, 'top_up', 'funding:live', 'wallet:acct_b:live', 1, 1)"),
    ),
    "revenue from nowhere": ("I2", "UPDATE ledger_accounts SET posted = posted + 1 WHERE id = 'revenue:live'"),
    "an overdraft": ("I3", "UPDATE ledger_accounts SET posted = held - 1 WHERE id = 'wallet:acct_a:live'"),
    "held below zero": ("I3", "UPDATE ledger_accounts SET held = -1 WHERE id = 'wallet:acct_b:live'"),
    "held beside the holds": ("I4", "UPDATE ledger_accounts SET held = held + 1 WHERE id = 'wallet:acct_a:live'"),
    "a hold that grew": ("I4", "UPDATE holds SET amount = amount + 1 WHERE id = '{open}'"),
    "a capture below that nobody made": ("I4", "UPDATE holds SET captured_below = 31 WHERE id = '{slice}'"),
    "an allowance that grew": ("I4", "UPDATE holds SET amount = amount + 1 WHERE id = '{allowance}'"),
    "more captured below an allowance than posted": (
        "I4",
        "UPDATE holds SET captured_below = 91 WHERE id = '{allowance}'",
    ),
    "more below an allowance than it has": (
        "I4",
        "UPDATE holds SET amount = 89 WHERE id = '{allowance}'",
        "UPDATE ledger_accounts SET held = held - 111 WHERE id = 'wallet:acct_b:live'",
    ),
    "a batch that is forgotten": ("I4", "DELETE FROM postings WHERE reference = 'batch_1'"),
    "more spare than is left": ("I4", "UPDATE holds SET spare = 111 WHERE id = '{allowance}'"),
    "less spare than nothing": ("I4", "UPDATE holds SET spare = -1 WHERE id = '{allowance}'"),
    "an ended allowance that is swept": (
        "I5",
        "INSERT INTO hold_resolutions (hold_id, kind, captured, created_at) VALUES ('{allowance}', 'released', 0, 1)",
    ),
    "an allowance long past its expiry": ("I5", "UPDATE holds SET expires_at = 1 WHERE id = '{allowance}'"),
    "a second resolution": (
        "I5",
        "CREATE TABLE copies AS SELECT * FROM hold_resolutions",
        "DROP TABLE hold_resolutions",
        "ALTER TABLE copies RENAME TO hold_resolutions",
        "INSERT INTO hold_resolutions SELECT * FROM hold_resolutions WHERE hold_id = '{released}'",
    ),
    "a resolution of nothing": (
        "I5",
        "INSERT INTO hold_resolutions (hold_id, kind, captured, created_at) VALUES ('hold_x', 'released', 0, 1)",
    ),
    "an ended hold that is swept": ("I5", "UPDATE holds SET is_open = 1 WHERE id = '{below}'"),
    "an open hold that is not swept": ("I5", "UPDATE holds SET is_open = 0 WHERE id = '{open}'"),
    "a hold long past its expiry": ("I5", "UPDATE holds SET expires_at = 1 WHERE id = '{open}'"),
    "more captured than held": ("I6", "UPDATE hold_resolutions SET captured = 301 WHERE hold_id = '{below}'"),
    "a release that captured": ("I6", "UPDATE hold_resolutions SET captured = 1 WHERE hold_id = '{released}'"),
    "a debit above an unused hold": ("I6", "UPDATE hold_resolutions SET captured = 1 WHERE hold_id = '{above}'"),
    "a changed entry": ("I8", "UPDATE postings SET amount = amount + 1 WHERE reference = '{below}'"),
    "a deleted entry": ("I8", "DELETE FROM postings WHERE reference = '{below}'"),
    "a loss that was forgotten": ("I8", "DELETE FROM postings WHERE reference = '{above}' AND kind = 'uncovered'"),
    "a charge to another wallet": (
        "I8",
        "UPDATE postings SET source = 'wallet:acct_b:live' WHERE reference = '{below}'",
    ),
    "a charge without a settlement": ("I8", "DELETE FROM hold_resolutions WHERE hold_id = '{below}'"),
    "a top-up in two": ("I8", "UPDATE postings SET ordinal = 1 WHERE reference = 'op_1'"),
    "a top-up out of revenue": ("I8", "UPDATE postings SET source = 'revenue:live' WHERE reference = 'op_1'"),
    "a top-up of the other mode": ("I8", "UPDATE postings SET source = 'funding:test' WHERE reference = 'op_1'"),
    "a correction of nothing": ("I8", "UPDATE postings SET corrects = 'op_x' WHERE reference = 'op_2'"),
    "use that was not posted": (
        "I9",
        "UPDATE ledger_accounts SET captured = captured + 1 WHERE id = 'wallet:acct_a:live'",
    ),
    "a budget that spent more": ("I10", "UPDATE key_budgets SET spent = spent + 1"),
    "a budget that holds more": ("I10", "UPDATE key_budgets SET held = held + 1"),
    "a budget that is gone": ("I10", "DELETE FROM key_budgets"),
    "a request with another charge": ("I11", "UPDATE requests SET charge = 201 WHERE id = 'req_below'"),
    "a request with another loss": ("I11", "UPDATE requests SET loss = 0 WHERE id = 'req_above'"),
    "a charge for a released hold": ("I11", "UPDATE requests SET charge = 1 WHERE id = 'req_released'"),
    "an ended request with an open hold": ("I11", "UPDATE requests SET hold_id = '{open}' WHERE id = 'req_released'"),
    "a charge without a hold": ("I11", "UPDATE requests SET hold_id = NULL WHERE id = 'req_below'"),
    "a charge without a request": ("I11", "DELETE FROM requests WHERE id = 'req_below'"),
    "a call of a batch with another charge": ("I11", "UPDATE requests SET charge = 51 WHERE id = 'req_one'"),
    "a call of a batch with another loss": ("I11", "UPDATE requests SET loss = 4 WHERE id = 'req_two'"),
    "a call of a batch that is forgotten": ("I11", "DELETE FROM requests WHERE id = 'req_one'"),
    "a call of a batch twice": (
        "I11",
        "CREATE TABLE copies AS SELECT * FROM requests WHERE id = 'req_one'",
        "UPDATE copies SET id = 'req_copy'",
        "INSERT INTO requests SELECT * FROM copies",
    ),
    "a call that names no batch": ("I11", "UPDATE requests SET settled_by = NULL WHERE id = 'req_one'"),
    "a call that names another batch": ("I11", "UPDATE requests SET settled_by = 'batch_2' WHERE id = 'req_one'"),
    "a call below another hold": ("I11", "UPDATE requests SET hold_id = '{slice}' WHERE id = 'req_one'"),
    "a call of another tenant": ("I11", "UPDATE requests SET account_id = 'acct_a' WHERE id = 'req_one'"),
    "a call of the other mode": ("I11", "UPDATE requests SET mode = 'test' WHERE id = 'req_one'"),
    "a batch paid by another wallet": (
        "I11",
        "UPDATE postings SET source = 'wallet:acct_a:live' WHERE reference = 'batch_1' AND kind = 'capture'",
    ),
    "a batch below no allowance": (
        "I11",
        "UPDATE postings SET hold_id = '{open}' WHERE reference = 'batch_1'",
    ),
    "a batch with another amount": ("I11", "UPDATE postings SET amount = amount + 1 WHERE reference = 'batch_1'"),
    "a task with another charge": ("I11", TASK.replace("HOLD", "{below}")),
    "an ended task with an open hold": ("I11", TASK.replace("HOLD", "{open}")),
}


@pytest.mark.parametrize("what", PLANTED)
async def test_the_check_finds(books, what):
    expected, *statements = PLANTED[what]

    books.plant(*statements)

    report = await check(books.database)
    assert expected in {violation.invariant for violation in report.violations}
    assert not report.is_clean
    assert any(line.startswith(f"{expected}: ") for line in report.lines())


async def test_a_planted_line_names_its_ids(books):
    books.plant("UPDATE ledger_accounts SET held = held + 1 WHERE id = 'wallet:acct_a:live'")

    report = await check(books.database)

    assert "I4: wallet:acct_a:live has 91 held, its open holds sum to 90" in report.lines()


async def test_the_check_finds_missing_triggers(books):
    kind = books.database.kind
    connection = connect(books.database.url)
    for name in TRIGGERS[kind]:
        table = "" if kind == "sqlite" else f" ON {'postings' if 'postings' in name else 'hold_resolutions'}"
        connection.command(f"DROP TRIGGER {name}{table}")
    connection.close()

    report = await check(books.database)

    assert [violation.invariant for violation in report.violations] == ["I7"] * len(TRIGGERS[kind])


@pytest.mark.parametrize("table", ["postings", "hold_resolutions"])
@pytest.mark.parametrize("change", ["UPDATE {} SET created_at = 2", "DELETE FROM {}"])
async def test_entries_can_be_neither_changed_nor_deleted(books, table, change):
    connection = connect(books.database.url)

    with pytest.raises(Exception, match="append-only"):
        connection.command(change.format(table))
    connection.close()


async def test_usage_is_priced_again(books):
    def price_of(tx, provider, usage, version, multiplier):
        assert (provider, usage, version, multiplier) == ("p", "[]", 1, 1_000_000)
        return Money(200)

    report = await check(books.database, price_of=price_of)

    found = [violation.text for violation in report.violations]
    assert {violation.invariant for violation in report.violations} == {"I12"}
    assert len(found) == 6  # only the call that was charged 200 is right
    assert not any("req_below" in text for text in found)


async def test_usage_that_nobody_can_price_is_found(books):
    def price_of(tx, provider, usage, version, multiplier):
        raise LookupError("no price book 1")

    report = await check(books.database, price_of=price_of)

    assert len(report.violations) == 7
    assert all("no price book 1" in violation.text for violation in report.violations)


async def test_a_task_is_priced_by_what_was_captured(books):
    books.plant(TASK.replace("HOLD", "{below}"), "DELETE FROM requests", "UPDATE tasks SET captured = 200")

    report = await check(books.database, price_of=lambda *_: Money(199))

    assert [line.text for line in report.violations if line.invariant == "I12"] == [
        "task task_1 was charged 0.0000002 with its loss, its usage is worth 0.000000199 USD"
    ]


async def test_charges_and_costs_are_listed_by_channel_and_day(books):
    books.plant(
        ATTEMPT.format(request="req_below", number=1, channel="chan_a", cost=3),
        ATTEMPT.format(request="req_below", number=2, channel="chan_b", cost=150),
        ATTEMPT.format(request="req_above", number=1, channel="chan_c", cost=690),
    )

    report = await check(books.database)

    assert report.is_clean
    assert report.information == (
        "I13: 1970-01-02 chan_a: customers paid 0, attempts cost 0.000000003 USD",
        "I13: 1970-01-02 chan_b: customers paid 0.0000002, attempts cost 0.00000015 USD",
    )


async def test_the_cost_of_an_attempt_in_the_row_of_its_call_is_listed_too(books):
    books.plant(
        "UPDATE requests SET cost = 3, channel_id = 'chan_a', credential_id = 'cred_1', tried_at = 86400000,"
        " tried_ms = 1 WHERE id = 'req_below'"
    )

    report = await check(books.database)

    assert report.is_clean
    assert report.information == ("I13: 1970-01-02 chan_a: customers paid 0.0000002, attempts cost 0.000000003 USD",)


async def test_a_broken_ledger_does_not_drown_its_reader(books):
    rows = ", ".join(
        f"('op_x{number}', 0, 'top_up', 'revenue:live', 'wallet:acct_b:live', 1, 1)" for number in range(LINES_MAX + 1)
    )
    books.plant(POSTING.format(values=rows))

    report = await check(books.database)

    assert sum(violation.invariant == "I8" for violation in report.violations) == LINES_MAX
