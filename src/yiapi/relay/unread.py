"""What the edge refuses unread is refused in the dialect of its path, as far as a path was named."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any, Final

import msgspec

from yiapi.edge import REASONS, lines_of
from yiapi.errors import HeadersTooLarge, InvalidRequest, MethodNotAllowed, RequestTimeout, StationError
from yiapi.ids import new_id
from yiapi.metrics import Metrics
from yiapi.relay.call import JSON_TYPE
from yiapi.relay.table import Table

Envelope = Callable[[StationError, str], Any]

KINDS: Final = {405: MethodNotAllowed, 408: RequestTimeout, 431: HeadersTooLarge}


class Unread:
    """Words the refusals; ``envelope`` is for paths that are no operation's."""

    def __init__(self, table: Table, metrics: Metrics, envelope: Envelope) -> None:
        self._table = table
        self._metrics = metrics
        self._envelope = envelope

    def __call__(self, status: int, path: bytes) -> tuple[bytes, bytes]:
        """Return header lines and body."""
        error = KINDS.get(status, InvalidRequest)(REASONS[status])
        self._metrics.refused.labels(error.code).inc()
        found = self._table.find(path)
        envelope = self._envelope if found is None else next(iter(found[0].values())).provider.envelope
        request_id = new_id("req")
        head = lines_of([JSON_TYPE, (b"x-request-id", request_id.encode())])
        return head, msgspec.json.encode(envelope(error, request_id))
