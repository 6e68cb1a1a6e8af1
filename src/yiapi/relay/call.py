"""One call of a caller, from its head to its last byte: what is known of it, and how it is answered."""

from __future__ import annotations

import asyncio
import math
from collections.abc import Callable, Mapping, Sequence
from typing import Any

import msgspec

from yiapi.apikeys import Account, Key, Slot
from yiapi.calls import Claim, Draw, Record, Replay
from yiapi.clock import whole_ms
from yiapi.dispatch import Errand
from yiapi.edge import HeaderPairs, Inbound, lines_of
from yiapi.errors import StationError
from yiapi.ledger import Hold
from yiapi.money import Money, money_text
from yiapi.pricing import PriceBook
from yiapi.providers.contract import Request
from yiapi.providers.registry import Served
from yiapi.relay.forms import Form
from yiapi.relay.terms import Terms
from yiapi.tasks import Task

JSON_TYPE = (b"content-type", b"application/json")
JSON_ONLY = [JSON_TYPE]
JSON_LINE = b"content-type: application/json\r\n"
TEST_LINE = b"x-yiapi-mode: test\r\n"
CLOSES_CONNECTION = frozenset({408, 413})


class Call:
    """What the flows know of a call. Filled step by step by ``yiapi.relay.intake``."""

    account: Account
    amount: Money  # what it can cost at the most
    book: PriceBook
    errand: Errand
    hold: Hold | Draw | None
    key: Key
    outgoing: bytes | Form
    request: Request
    terms: Terms

    body: bytes | Form = b""
    claim: Claim | None = None
    client_request_id: str | None = None
    deadline_at: float = math.inf
    earlier: Task | None = None  # the task of the caller's that this call goes on from
    is_stopped: bool = False
    is_taken_in: bool = False  # it was read, priced and admitted
    made: Task | None = None  # what a submission has written of its task
    left_at: float = 0.0  # when it was seen that the caller has left, by the monotonic clock
    model: str = ""
    slot: Slot | None = None
    stop: Callable[[], None] | None = None
    """Ends a call that no task has in its hands."""
    stopped_by: StationError | None = None  # the station ends the call
    task: asyncio.Task[Any] | None = None
    touched: float = 0.0  # when bytes of a stream last went to the caller, by the monotonic clock
    wait_s: float = 0.0

    def __init__(
        self,
        served: Served,
        path_values: Mapping[str, str],
        inbound: Inbound,
        request_id: str,
        *,
        began: float,
        created_at_ms: int,
    ) -> None:
        self.served = served
        self.path_values = path_values
        self.inbound = inbound
        self.headers = inbound.headers
        self.request_id = request_id
        self.began = began
        self.created_at_ms = created_at_ms
        self.hold = None

    @property
    def has_left(self) -> bool:
        """Whether the caller has closed its connection."""
        return self.left_at > 0.0 or self.inbound.has_left

    # The record

    def record(self, now: float) -> Record:
        """Begin the row of this call."""
        return Record(
            id=self.request_id,
            account_id=self.account.id,
            mode=self.key.mode,
            key_id=self.key.id,
            operation=self.served.name,
            provider=self.served.provider.slug,
            model=self.model,
            price_version=self.book.version,
            multiplier=self.terms.multiplier,
            created_at_ms=self.created_at_ms,
            client_request_id=self.client_request_id,
            duration_ms=whole_ms(now - self.began),
        )

    # The answer

    def common_lines(self) -> bytes:
        """Return the header lines that every answer carries."""
        return b"x-request-id: %b\r\n%b" % (self.request_id.encode(), self._own_lines())

    def _own_lines(self) -> bytes:
        """Return the header lines that the answers of some keys carry."""
        key = getattr(self, "key", None)
        lines = TEST_LINE if key is not None and key.mode == "test" else b""
        if self.slot is not None and self.slot.headers:
            lines += lines_of(self.slot.headers)
        return lines

    def answer_charged(self, headers: HeaderPairs, charge: Money, body: bytes) -> None:
        """Send the whole answer of a call that has worked, and say what it cost."""
        self.inbound.answer(
            200,
            b"%bx-yiapi-charge: %b\r\nx-request-id: %b\r\n%b"
            % (
                JSON_LINE if headers is JSON_ONLY else lines_of(headers),
                money_text(charge.nano).encode(),
                self.request_id.encode(),
                self._own_lines(),
            ),
            body,
        )

    def begin(self, status: int, headers: HeaderPairs) -> None:
        """Send the head of a streamed answer."""
        self.inbound.begin(status, lines_of(headers) + self.common_lines())

    def answer(self, status: int, headers: HeaderPairs, body: bytes) -> None:
        """Send a whole answer."""
        self.inbound.answer(status, lines_of(headers) + self.common_lines(), body)

    def refuse(self, error: StationError) -> None:
        """Answer an error in the provider's envelope."""
        headers = [JSON_TYPE]
        if error.retry_after_s is not None:
            headers.append((b"retry-after", str(max(1, math.ceil(error.retry_after_s))).encode()))
        if error.status in CLOSES_CONNECTION:
            self.inbound.keeps_connection = False
        self.answer(error.status, headers, self.envelope(error))

    def envelope(self, error: StationError) -> bytes:
        """Render an error in the dialect."""
        return msgspec.json.encode(self.served.provider.envelope(error, self.request_id))

    def replay(self, stored: Replay) -> None:
        """Answer what the first run with the same key answered."""
        self.answer(stored.status, [*pairs_of(stored.headers), (b"idempotency-replayed", b"true")], stored.body)


def pairs_of(headers: Sequence[tuple[str, str]]) -> HeaderPairs:
    """Spell headers as ASGI wants them."""
    return [(name.encode("latin-1"), value.encode("latin-1")) for name, value in headers]


def texts_of(headers: HeaderPairs) -> list[tuple[str, str]]:
    """Spell headers as a column keeps them."""
    return [(name.decode("latin-1"), value.decode("latin-1")) for name, value in headers]
