"""The check of the books: reads one consistent view of a live station and lists what contradicts an invariant.

Most of it is one statement for each way in which an invariant can be broken (``check_…`` in queries/ledger.sql); what
follows here is their list, and the two that need more than SQL. I14, the serial order, is a property of histories and
belongs to the tests.
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from typing import NamedTuple

from yiapi.clock import rfc3339
from yiapi.db import Database, Query, Row, Transaction
from yiapi.ledger import store
from yiapi.money import Money, money_text

LINES_MAX = 1000
"""Of one kind; who has that many does not need the others to begin."""

PAGE_ROWS = 5000

PriceOf = Callable[[Transaction, str, str, int, int], Money]
"""Price a usage again: provider, usage as JSON, price version, multiplier in millionths."""


class Violation(NamedTuple):
    """One contradiction: the invariant, and a sentence with the ids."""

    invariant: str
    text: str


@dataclass(frozen=True, slots=True)
class Report:
    """What the check found; ``information`` lists differences that are no violations."""

    counts: str
    violations: tuple[Violation, ...]
    information: tuple[str, ...]

    @property
    def is_clean(self) -> bool:
        """Whether nothing contradicts an invariant."""
        return not self.violations

    def lines(self) -> list[str]:
        """Return the report as text."""
        verdict = "the books agree" if self.is_clean else f"{len(self.violations)} violations"
        found = [f"{violation.invariant}: {violation.text}" for violation in self.violations]
        return [f"{self.counts}: {verdict}", *found, *self.information]


_UNLIKE_POSTED = (
    "{id} was settled as {captured}, {above}, {uncovered},"
    " and posted as {posted_captured}, {posted_above}, {posted_uncovered} or to another wallet"
)

_RULES = (
    ("I1", "check_balances", "{id} has a balance of {posted}, its entries sum to {entries}"),
    ("I2", "check_sums", "all accounts of mode {mode} sum to {total}"),
    ("I3", "check_available", "{id} has {posted} posted and {held} held"),
    ("I4", "check_held", "{id} has {held} held, its open holds sum to {holds}"),
    ("I4", "check_below", "{id} counts {captured_below} as captured below it, what is below it captured {captured}"),
    ("I4", "check_spare", "{id} says that {spare} is spare of {remaining}"),
    ("I5", "check_resolved_twice", "{id} has {resolutions} resolutions"),
    ("I5", "check_resolved_unknown", "{id} has a resolution and is no hold"),
    ("I5", "check_open", "{id} says is_open = {is_open}, its resolution says otherwise"),
    ("I5", "check_overdue", "{id} expired at {expires_at} and is still open"),
    ("I6", "check_captured", "{id} of {amount} is {kind} with {captured} of it, {above} above, {uncovered} uncovered"),
    (
        "I8",
        "check_charges",
        _UNLIKE_POSTED,
    ),
    ("I8", "check_charges_unknown", "{id} has a posting of kind {kind} and no resolution"),
    ("I8", "check_operations", "{id} is no {kind}: {source} to {destination}, corrects {corrects}"),
    (
        "I9",
        "check_use",
        "{id} was brought {brought} and used {used}; it has {available} available, {held} held, {captured} captured",
    ),
    (
        "I10",
        "check_budgets",
        "key {id} has {held} held and {spent} spent in {period}, its holds say {holds} and {captures}",
    ),
    ("I10", "check_budgets_unknown", "key {id} has {holds} holds in {period} and no budget"),
    (
        "I11",
        "check_requests",
        "request {id} says {charge} and a loss of {loss}, its hold {hold_id} says {captured} and {uncovered}",
    ),
    (
        "I11",
        "check_batches",
        "batch {id} has calls for {charge} and a loss of {loss} below {hold_id}, and posted {captured} and {uncovered}",
    ),
    ("I11", "check_batch_wallets", "batch {id} posted a {kind} from {source} for {hold_id}, an allowance of {wallet}"),
    ("I11", "check_batch_tenants", "request {id} of {account_id} in {mode} was paid by {hold_id} of {wallet}"),
    ("I11", "check_tasks", "task {id} is {status} with {charge}, its hold {hold_id} says {captured}"),
    ("I11", "check_charges_unasked", "{id} captured {captured} and lost {uncovered} for no request or task"),
)

_TRIGGERS = {
    "sqlite": ("postings_stay", "postings_remain", "resolutions_stay", "resolutions_remain"),
    "postgresql": ("postings_stay", "resolutions_stay"),
}


async def check(database: Database, *, price_of: PriceOf | None = None) -> Report:
    """Check all books. It only reads, and neither waits for the station's work nor stops it.

    ``price_of`` prices recorded usage again (I12); without it that is left out.
    """
    triggers = _TRIGGERS[database.kind]
    return await database.read(lambda tx: examine(tx, triggers=triggers, price_of=price_of))


def examine(tx: Transaction, *, triggers: tuple[str, ...] = (), price_of: PriceOf | None = None) -> Report:
    """Check what this transaction sees; ``triggers`` are those that must be there."""
    now = store.begin_check(tx)
    violations = [violation for rule in _RULES for violation in _broken(tx, now, *rule)]
    violations += _missing_triggers(tx, triggers)
    if price_of is not None:
        violations += _mispriced(tx, "request", store.PRICED_REQUESTS, price_of)
        violations += _mispriced(tx, "task", store.PRICED_TASKS, price_of)
    return Report(store.check_counts(tx), tuple(violations), tuple(_differences(tx)))


def _broken(tx: Transaction, now: int, invariant: str, query: str, text: str) -> list[Violation]:
    rows = store.contradictions(tx, query, now=now, limit=LINES_MAX)
    return [Violation(invariant, text.format(**row)) for row in rows]


def _missing_triggers(tx: Transaction, triggers: tuple[str, ...]) -> list[Violation]:
    present = store.triggers(tx) if triggers else set()
    return [
        Violation("I7", f"the trigger {name} is missing: entries could be changed")
        for name in triggers
        if name not in present
    ]


def _mispriced(tx: Transaction, what: str, query: Query, price_of: PriceOf) -> list[Violation]:
    found: list[Violation] = []
    rows = store.page(tx, query, after="", limit=PAGE_ROWS)
    while rows and len(found) < LINES_MAX:
        for row in rows:
            text = _mispricing(tx, row, price_of)
            if text is not None:
                found.append(Violation("I12", f"{what} {row['id']} {text}"))
        rows = store.page(tx, query, after=rows[-1]["id"], limit=PAGE_ROWS)
    return found


def _mispricing(tx: Transaction, row: Row, price_of: PriceOf) -> str | None:
    try:
        price = price_of(tx, row["provider"], row["usage"], row["price_version"], row["multiplier"])
    except Exception as error:  # noqa: BLE001 - usage that nobody can price is a finding, whatever it raises
        return f"cannot be priced again: {error}"
    recorded = Money(row["charge"] + row["loss"])
    return None if price == recorded else f"was charged {recorded} with its loss, its usage is worth {price} USD"


def _differences(tx: Transaction) -> list[str]:
    return [
        f"I13: {rfc3339(row['day'] * 86_400_000)[:10]} {row['channel_id']}:"
        f" customers paid {money_text(row['charged'])}, attempts cost {money_text(row['cost'])} USD"
        for row in store.charges_and_costs(tx, LINES_MAX)
    ]
