"""The ledger against a model of a few lines: whatever is done in whatever order, both agree and the books are sound.

Each sequence runs in one transaction that is rolled back at its end; each step has a savepoint of its own, so that a
step can crash. PostgreSQL gets fewer sequences; more of both: LEDGER_SEQUENCES=10000.
"""

import itertools
import os
from dataclasses import dataclass, field

import pytest
from hypothesis import HealthCheck, settings
from hypothesis import strategies as st
from hypothesis.stateful import (
    RuleBasedStateMachine,
    initialize,
    invariant,
    precondition,
    rule,
    run_state_machine_as_test,
)

from yiapi.clock import ManualClock
from yiapi.db.connect import Connection, connect
from yiapi.db.database import Transaction
from yiapi.errors import InsufficientQuota
from yiapi.ledger import (
    AlreadyResolved,
    Hold,
    NewHold,
    RepeatedDifferently,
    Settled,
    Settlement,
    adjust,
    balance,
    expire_holds,
    refund,
    release,
    release_many,
    settle,
    settle_many,
    take_hold,
    take_holds,
    top_up,
)
from yiapi.ledger.check import _TRIGGERS, examine
from yiapi.money import Money

WALLETS = ("wallet:acct_a:live", "wallet:acct_b:live", "wallet:acct_a:test")
KEYS = {None: None, "key_1": 150, "key_2": 1000}
SEQUENCES = {"sqlite": 200, "postgresql": 8}
STEPS = 50

amounts = st.one_of(st.integers(0, 120), st.sampled_from([0, 1, 10**15]))
wallets = st.sampled_from(WALLETS)
crashes = st.sampled_from([False, False, False, True])


class Crash(Exception):
    """A step that stops before its end."""


def crashing(job):
    """Do a step up to its last breath."""
    job()
    raise Crash


@dataclass
class HoldModel:
    new: NewHold
    expires_at: int
    end: str | None = None
    paid: int = 0
    uncovered: int = 0

    @property
    def is_open(self) -> bool:
        return self.end is None


@dataclass
class Model:
    """What the ledger should say."""

    posted: dict[str, int] = field(default_factory=lambda: dict.fromkeys(WALLETS, 0))
    spent: dict[str, int] = field(default_factory=lambda: dict.fromkeys(WALLETS, 0))
    holds: dict[str, HoldModel] = field(default_factory=dict)
    operations: dict[str, tuple[str, str, int]] = field(default_factory=dict)

    def held(self, wallet: str) -> int:
        return sum(h.new.amount.nano for h in self.holds.values() if h.is_open and h.new.wallet == wallet)

    def available(self, wallet: str) -> int:
        return self.posted[wallet] - self.held(wallet)

    def budget_used(self, key: str) -> int:
        mine = [h for h in self.holds.values() if h.new.key_id == key and h.new.budget is not None]
        return sum(h.new.amount.nano if h.is_open else h.paid for h in mine)

    def take(self, new: NewHold, now: int) -> type:
        amount = new.amount.nano
        known = self.holds.get(new.reference)
        if known is not None:
            same = (known.new.amount, known.new.wallet) == (new.amount, new.wallet)
            return Hold if same else RepeatedDifferently
        if self.available(new.wallet) < amount:
            return InsufficientQuota
        if new.budget is not None and self.budget_used(new.key_id) + amount > new.budget.nano:
            return InsufficientQuota
        self.holds[new.reference] = HoldModel(new, now + new.expires_s * 1000)
        return Hold

    def settle(self, reference: str, charge: int) -> Settled | type:
        hold = self.holds[reference]
        if hold.is_open:
            wallet = hold.new.wallet
            hold.end = "captured"
            hold.paid = min(charge, self.available(wallet))
            hold.uncovered = charge - hold.paid
            self.posted[wallet] -= hold.paid
            self.spent[wallet] += hold.paid
        if hold.end != "captured" or hold.paid + hold.uncovered != charge:
            return AlreadyResolved
        return Settled(Money(hold.paid), Money(hold.uncovered))

    def release(self, reference: str, kind: str) -> bool:
        hold = self.holds[reference]
        changed = hold.is_open
        if changed:
            hold.end = kind
        return changed

    def operate(self, operation: str, kind: str, wallet: str, amount: int) -> bool | type:
        if operation in self.operations:
            return False if self.operations[operation] == (kind, wallet, amount) else RepeatedDifferently
        change = -amount if kind == "refund" else amount
        if change < 0 and self.available(wallet) < -change:
            return InsufficientQuota
        self.operations[operation] = (kind, wallet, amount)
        self.posted[wallet] += change
        return True


