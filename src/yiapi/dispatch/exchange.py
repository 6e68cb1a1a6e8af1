"""One exchange with a vendor: send, read, classify. Every failure leaves as AttemptFailed with a text that is clean."""

from __future__ import annotations

import time
from collections.abc import Callable, Sequence
from typing import Any

import msgspec

from yiapi.channels import Channel, Credential
from yiapi.dispatch.models import AttemptFailed, Errand
from yiapi.errors import VendorWords
from yiapi.providers.contract import Fault, fault_of_status
from yiapi.upstream import (
    AnswerTooLarge,
    BadAnswer,
    Body,
    Client,
    ConnectFailed,
    ConnectTimeout,
    FirstByteTimeout,
    IdleTimeout,
    Limits,
    Response,
    TotalTimeout,
    UpstreamError,
    begun_head,
    retry_after_s,
)

HeaderList = Sequence[tuple[bytes, bytes]]

_TIMEOUTS = (FirstByteTimeout, IdleTimeout, TotalTimeout)
_NOT_SENT = (ConnectFailed, ConnectTimeout)
_REFUSALS_OF_SUBMISSION = frozenset({503, 529})
_OUR_OWN_TROUBLE = {401: Fault.CREDENTIAL, 402: Fault.UPSTREAM_CREDIT}
MESSAGE_CHARACTERS_MAX = 500
HEADS_MAX = 1024
USER_AGENT = (b"user-agent", b"yiapi")


JSON_HEADERS: HeaderList = ((b"content-type", b"application/json"),)


class Credentials:
    """Headers that show a credential, and the beginnings of heads with them, kept for as long as the provider says."""

    def __init__(self) -> None:
        self._headers: dict[str, tuple[float, HeaderList]] = {}
        self._heads: dict[tuple[str, str, str, bytes], tuple[float, bytes]] = {}

    def headers(self, errand: Errand, credential: Credential) -> HeaderList:
        """Return the headers for one credential."""
        return self._kept(errand, credential)[1]

    def head(
        self,
        errand: Errand,
        channel: Channel,
        credential: Credential,
        method: str,
        path: str,
        accept: bytes = b"",
    ) -> bytes:
        """Return the head of a request with a JSON body, but for its id and its length."""
        kept = self._heads.get((credential.id, method, path, accept))
        if kept is None or kept[0] < time.time():
            if len(self._heads) >= HEADS_MAX:
                self._heads.clear()
            lives_until, headers = self._kept(errand, credential)
            accepts = [(b"accept", accept)] if accept else []
            head = begun_head(channel.target, method, path, [*headers, USER_AGENT, *JSON_HEADERS, *accepts])
            kept = self._heads[credential.id, method, path, accept] = (lives_until, head)
        return kept[1]

    def forget(self) -> None:
        """Drop all: channels have changed."""
        self._headers.clear()
        self._heads.clear()

    def _kept(self, errand: Errand, credential: Credential) -> tuple[float, HeaderList]:
        now = time.time()
        kept = self._headers.get(credential.id)
        if kept is None or kept[0] < now:
            auth = errand.provider.auth
            lives_until = now + auth.lifetime_s if auth.lifetime_s else float("inf")
            kept = self._headers[credential.id] = (lives_until, auth.headers(credential.secret, int(now)))
        return kept


class Exchange:
    """Sends requests of attempts over one client."""

    def __init__(self, client: Client) -> None:
        self._client = client
        self.credentials = Credentials()

    async def send(
        self,
        errand: Errand,
        channel: Channel,
        credential: Credential,
        *,
        method: str,
        path: str,
        headers: HeaderList,
        body: bytes | Body,
        limits: Limits,
        total_s: float | None = None,
    ) -> Response:
        """Send one request and return the answer's head, whatever its status. Raises AttemptFailed."""
        mark = errand.request_id.encode()
        try:
            if headers is JSON_HEADERS:
                begun = self.credentials.head(errand, channel, credential, method, path)
                head = b"%bx-client-request-id: %b\r\n" % (begun, mark)
                return await self._client.send_begun(channel.target, head, body, limits, total_s=total_s)
            shown = [
                *self.credentials.headers(errand, credential),
                (b"x-client-request-id", mark),
                USER_AGENT,
                *headers,
            ]
            return await self._client.send(channel.target, method, path, shown, body, limits, total_s=total_s)
        except UpstreamError as error:
            raise failed_by(error, errand) from error

    def send_now(
        self,
        errand: Errand,
        channel: Channel,
        credential: Credential,
        *,
        method: str,
        path: str,
        body: bytes,
        limits: Limits,
        total_s: float,
        accept: bytes = b"",
        then: Callable[[Response], None] | None = None,
    ) -> Response | None:
        """Send a JSON body on a connection that is open, and call ``then`` with the answer; None: it takes more."""
        request = b"%bx-client-request-id: %b\r\ncontent-length: %d\r\n\r\n%b" % (
            self.credentials.head(errand, channel, credential, method, path, accept),
            errand.request_id.encode(),
            len(body),
            body,
        )
        return self._client.send_now(channel.target, request, limits, total_s=total_s, then=then)

    async def connect(self, errand: Errand, channel: Channel, limits: Limits) -> None:
        """See to it that there is a connection for ``send_now``. Raises AttemptFailed."""
        try:
            await self._client.connect(channel.target, limits)
        except UpstreamError as error:
            raise failed_by(error, errand) from error

    async def read(self, errand: Errand, channel: Channel, response: Response) -> bytes:
        """Read a whole answer that is a success by its status; anything else is classified. Raises AttemptFailed."""
        await response.collect()
        return self.body(errand, channel, response)

    def body(self, errand: Errand, channel: Channel, response: Response) -> bytes:
        """Return the body of an answer that has ended, if it is a success by its status. Raises AttemptFailed."""
        try:
            body = response.whole()
        except UpstreamError as error:
            raise failed_by(error, errand) from error
        if not 200 <= response.status < 300:
            raise refused(errand, channel, response, body)
        return body


