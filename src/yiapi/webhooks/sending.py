"""One attempt: a signed request to an address that is tested for it, and what came of it."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Protocol

from yiapi.clock import Clock
from yiapi.logs import get_logger
from yiapi.upstream import FetchError, FetchRefused, Posted, Redactor
from yiapi.webhooks.models import Attempt
from yiapi.webhooks.signing import signed_headers

ATTEMPT_S = 15.0
EXCERPT_CHARACTERS_MAX = 200

_PLAIN_HEADERS = ((b"content-type", b"application/json"), (b"user-agent", b"yiapi"))
_REDACTOR = Redactor(())

log = get_logger()


class Post(Protocol):
    """How a request leaves: ``Fetcher.post``, which tests the address that it connects to."""

    async def __call__(
        self, url: str, headers: Sequence[tuple[bytes, bytes]], body: bytes, *, timeout_s: float
    ) -> Posted:
        """Send a request. Raises FetchError."""
        ...


@dataclass(frozen=True, slots=True)
class Sent:
    """An attempt, and how long its receiver wants to be left alone."""

    attempt: Attempt
    retry_after_s: float | None = None


class Sender:
    """Sends events; who gets them, and when again, is decided elsewhere."""

    def __init__(self, post: Post, clock: Clock) -> None:
        self._post = post
        self._clock = clock

    async def send(self, url: str, event_id: str, body: str, secrets: Sequence[str]) -> Sent:
        """Make one attempt. Raises nothing: no answer is an attempt without a status."""
        time_ms = self._clock.now_ms()
        content = body.encode()
        headers = [*_PLAIN_HEADERS, *signed_headers(secrets, event_id, time_ms // 1000, content)]
        try:
            posted = await self._post(url, headers, content, timeout_s=ATTEMPT_S)
        except FetchError as error:
            if isinstance(error, FetchRefused):
                log.warning("security_event", what="webhook_address_refused", event_id=event_id, detail=str(error))
            return Sent(Attempt(time_ms, None, _excerpt(str(error))))
        except Exception:
            log.exception("webhook_broke", event_id=event_id)
            return Sent(Attempt(time_ms, None, "The station could not send it."))
        return Sent(Attempt(time_ms, posted.status, _excerpt(posted.excerpt)), posted.retry_after_s)


def _excerpt(text: str | bytes) -> str:
    return _REDACTOR.clean(text, EXCERPT_CHARACTERS_MAX)
