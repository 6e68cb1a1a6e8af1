"""Read how long a peer asks us to wait."""

import math
from collections.abc import Iterable
from datetime import UTC, datetime
from email.utils import parsedate_to_datetime

WAIT_S_MAX = 300.0


def retry_after_s(headers: Iterable[tuple[bytes, bytes]], *, now: datetime | None = None) -> float | None:
    """Return the wait that headers with lower-case names ask for, in seconds from 0 to 300.

    ``retry-after-ms`` is more exact and wins over ``retry-after``, which is a number of seconds
    or an HTTP date. None when neither is there or makes sense.
    """
    given = {name: value for name, value in headers if name in {b"retry-after", b"retry-after-ms"}}
    wait_ms = _number(given.get(b"retry-after-ms", b""))
    if wait_ms is not None:
        return _capped(wait_ms / 1000)
    text = given.get(b"retry-after", b"")
    wait_s = _number(text)
    return _capped(wait_s) if wait_s is not None else _until(text, now or datetime.now(UTC))


def _number(text: bytes) -> float | None:
    text = text.strip()
    if not 0 < len(text) <= 20 or text.strip(b"0123456789.-+"):
        return None
    try:
        return float(text)
    except ValueError:
        return None


def _until(text: bytes, now: datetime) -> float | None:
    if not 0 < len(text) <= 64:
        return None
    try:
        moment = parsedate_to_datetime(text.decode("ascii"))
    except (ValueError, TypeError, IndexError, OverflowError):
        return None
    if moment.tzinfo is None:
        moment = moment.replace(tzinfo=UTC)  # an HTTP date is always in UTC
    return _capped((moment - now).total_seconds())


def _capped(wait_s: float) -> float | None:
    return min(max(wait_s, 0.0), WAIT_S_MAX) if math.isfinite(wait_s) else None
