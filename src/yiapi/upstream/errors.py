"""What can go wrong between us and a peer, one class per cause.

    UpstreamError
    ├── ConnectFailed        no connection: name, TCP, proxy, refused by the guard
    │   └── TlsFailed        the peer could not prove who it is, or the handshake broke
    ├── ConnectTimeout       no connection in time, or no free place in the pool
    ├── ConnectionLost       closed or reset before the head of the answer was complete
    ├── AnswerCut            closed inside the body
    ├── FirstByteTimeout     the request was written, nothing came back in time
    ├── IdleTimeout          the peer stopped sending, or stopped reading the request
    ├── TotalTimeout         the whole call took too long
    ├── BadAnswer            what came back is not HTTP as we accept it
    ├── AnswerTooLarge       more bytes than the caller allowed
    └── EventTooLarge        one event of a stream is larger than allowed

    GuardError
    ├── AddressRefused       not a globally routable unicast address, or a URL that is not acceptable
    └── NameNotFound         the name has no address

Names say what happened; the word "Error" is kept for the roots.
"""


class UpstreamError(Exception):
    """Say that a call ended without a complete answer.

    ``sent`` is False only when no byte of the request can have reached the peer, so that
    repeating the call elsewhere cannot run it twice.
    """

    def __init__(self, message: str, *, sent: bool = True) -> None:
        super().__init__(message)
        self.sent = sent


class ConnectFailed(UpstreamError):
    """Say that no connection could be made; nothing was sent."""

    def __init__(self, message: str, *, sent: bool = False) -> None:
        super().__init__(message, sent=sent)


class TlsFailed(ConnectFailed):
    """Say that the certificate was not accepted or the handshake failed; nothing was sent."""


class ConnectTimeout(UpstreamError):
    """Say that no connection was ready within the connect limit; nothing was sent."""

    def __init__(self, message: str, *, sent: bool = False) -> None:
        super().__init__(message, sent=sent)


class ConnectionLost(UpstreamError):
    """Say that the connection ended before the head of an answer was complete."""


class AnswerCut(UpstreamError):
    """Say that the connection ended inside the body of an answer."""


class FirstByteTimeout(UpstreamError):
    """Say that the peer took the request and did not begin to answer in time."""


class IdleTimeout(UpstreamError):
    """Say that nothing moved on the connection for the idle limit."""


class TotalTimeout(UpstreamError):
    """Say that the whole call exceeded its limit."""


class BadAnswer(UpstreamError):
    """Say that the answer breaks the protocol or uses a form that is not accepted."""


class AnswerTooLarge(UpstreamError):
    """Say that the answer, once decoded, exceeds the size that the caller allowed."""


class EventTooLarge(UpstreamError):
    """Say that one event of a stream exceeds the size that the caller allowed."""


class GuardError(Exception):
    """Say that a host or URL may not be connected to."""


class AddressRefused(GuardError):
    """Say that an address or URL is not one that may be connected to."""


class NameNotFound(GuardError):
    """Say that a host name has no address."""
