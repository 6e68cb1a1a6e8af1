"""What a provider is: a declaration that the engine reads.

A provider file imports this module and nothing else of ours.

Three rungs; take the lowest that works:

1. a *row*: an ``Operation`` with paths and maps. The caller's own body goes up, the vendor's own answer comes down;
   since a path can be written as well as read, the engine puts our id and our links where the vendor's were;
2. a row with ``encode`` and ``decode``: two pure functions, when formats differ;
3. a *flow*: a generator that yields ``Call`` and receives ``Reply``, when one operation needs several calls.

No I/O, no money, no HTTP library. Prices are data beside the file (``<slug>.toml``).
"""

from yiapi.errors import ApiKeyMissing, FieldMissing, InvalidRequest, StationError, VendorWords
from yiapi.providers.contract.answers import AnswerShape, Seen, StreamShape, Tap
from yiapi.providers.contract.auth import Auth, Bearer, HeaderKey, JwtHS256
from yiapi.providers.contract.bodies import REMOVED, FilePart, edit
from yiapi.providers.contract.declaration import Ids, Kind, Mode, Operation, Provider, Title
from yiapi.providers.contract.faults import Envelope, Fault, FaultShape, fault_of_status
from yiapi.providers.contract.flow import Call, Outcome, Reply
from yiapi.providers.contract.followups import Earlier, Outgoing, Parent
from yiapi.providers.contract.receipts import Receipt, Window
from yiapi.providers.contract.status import Status
from yiapi.providers.contract.tasks import Batch, Cancel, Query, Question, TaskShape, TaskView
from yiapi.providers.contract.usage import NO_LIMIT, Count, NumberText, Request, Unit, Usage
from yiapi.providers.paths import read, write
from yiapi.upstream import data_of

__all__ = [
    "NO_LIMIT",
    "REMOVED",
    "AnswerShape",
    "ApiKeyMissing",
    "Auth",
    "Batch",
    "Bearer",
    "Call",
    "Cancel",
    "Count",
    "Earlier",
    "Envelope",
    "Fault",
    "FaultShape",
    "FieldMissing",
    "FilePart",
    "HeaderKey",
    "Ids",
    "InvalidRequest",
    "JwtHS256",
    "Kind",
    "Mode",
    "NumberText",
    "Operation",
    "Outcome",
    "Outgoing",
    "Parent",
    "Provider",
    "Query",
    "Question",
    "Receipt",
    "Reply",
    "Request",
    "Seen",
    "StationError",
    "Status",
    "StreamShape",
    "Tap",
    "TaskShape",
    "TaskView",
    "Title",
    "Unit",
    "Usage",
    "VendorWords",
    "Window",
    "data_of",
    "edit",
    "fault_of_status",
    "read",
    "write",
]
