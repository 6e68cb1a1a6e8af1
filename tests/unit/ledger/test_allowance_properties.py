"""The ledger with nodes that reserve ahead and write down behind: in whatever order, the books are sound.

The state machine of ``test_properties`` goes on beside two nodes that take allowances, draw, note, settle, answer
recalls, lose their lease and are replayed. Their purses are the real ones; the database below them is the machine's
transaction, and their journals are lists. More of it: LEDGER_SEQUENCES=10000.
"""

import asyncio
import os
from dataclasses import dataclass, field

from hypothesis import HealthCheck, settings
from hypothesis import strategies as st
from hypothesis.stateful import initialize, invariant, precondition, rule, run_state_machine_as_test

from yiapi.calls import Attempt, Draw, Ending, Node, Record, frames
from yiapi.calls.frames import Answered, Ended, Returned, Spare
from yiapi.calls.purse import Purses
from yiapi.calls.service import frame_of
from yiapi.calls.settling import write_frames
from yiapi.clock import ManualClock
from yiapi.db import DuplicateRow
from yiapi.db.connect import connect
from yiapi.db.sql import query_of
from yiapi.ledger import allowances_of, balance, open_allowances, recall, release_orphans
from yiapi.ledger.allowance import RECALLED_MS, SHARE_OF_AVAILABLE
from yiapi.ledger.check import _TRIGGERS, examine
from yiapi.money import Money

from .test_properties import WALLETS, Ledger, Model, crashes, wallets

NODES = ("node_1", "node_2")
SEQUENCES = {"sqlite": 150, "postgresql": 8}
STEPS = 50

_NODE = query_of("node", "INSERT INTO nodes (id, name, started_at, lease_until) VALUES (:id, :id, 1, 9000000000000000)")
_END = query_of("end", "UPDATE nodes SET lease_until = 0 WHERE id = :id")
_BEGIN = query_of("begin", "UPDATE nodes SET lease_until = 9000000000000000 WHERE id = :id")


class Here:
    """The database as a node sees it: one transaction, which is there already."""

    def __init__(self, machine) -> None:
        self.machine = machine

    async def write(self, job):
        return job(self.machine.tx)


class Paper:
    """A journal without files."""

    free = 10**12

    def __init__(self) -> None:
        self.frames: list[bytes] = []
        self.settled = 0

    def append(self, payload: bytes) -> None:
        self.frames.append(payload)

    def needs_room(self, promised: int) -> bool:
        return False

    def catch_up(self) -> None:
        pass

    def waiting(self):
        return [frames.decode(payload) for payload in self.frames[self.settled :]]


@dataclass
class AllowanceModel:
    wallet: str
    owner: str
    amount: int
    captured: int = 0
    is_open: bool = True

    @property
    def held(self) -> int:
        return self.amount - self.captured if self.is_open else 0


@dataclass
class Member:
    """A node: what it remembers, what it wrote, and the calls that run on it."""

    id: str
    purses: Purses
    journal: Paper
    running: list[Draw] = field(default_factory=list)
    batches: list[tuple[str, list[object]]] = field(default_factory=list)


class Ahead(Model):
    """What the ledger should say of a wallet when nodes have reserved a part of it."""

    held_ahead = staticmethod(lambda wallet: 0)

    def available(self, wallet: str) -> int:
        return super().available(wallet) - self.held_ahead(wallet)


