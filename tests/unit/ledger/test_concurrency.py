"""Many at once: exactly those are served whom the balance covers, and what was seen fits one serial order."""

import asyncio
import itertools
import random
from dataclasses import dataclass, field

import pytest

from yiapi.db import Database
from yiapi.db.sql import query_of
from yiapi.errors import InsufficientQuota
from yiapi.ledger import (
    AlreadyResolved,
    Hold,
    Settlement,
    balance,
    refund,
    release,
    settle,
    settle_many,
    take_hold,
    take_holds,
    top_up,
)
from yiapi.ledger.check import check
from yiapi.money import Money

WALLET = "wallet:acct_a:live"
CLIENTS = 64
PLACES = query_of("places", "CREATE TABLE places (n BIGINT NOT NULL)")
FIRST_PLACE = query_of("first_place", "INSERT INTO places (n) VALUES (0)")
NEXT_PLACE = query_of("next_place", "UPDATE places SET n = n + 1 RETURNING n")


@pytest.fixture
def nodes(database, clock):
    """The database, and on a server a second node at the same one."""
    second = Database(database.url, clock=clock) if database.kind == "postgresql" else database
    yield database, second
    second.close()


@pytest.mark.parametrize("count", [0, 1, 7, 333, 999, 1000])
async def test_with_a_balance_for_k_of_a_thousand_exactly_k_are_served(nodes, new, note_request, count):
    first, _ = nodes
    await first.write(lambda tx: top_up(tx, "funds", WALLET, Money(100 * count + 99)))
    hold_groups = [node.group(take_holds) for node in nodes]
    settle_groups = [node.group(settle_and_note(note_request)) for node in nodes]
    numbers = iter(range(1000))
    outcomes: list[bool] = []

    async def client(place: int) -> None:
        for number in numbers:
            wanted = new(100, f"req_{number}")
            try:
                if number % 5:
                    hold = await hold_groups[place % 2].submit(wanted)
                else:
                    hold = await nodes[place % 2].write(lambda tx, wanted=wanted: take_hold(tx, wanted))
            except InsufficientQuota:
                outcomes.append(False)
                continue
            await settle_groups[place % 2].submit(hold)
            outcomes.append(True)

    await asyncio.gather(*[client(place) for place in range(CLIENTS)])

    now = await first.read(lambda tx: balance(tx, WALLET))
    assert (len(outcomes), sum(outcomes)) == (1000, count)
    assert (now.available, now.held, now.spent_total) == (Money(99), Money(0), Money(100 * count))
    assert (await check(first)).lines()[1:] == []


def settle_and_note(note_request):
    """Settle as calls are settled: with the row of each call in the same transaction."""

    def run(tx, holds: list[Hold]):
        results = settle_many(tx, [Settlement(hold.id, hold.amount) for hold in holds])
        for hold in holds:
            note_request(tx, hold, charge=hold.amount.nano)
        return results

    return run


@dataclass
class Model:
    """The ledger of one wallet in a few lines."""

    posted: int = 0
    holds: dict[str, int] = field(default_factory=dict)
    ended: dict[str, object] = field(default_factory=dict)

    @property
    def available(self) -> int:
        return self.posted - sum(self.holds.values())

    def apply(self, verb: str, name: str, amount: int) -> object:
        return getattr(self, verb)(name, amount)

    def top_up(self, name: str, amount: int) -> object:
        self.posted += amount
        return True

    def refund(self, name: str, amount: int) -> object:
        if self.available < amount:
            return InsufficientQuota
        self.posted -= amount
        return True

    def take(self, name: str, amount: int) -> object:
        if self.available < amount:
            return InsufficientQuota
        self.holds[name] = amount
        return Hold

    def settle(self, name: str, amount: int) -> object:
        if name in self.ended:
            return self.ended[name] if self.ended[name] == ("settled", amount) else AlreadyResolved
        del self.holds[name]
        self.posted -= min(amount, self.available)  # what others hold is not available
        self.ended[name] = ("settled", amount)
        return ("settled", amount)

    def release(self, name: str, amount: int) -> object:
        if name in self.ended:
            return False
        del self.holds[name]
        self.ended[name] = "released"
        return True