def failed_by(error: UpstreamError, errand: Errand) -> AttemptFailed:
    """Name what happened to a connection."""
    if isinstance(error, _NOT_SENT):
        return AttemptFailed(Fault.UNAVAILABLE, sent=False)
    is_unclear = errand.kind == "submission" and error.sent
    if isinstance(error, _TIMEOUTS):
        return AttemptFailed(Fault.TIMEOUT, sent=error.sent, is_unclear=is_unclear)
    fault = Fault.MALFORMED if isinstance(error, BadAnswer | AnswerTooLarge) else Fault.UNAVAILABLE
    may_repeat = not isinstance(error, AnswerTooLarge)
    return AttemptFailed(fault, sent=error.sent, is_unclear=is_unclear, may_repeat=may_repeat)


def refused(errand: Errand, channel: Channel, response: Response, body: bytes) -> AttemptFailed:
    """Classify an answer whose status is no success."""
    status = response.status
    answer = decoded(body)
    faults = errand.faults
    words = faults.words(answer) if isinstance(answer, dict) else None
    fault = faults.fault(status, answer if words else None)
    if 300 <= status < 400:
        fault = Fault.UNAVAILABLE
    if status in _OUR_OWN_TROUBLE and fault not in _OUR_OWN_TROUBLE.values():
        fault = _OUR_OWN_TROUBLE[status]  # whatever the body says: it is never the caller's
    wait = retry_after_s(response.headers)
    return AttemptFailed(
        fault,
        status=status,
        words=clean(words, channel),
        retry_after_s=wait,
        is_unclear=errand.kind == "submission" and _is_unclear(status, fault, has_envelope=words is not None),
    )


def refused_inside(errand: Errand, channel: Channel, answer: Any) -> AttemptFailed:
    """Classify an answer of 200 that is an error all the same."""
    faults = errand.faults
    return AttemptFailed(faults.fault(200, answer), status=200, words=clean(faults.words(answer), channel))


def malformed(errand: Errand) -> AttemptFailed:
    """Name an answer that nobody can use; what a submission did then is unclear."""
    return AttemptFailed(Fault.MALFORMED, status=200, is_unclear=errand.kind == "submission")


def decoded(body: bytes) -> Any:
    """Decode JSON, or return None."""
    try:
        return msgspec.json.decode(body)
    except (msgspec.MsgspecError, RecursionError, UnicodeDecodeError):
        return None


def clean(words: VendorWords | None, channel: Channel) -> VendorWords | None:
    """Take out of a vendor's words what no caller may see."""
    if words is None:
        return None
    text = channel.redactor.clean
    code = text(words.code, 100) if isinstance(words.code, str) else words.code
    return VendorWords(
        text(words.message, MESSAGE_CHARACTERS_MAX) or "The vendor refused the request.",
        code=code,
        param=words.param and text(words.param, 100),
        type=words.type and text(words.type, 100),
        answer=channel.redactor.hide_in(words.answer),
    )


def _is_unclear(status: int, fault: Fault, *, has_envelope: bool) -> bool:
    """A submission's fate after an answer that is neither acceptance nor refusal."""
    if status == 408 or fault is Fault.TIMEOUT:
        return True
    if status < 500 or status in _REFUSALS_OF_SUBMISSION:
        return False
    return not has_envelope or fault_of_status(status) is Fault.TIMEOUT