class Station(Ledger):
    """Does everything to the ledger that nodes with allowances may do."""

    @initialize(funds=st.lists(st.integers(0, 500), min_size=3, max_size=3))
    def begin(self, funds):
        super().begin(funds=funds)
        self.model.__class__ = Ahead
        self.model.held_ahead = self.held_ahead
        self.loop = asyncio.new_event_loop()
        self.members = {name: self.member(name) for name in NODES}
        self.allowances: dict[str, AllowanceModel] = {}
        self.lost: dict[str, int] = {}
        self.recalled_at: dict[str, int] = {}
        self.ended: set[str] = set()
        self.calls = 0

    def member(self, name: str) -> Member:
        self.tx.run(_NODE, id=name)
        journal = Paper()
        node = Node(name, name, 30.0, self.clock, float("inf"))
        purses = Purses(
            Here(self),
            node,
            self.clock,
            journal,
            give_back=lambda one, amount, is_all: journal.append(
                frames.encode(Returned(one.id, one.wallet, amount, is_all))
            ),
            tell=lambda one: journal.append(frames.encode(Spare(one.id, one.left))),
            answer=lambda ids, number: journal.append(frames.encode(Answered(ids, number))),
            calls_s_max=600,
        )
        return Member(name, purses, journal)

    def teardown(self):
        super().teardown()
        if hasattr(self, "loop"):
            self.loop.close()

    def held_ahead(self, wallet: str) -> int:
        return sum(one.held for one in self.allowances.values() if one.wallet == wallet)

    # The way of a call

    @rule(name=st.sampled_from(NODES), wallet=wallets, amount=st.integers(0, 12))
    def begin_call(self, name, wallet, amount):
        member = self.members[name]
        draw = self.loop.run_until_complete(self.draw(member, wallet, amount))
        if draw is not None:
            member.running.append(draw)

    async def draw(self, member: Member, wallet: str, amount: int) -> Draw | None:
        available = self.model.available(wallet)
        draw = member.purses.draw(wallet, amount) or await member.purses.refill(wallet, amount)
        for purse in list(member.purses._purses.values()):
            if purse.filling is not None:
                await purse.filling
        self.notice(member, wallet, available)
        return draw

    def notice(self, member: Member, wallet: str, available: int) -> None:
        """See which allowances a node has got, and that it may have them."""
        for hold_id, found in allowances_of(self.tx, member.id):
            if hold_id in self.allowances:
                continue
            [row] = [one for one in open_allowances(self.tx, found) if one.id == hold_id]
            assert found == wallet
            assert member.id not in self.ended
            assert 0 <= row.amount <= available // SHARE_OF_AVAILABLE
            assert self.clock.now_ms() - self.recalled_at.get(wallet, -(10**15)) > RECALLED_MS
            self.allowances[hold_id] = AllowanceModel(wallet, member.id, row.amount)

    @precondition(lambda self: any(member.running for member in self.members.values()))
    @rule(data=st.data(), share=st.sampled_from(["nothing", "failed", "half", "all", "above"]))
    def end_call(self, data, share):
        member = data.draw(st.sampled_from([member for member in self.members.values() if member.running]))
        draw = data.draw(st.sampled_from(member.running))
        member.running.remove(draw)
        price = {"nothing": 0, "failed": None, "half": draw.amount // 2, "all": draw.amount, "above": draw.amount + 5}[
            share
        ]
        before = draw.allowance.left
        charge, loss = member.purses.end(draw, price or 0)
        assert charge + loss == (price or 0)
        assert charge <= draw.amount + before
        member.journal.append(frame_of(self.ending(draw, price), draw.allowance, charge, loss))
        member.purses.ended(draw.allowance)

    def ending(self, draw: Draw, price: int | None) -> Ending:
        self.calls += 1
        _, account, mode = draw.allowance.wallet.split(":")
        record = Record(
            id=f"call_{self.calls}",
            account_id=account,
            mode=mode,
            key_id="key_1",
            operation="o",
            provider="p",
            model="m",
            price_version=1,
            multiplier=1_000_000,
            created_at_ms=1,
        )
        attempts = [Attempt("chan_1", "cred_1", 1)]
        return Ending(record=record, hold_id=draw.id, attempts=attempts, price=None if price is None else Money(price))

    # Allowances come and go

    @rule(name=st.sampled_from(NODES), seconds=st.sampled_from([0.1, 0.6, 2.1, 31.0]))
    def time_passes(self, name, seconds):
        self.expire(seconds)
        self.loop.run_until_complete(self.tick(self.members[name]))

    async def tick(self, member: Member) -> None:
        before = {wallet: self.model.available(wallet) for wallet in WALLETS}
        member.purses.tick()
        for wallet, purse in list(member.purses._purses.items()):
            if purse.filling is not None:
                await purse.filling
                self.notice(member, wallet, before[wallet])

    @rule(name=st.sampled_from(NODES), crash=crashes)
    def settle_journal(self, name, crash):
        member = self.members[name]
        batch = member.journal.waiting()
        if not batch:
            return
        reference = f"{name}:{member.journal.settled}"
        self.attempt(lambda: write_frames(self.tx, reference, batch), crash)
        if not crash:
            self.settled(member, reference, batch)

    def settled(self, member: Member, reference: str, batch) -> None:
        member.journal.settled += len(batch)
        member.batches.append((reference, batch))
        self.account_for(batch)
        for frame in batch:
            if isinstance(frame, Returned):
                one = self.allowances[frame.hold_id]
                if one.is_open:
                    one.amount -= 0 if frame.is_all else frame.amount
                    one.is_open = not frame.is_all

    def account_for(self, batch) -> None:
        """Charge what allowances pay, all calls of one together; what they do not is lost."""
        sums: dict[str, int] = {}
        for frame in batch:
            if isinstance(frame, Ended):
                sums[frame.hold_id] = sums.get(frame.hold_id, 0) + frame.charge
        for hold_id, charge in sums.items():
            one = self.allowances[hold_id]
            if one.is_open:
                assert charge <= one.held, "an allowance was overdrawn"
                one.captured += charge
                self.model.posted[one.wallet] -= charge
                self.model.spent[one.wallet] += charge
            else:
                self.lost[hold_id] = self.lost.get(hold_id, 0) + charge

    @precondition(lambda self: any(member.batches for member in self.members.values()))
    @rule(data=st.data())
    def replay_a_batch(self, data):
        """Who settles a second time what was settled is refused by the first row, and has changed nothing."""
        member = data.draw(st.sampled_from([member for member in self.members.values() if member.batches]))
        reference, batch = data.draw(st.sampled_from(member.batches))
        if not any(isinstance(frame, Ended) for frame in batch):
            return
        self.connection.command("SAVEPOINT again")
        try:
            write_frames(self.tx, f"{reference}:again", batch)
        except DuplicateRow:
            self.connection.command("ROLLBACK TO SAVEPOINT again")
        else:
            raise AssertionError("a batch was settled twice")
        self.connection.command("RELEASE SAVEPOINT again")

    @rule(wallet=wallets)
    def call_in(self, wallet):
        """After a recall, when all journals are settled, nodes hold what their calls need and nothing else."""
        number = recall(self.tx, wallet)
        self.recalled_at[wallet] = self.clock.now_ms()
        for name, member in self.members.items():
            member.purses.answer(wallet, number)
            self.settle_journal_of(name)
        living = [one for one in open_allowances(self.tx, wallet) if self.allowances[one.id].owner not in self.ended]
        assert all(one.answered == number for one in living if self.is_known(one.id))
        needed = sum(
            draw.amount
            for member in self.members.values()
            for draw in member.running
            if draw.allowance.wallet == wallet and self.allowances[draw.id].is_open and self.is_known(draw.id)
        )
        assert sum(one.amount - one.captured for one in living if self.is_known(one.id)) == needed

    def is_known(self, hold_id: str) -> bool:
        """Whether the node still remembers an allowance: it has not lost its lease since."""
        owner = self.members[self.allowances[hold_id].owner]
        return hold_id in owner.purses.own(self.allowances[hold_id].wallet)

    def settle_journal_of(self, name: str) -> None:
        member = self.members[name]
        batch = member.journal.waiting()
        if batch:
            reference = f"{name}:{member.journal.settled}"
            write_frames(self.tx, reference, batch)
            self.settled(member, reference, batch)

    # Leases

    @rule(name=st.sampled_from(NODES))
    def lose_lease(self, name):
        """Others end the lease; the node does not know, and its calls go on."""
        if name in self.ended:
            return
        self.tx.run(_END, id=name)
        self.ended.add(name)
        released = {hold.id for hold in release_orphans(self.tx, 1000)}
        for hold_id, one in self.allowances.items():
            if one.owner == name and one.is_open:
                assert hold_id in released
                one.is_open = False

    @precondition(lambda self: self.ended)
    @rule(data=st.data())
    def come_back(self, data):
        name = data.draw(st.sampled_from(sorted(self.ended)))
        self.members[name].purses.drop()
        self.tx.run(_BEGIN, id=name)
        self.ended.discard(name)

    # What must be so

    @invariant()
    def model_and_ledger_agree(self):
        if not hasattr(self, "allowances"):
            return
        for wallet in WALLETS:
            now = balance(self.tx, wallet)
            held = self.model.held(wallet) + self.held_ahead(wallet)
            assert (now.posted.nano, now.held.nano) == (self.model.posted[wallet], held)
            assert now.spent_total.nano == self.model.spent[wallet]
            assert now.available.nano >= 0

    @invariant()
    def no_money_appears_or_vanishes(self):
        """What the books say of an allowance is what its node knows of it and what is still in its journal."""
        if not hasattr(self, "members"):
            return
        for member in self.members.values():
            unsettled = member.journal.waiting()
            for wallet in WALLETS:
                for hold_id, known in member.purses.own(wallet).items():
                    model = self.allowances.get(hold_id)
                    if model is None or not model.is_open:
                        continue
                    charged = sum(f.charge for f in unsettled if isinstance(f, Ended) and f.hold_id == hold_id)
                    returned = sum(f.amount for f in unsettled if isinstance(f, Returned) and f.hold_id == hold_id)
                    assert model.held == known.left + known.needed + charged + returned
                    assert known.captured == model.captured + charged

    @invariant()
    def books_are_sound(self):
        report = examine(self.tx, triggers=_TRIGGERS[self.connection.kind])
        unasked = "for no request or task"  # holds of the machine below have no calls around them
        assert [line for line in report.violations if unasked not in line.text] == []


def test_the_ledger_with_allowances_agrees_with_its_model(url):
    clock = ManualClock()
    connection = connect(url, clock)
    machine = type("Machine", (Station,), {"connection": connection, "clock": clock})
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