@dataclass(frozen=True)
class Event:
    """What a client asked for and saw; the place is that of its transaction, the moments are the client's."""

    place: int
    asked: int
    seen: int
    verb: str
    name: str
    amount: int
    result: object
    posted: int
    held: int


class History:
    """Runs operations and records them; each reads its place and the balance inside its own transaction."""

    def __init__(self, nodes) -> None:
        self.nodes = nodes
        self.events: list[Event] = []
        self._moments = itertools.count()

    async def run(self, place: int, verb: str, name: str, amount: int, job) -> object:
        asked = next(self._moments)

        def recorded(tx):
            try:
                raw = job(tx)
            except (InsufficientQuota, AlreadyResolved) as error:
                raw = error
            now = balance(tx, WALLET)
            return raw, tx.one(NEXT_PLACE)["n"], now

        raw, n, now = await self.nodes[place % 2].write(recorded)
        result = summary(verb, amount, raw)
        event = Event(n, asked, next(self._moments), verb, name, amount, result, now.posted.nano, now.held.nano)
        self.events.append(event)
        return raw


def summary(verb: str, amount: int, raw: object) -> object:
    if isinstance(raw, bool):
        return raw
    if verb == "settle" and not isinstance(raw, Exception):
        return ("settled", amount)
    return type(raw)


async def test_what_clients_see_fits_one_serial_order(nodes, new):
    first, _ = nodes
    await first.write(lambda tx: (tx.run(PLACES), tx.run(FIRST_PLACE)))
    history = History(nodes)
    open_holds: dict[str, Hold] = {}
    numbers = iter(range(1000))

    async def client(place: int) -> None:
        chance = random.Random(place)
        for number in numbers:
            await one_operation(history, chance, place, number, open_holds, new)

    await asyncio.gather(*[client(place) for place in range(16)])

    assert len(history.events) == 1000
    assert_is_serial(history.events)


async def one_operation(history: History, chance: random.Random, place: int, number: int, holds, new) -> None:
    verb = chance.choice(["top_up", "refund", "take", "take", "take", "settle", "settle", "release"])
    amount = chance.randrange(0, 120)
    name = f"{verb}_{number}"
    if verb in {"settle", "release"} and holds:
        name = chance.choice(list(holds))
        hold = holds[name]
        await history.run(place, verb, name, amount, ending_of(verb, hold, amount))
    elif verb == "refund":
        await history.run(place, verb, name, amount, lambda tx: refund(tx, name, WALLET, Money(amount)))
    elif verb == "take":
        taken = await history.run(place, verb, name, amount, lambda tx: take_hold(tx, new(amount, name)))
        if isinstance(taken, Hold):
            holds[name] = taken
    else:
        await history.run(place, "top_up", name, amount, lambda tx: top_up(tx, name, WALLET, Money(amount)))


def ending_of(verb: str, hold: Hold, amount: int):
    if verb == "release":
        return lambda tx: release(tx, hold.id)
    return lambda tx: settle(tx, Settlement(hold.id, Money(amount)))


def assert_is_serial(events: list[Event]) -> None:
    """Run the events through the model in the order of their places, which may not contradict what clients saw."""
    ordered = sorted(events, key=lambda event: event.place)
    assert len({event.place for event in ordered}) == len(ordered)
    model = Model()
    last_asked = -1
    for event in ordered:
        assert event.seen > last_asked, "an operation took effect after one that began when it was over"
        last_asked = max(last_asked, event.asked)
        assert model.apply(event.verb, event.name, event.amount) == event.result, event
        assert (model.posted, sum(model.holds.values())) == (event.posted, event.held), event
