"""How another library reads the same bytes: h11, which is written for being strict, by others than our parser.

It knows nothing of keeping HTTP/1.0 alive, so what follows such a request is read as if the connection were new.
"""

import re

import h11
from wires import Request


def read_requests(raw: bytes) -> list[Request]:
    """Return the requests at the start of the bytes, up to the first that is refused, cut, or the last one."""
    requests: list[Request] = []
    while raw:
        connection = h11.Connection(h11.SERVER, max_incomplete_event_size=2**20)
        connection.receive_data(raw)
        before = len(requests)
        goes_on = _read_all(connection, requests)
        raw = connection.trailing_data[0] if goes_on and len(requests) > before else b""
    return requests


def _read_all(connection: h11.Connection, requests: list[Request]) -> bool:
    """Read what a connection holds; return whether it ended with a request that wanted more of HTTP/1.0."""
    head: h11.Request | None = None
    body = b""
    while True:
        try:
            event = connection.next_event()
        except h11.RemoteProtocolError:
            return False
        if isinstance(event, h11.Request):
            head, body = event, b""
        elif isinstance(event, h11.Data):
            body += bytes(event.data)
        elif isinstance(event, h11.EndOfMessage):
            assert head is not None
            requests.append(
                Request.of(head.method.decode(), origin_form(head.target), list(head.headers.raw_items()), body)
            )
            connection.send(h11.Response(status_code=200, headers=[("content-length", "0")]))
            connection.send(h11.EndOfMessage())
            if connection.our_state is h11.MUST_CLOSE or connection.their_state is h11.MUST_CLOSE:
                return head.http_version == b"1.0" and _keeps(head)
            connection.start_next_cycle()
        else:
            return False


def _keeps(head: h11.Request) -> bool:
    tokens = {
        token.strip().lower() for name, value in head.headers if name == b"connection" for token in value.split(b",")
    }
    return b"keep-alive" in tokens and b"close" not in tokens


def origin_form(target: bytes) -> bytes:
    """Return path and query of a target."""
    absolute = re.fullmatch(rb"(?i:https?)://[^/?#]+(.*)", target, re.DOTALL)
    path = absolute[1] if absolute else target
    if absolute and not path.startswith(b"/"):
        path = b"/" + path
    return path.removesuffix(b"?")
