"""Server-sent events: an answer in parts, each sent as soon as the one before is gone."""

from collections.abc import Mapping, Sequence

from starlette.responses import Response
from starlette.types import Receive, Scope, Send


class EventStream(Response):
    """Sends events that are ready; the sandbox knows what it will say before it begins."""

    def __init__(self, events: Sequence[bytes], headers: Mapping[str, str] | None = None) -> None:
        super().__init__(headers=dict(headers or {}), media_type="text/event-stream; charset=utf-8")
        del self.headers["content-length"]  # nobody knows the length of a stream before its end
        self.headers["cache-control"] = "no-cache"
        self._events = events

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:  # noqa: ARG002
        """Send one message per event, so that they travel one by one."""
        await send({"type": "http.response.start", "status": self.status_code, "headers": self.raw_headers})
        for event in self._events:
            await send({"type": "http.response.body", "body": event, "more_body": True})
        await send({"type": "http.response.body", "body": b""})
