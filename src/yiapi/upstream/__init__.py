"""The one place that opens connections: to vendors, to media of callers, to hooks.

``Client`` carries the calls to vendors and is made for speed; ``Fetcher`` downloads from and posts
to URLs that strangers gave. Both ask the ``AddressGuard`` where they may connect. The rest reads
what comes back: events of a stream, Retry-After, error texts that may carry secrets.
"""

from yiapi.upstream.client import Client, Stats
from yiapi.upstream.errors import (
    AddressRefused,
    AnswerCut,
    AnswerTooLarge,
    BadAnswer,
    ConnectFailed,
    ConnectionLost,
    ConnectTimeout,
    EventTooLarge,
    FirstByteTimeout,
    GuardError,
    IdleTimeout,
    NameNotFound,
    TlsFailed,
    TotalTimeout,
    UpstreamError,
)
from yiapi.upstream.fetch import (
    Downloaded,
    Fetcher,
    FetchError,
    FetchFailed,
    FetchRefused,
    FetchTimeout,
    FetchTooLarge,
    Posted,
)
from yiapi.upstream.guard import AddressGuard, CheckedUrl
from yiapi.upstream.redaction import Redactor
from yiapi.upstream.request import begun_head
from yiapi.upstream.response import Response
from yiapi.upstream.retry_after import retry_after_s
from yiapi.upstream.sse import EventSplitter, data_of, name_of
from yiapi.upstream.target import Body, Limits, Target, target_of

__all__ = [
    "AddressGuard",
    "AddressRefused",
    "AnswerCut",
    "AnswerTooLarge",
    "BadAnswer",
    "Body",
    "CheckedUrl",
    "Client",
    "ConnectFailed",
    "ConnectTimeout",
    "ConnectionLost",
    "Downloaded",
    "EventSplitter",
    "EventTooLarge",
    "FetchError",
    "FetchFailed",
    "FetchRefused",
    "FetchTimeout",
    "FetchTooLarge",
    "Fetcher",
    "FirstByteTimeout",
    "GuardError",
    "IdleTimeout",
    "Limits",
    "NameNotFound",
    "Posted",
    "Redactor",
    "Response",
    "Stats",
    "Target",
    "TlsFailed",
    "TotalTimeout",
    "UpstreamError",
    "begun_head",
    "data_of",
    "name_of",
    "retry_after_s",
    "target_of",
]
