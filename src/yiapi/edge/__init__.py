"""HTTP/1.1 for callers: a protocol of our own that owns its bytes, because the relay's speed is decided here.

A request is parsed once, by the parser that the upstream room uses too, and handed to one coroutine as an ``Inbound``;
what is no call of the relay goes on, over the same connection, to an ASGI application. An answer is one write.
Nothing in here knows what a call is.
"""

from yiapi.edge.asgi import AsgiBridge
from yiapi.edge.heads import HeaderPairs, lines_of
from yiapi.edge.inbound import CallerGone, Head, Inbound
from yiapi.edge.limits import EdgeLimits
from yiapi.edge.refusals import REASONS
from yiapi.edge.server import Edge, Handler

__all__ = [
    "REASONS",
    "AsgiBridge",
    "CallerGone",
    "Edge",
    "EdgeLimits",
    "Handler",
    "Head",
    "HeaderPairs",
    "Inbound",
    "lines_of",
]