class Ledger(RuleBasedStateMachine):
    """Does everything to the ledger that the station may do."""

    connection: Connection
    clock: ManualClock

    @initialize(funds=st.lists(st.integers(0, 500), min_size=3, max_size=3))
    def begin(self, funds):
        self.connection.begin(write=True)
        self.tx = Transaction(self.connection)
        self.model = Model()
        self.ids: dict[str, str] = {}
        self.numbers = itertools.count()
        for wallet, amount in zip(WALLETS, funds, strict=True):
            assert self.operate(f"funds {wallet}", "top_up", wallet, amount) is True

    def teardown(self):
        self.connection.rollback()

    def attempt(self, job, crash=False):
        """Run a step in a savepoint; what it raises is its result and undoes it."""
        self.connection.command("SAVEPOINT step")
        try:
            result = job() if not crash else crashing(job)
        except (InsufficientQuota, AlreadyResolved, RepeatedDifferently, Crash) as error:
            self.connection.command("ROLLBACK TO SAVEPOINT step")
            result = error
        self.connection.command("RELEASE SAVEPOINT step")
        return result

    def describe(self, reference, wallet, amount, key, expires_s) -> NewHold:
        budget = KEYS[key] if wallet == WALLETS[0] else None
        return NewHold(
            reference=reference,
            wallet=wallet,
            amount=Money(amount),
            owner=None,
            expires_s=expires_s,
            key_id=key,
            budget_period="2026-11",
            budget=None if budget is None else Money(budget),
        )

    def remember(self, result):
        if isinstance(result, Hold):
            assert self.ids.setdefault(result.reference, result.id) == result.id

    def some_reference(self, data) -> str:
        """Choose a hold that was taken: mostly one that is open, where there is one."""
        known = sorted(self.ids)
        is_open = [reference for reference in known if self.model.holds[reference].is_open]
        return data.draw(st.sampled_from(is_open * 4 + known))

    @rule(wallet=wallets, amount=amounts, key=st.sampled_from(list(KEYS)), expires_s=st.integers(1, 90), crash=crashes)
    def reserve(self, wallet, amount, key, expires_s, crash):
        new = self.describe(f"req_{next(self.numbers)}", wallet, amount, key, expires_s)
        result = self.attempt(lambda: take_hold(self.tx, new), crash)
        if not crash:
            assert kind_of(result) is self.model.take(new, self.clock.now_ms())
            self.remember(result)

    @rule(data=st.data(), size=st.integers(2, 6))
    def reserve_together(self, data, size):
        known = sorted(self.ids)
        fresh = [f"req_{next(self.numbers)}" for _ in range(size)]
        news = [
            self.describe(
                data.draw(st.sampled_from(known[-1:] + fresh)),
                data.draw(wallets),
                data.draw(st.integers(0, 120)),
                data.draw(st.sampled_from(list(KEYS))),
                60,
            )
            for _ in range(size)
        ]
        results = take_holds(self.tx, news)
        for place in serial_order(news):
            assert kind_of(results[place]) is self.model.take(news[place], self.clock.now_ms())
            self.remember(results[place])

    @precondition(lambda self: self.ids)
    @rule(data=st.data(), share=st.sampled_from(["below", "at", "above", "far above", "nothing"]), crash=crashes)
    def settle(self, data, share, crash):
        reference = self.some_reference(data)
        charge = self.charge_of(reference, share)
        result = self.attempt(lambda: settle(self.tx, Settlement(self.ids[reference], Money(charge))), crash)
        if not crash:
            self.assert_settled(result, self.model.settle(reference, charge))

    @precondition(lambda self: self.ids)
    @rule(data=st.data(), size=st.integers(2, 6))
    def settle_together(self, data, size):
        shares = st.sampled_from(["below", "at", "above", "nothing"])
        pairs = [(self.some_reference(data), data.draw(shares)) for _ in range(size)]
        charges = [(reference, self.charge_of(reference, share)) for reference, share in pairs]
        once = list({reference: (reference, charge) for reference, charge in charges}.values())
        results = settle_many(self.tx, [Settlement(self.ids[name], Money(charge)) for name, charge in once])
        above = [charge > self.model.holds[name].new.amount.nano for name, charge in once]
        for place in sorted(range(len(once)), key=lambda place: above[place]):
            self.assert_settled(results[place], self.model.settle(*once[place]))

    def charge_of(self, reference, share) -> int:
        amount = self.model.holds[reference].new.amount.nano
        return {"below": amount // 2, "at": amount, "above": amount + 7, "far above": amount + 900, "nothing": 0}[share]

    def assert_settled(self, result, expected):
        assert (type(result) if isinstance(result, Exception) else result) == expected

    @precondition(lambda self: self.ids)
    @rule(data=st.data(), crash=crashes)
    def release(self, data, crash):
        reference = self.some_reference(data)
        result = self.attempt(lambda: release(self.tx, self.ids[reference]), crash)
        if not crash:
            assert result is self.model.release(reference, "released")

    @precondition(lambda self: self.ids)
    @rule(data=st.data(), size=st.integers(1, 5))
    def release_together(self, data, size):
        references = [self.some_reference(data) for _ in range(size)]
        results = release_many(self.tx, [self.ids[reference] for reference in references])
        assert results == [self.model.release(reference, "released") for reference in references]

    @rule(seconds=st.integers(1, 40))
    def expire(self, seconds):
        self.clock.turn(seconds)
        now = self.clock.now_ms()
        if self.connection.kind == "postgresql":
            self.connection.command(f"SELECT set_config('yiapi.now_ms', '{now}', true)")
        due = [name for name, hold in self.model.holds.items() if hold.is_open and hold.expires_at <= now]
        assert expire_holds(self.tx, 1000) == len(due)
        for reference in due:
            self.model.release(reference, "expired")

    @rule(wallet=wallets, kind=st.sampled_from(["top_up", "grant", "refund", "adjust"]), amount=amounts, crash=crashes)
    def move(self, wallet, kind, amount, crash):
        self.operate_and_compare(f"op_{next(self.numbers)}", kind, wallet, min(amount, 500), crash)

    @rule(wallet=wallets, amount=st.integers(-200, 200))
    def adjust(self, wallet, amount):
        self.operate_and_compare(f"op_{next(self.numbers)}", "adjust", wallet, amount, False)

    @rule(data=st.data(), change=st.sampled_from([0, 0, 1]))
    def replay_an_operation(self, data, change):
        operation = data.draw(st.sampled_from(sorted(self.model.operations)))
        kind, wallet, amount = self.model.operations[operation]
        self.operate_and_compare(operation, kind, wallet, amount + change, False)

    @precondition(lambda self: self.ids)
    @rule(data=st.data(), change=st.sampled_from([0, 0, 1]))
    def replay_a_hold(self, data, change):
        first = self.model.holds[self.some_reference(data)].new
        again = self.describe(first.reference, first.wallet, first.amount.nano + change, first.key_id, first.expires_s)
        result = self.attempt(lambda: take_hold(self.tx, again))
        assert kind_of(result) is self.model.take(again, self.clock.now_ms())
        self.remember(result)

    @precondition(lambda self: any(hold.end == "captured" for hold in self.model.holds.values()))
    @rule()
    def replay_every_settlement(self):
        ended = {name: hold for name, hold in self.model.holds.items() if hold.end == "captured"}
        again = [Settlement(self.ids[name], Money(hold.paid + hold.uncovered)) for name, hold in ended.items()]
        expected = [Settled(Money(hold.paid), Money(hold.uncovered)) for hold in ended.values()]
        assert settle_many(self.tx, again) == expected

    def operate(self, operation, kind, wallet, amount):
        result = self.model.operate(operation, kind, wallet, amount)
        self.assert_operated(operation, kind, wallet, amount, result)
        return result

    def operate_and_compare(self, operation, kind, wallet, amount, crash):
        if crash:
            self.attempt(lambda: self.job_of(operation, kind, wallet, amount), crash)
        else:
            self.operate(operation, kind, wallet, amount)

    def assert_operated(self, operation, kind, wallet, amount, expected):
        result = self.attempt(lambda: self.job_of(operation, kind, wallet, amount))
        assert (kind_of(result) if isinstance(result, Exception) else result) is expected

    def job_of(self, operation, kind, wallet, amount):
        if kind == "refund":
            return refund(self.tx, operation, wallet, Money(amount))
        if kind == "adjust":
            return adjust(self.tx, operation, wallet, Money(amount))
        return top_up(self.tx, operation, wallet, Money(amount), kind)

    @invariant()
    def model_and_ledger_agree(self):
        for wallet in WALLETS:
            now = balance(self.tx, wallet)
            assert (now.posted.nano, now.held.nano) == (self.model.posted[wallet], self.model.held(wallet))
            assert now.spent_total.nano == self.model.spent[wallet]
            assert now.available.nano >= 0

    @invariant()
    def books_are_sound(self):
        report = examine(self.tx, triggers=_TRIGGERS[self.connection.kind])
        assert [line for line in report.violations if line.invariant != "I11"] == []  # no calls around these holds


def kind_of(result: object) -> type:
    """The kind of a result; whether nodes keep a part of a wallet that is short is no matter to the model."""
    return InsufficientQuota if isinstance(result, InsufficientQuota) else type(result)


def serial_order(news: list[NewHold]) -> list[int]:
    """The order in which a batch is as good as one hold after the other: wallet by wallet, repetitions in rounds."""
    rounds: dict[str, int] = {}
    keys = []
    for place, new in enumerate(news):
        count = rounds[new.reference] = rounds.get(new.reference, 0) + 1
        keys.append((count, new.wallet, place))
    return [key[-1] for key in sorted(keys)]


def test_the_ledger_agrees_with_its_model(url):
    clock = ManualClock()
    connection = connect(url, clock)
    machine = type("Machine", (Ledger,), {"connection": connection, "clock": clock})
    sequences = int(os.environ.get("LEDGER_SEQUENCES", SEQUENCES[connection.kind]))
    plan = settings(
        max_examples=sequences,
        stateful_step_count=STEPS,
        deadline=None,
        database=None,
        print_blob=True,
        suppress_health_check=list(HealthCheck),
    )

    try:
        run_state_machine_as_test(machine, settings=plan)
    finally:
        connection.close()


@pytest.mark.parametrize("references", [["a", "b", "a"], ["a", "a", "a"]])
def test_the_serial_order_puts_repetitions_last(new, references):
    order = serial_order([new(1, reference) for reference in references])

    assert sorted(order) == [0, 1, 2]
    assert order.index(0) < order.index(2)
