"""Everything that can go wrong for a caller, as one tree. Dialects render it; nobody builds an error body by hand.

::

    StationError
    ├── InvalidRequest          400 invalid_request
    │   ├── FieldMissing        400 invalid_request
    │   └── ImageTooLarge       400 image_too_large
    ├── InvalidApiKey           401 invalid_api_key
    │   └── ApiKeyMissing       401 invalid_api_key
    ├── InsufficientQuota       402 insufficient_quota
    │   └── BalanceReserved     402 insufficient_quota
    ├── PermissionDenied        403 permission_denied
    │   ├── ModelNotAllowed     403 model_not_allowed
    │   ├── OperationDisabled   403 operation_disabled
    │   └── UrlExpired          403 url_expired
    ├── NotFound                404 not_found
    │   └── ModelNotFound       404 model_not_found
    ├── MethodNotAllowed        405 invalid_request
    ├── RequestTimeout          408 request_timeout
    ├── Conflict                409 conflict
    │   ├── IdempotencyInProgress   409 idempotency_in_progress
    │   ├── IdempotencyNotReplayable 409 idempotency_not_replayable
    │   └── NotCancellable      409 not_cancellable
    ├── Gone                    410 not_found
    ├── PayloadTooLarge         413 payload_too_large
    ├── UnsupportedMediaType    415 unsupported_media_type
    ├── IdempotencyMismatch     422 idempotency_mismatch
    ├── RateLimited             429 rate_limited
    ├── HeadersTooLarge         431 headers_too_large
    ├── ClientClosed            499 client_closed (log only)
    ├── InternalError           500 internal_error
    ├── UpstreamFailed          502 upstream_error
    │   ├── UpstreamInvalid     502 upstream_invalid_response
    │   └── StreamIncomplete    in a stream only: stream_incomplete
    ├── Overloaded              503 overloaded
    │   ├── Draining            503 draining
    │   ├── NoChannelAvailable  503 no_channel_available
    │   └── StorageUnavailable  503 storage_unavailable
    ├── UpstreamTimeout         504 upstream_timeout
    └── VendorRefusal           the vendor's own status: its refusal is about the caller's request, or the dialect
                                passes every refusal on as it is
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any


@dataclass(frozen=True, slots=True)
class VendorWords:
    """What a vendor said about a refusal, redacted: its own code, field and type beside the text.

    ``answer`` is its whole answer where the dialect passes refusals on as they are.
    """

    message: str
    code: str | int | None = None
    param: str | None = None
    type: str | None = None
    answer: Any = None


class StationError(Exception):
    """An answer that is not a success. ``message`` is one sentence for the caller and never holds a secret."""

    status = 500
    code = "internal_error"

    def __init__(
        self,
        message: str,
        *,
        param: str | None = None,
        retry_after_s: float | None = None,
        vendor: VendorWords | None = None,
    ) -> None:
        super().__init__(message)
        self.message = message
        self.param = param
        self.retry_after_s = retry_after_s
        self.vendor = vendor


class InvalidRequest(StationError):
    """The caller's request cannot be served as it is; ``param`` names the field where one is at fault."""

    status, code = 400, "invalid_request"


class FieldMissing(InvalidRequest):
    """A field that must be there is not; ``param`` names it."""


class ImageTooLarge(InvalidRequest):
    """A picture has more pixels than we decode."""

    code = "image_too_large"


class InvalidApiKey(StationError):
    """No key, a malformed one, an unknown, revoked or expired one."""

    status, code = 401, "invalid_api_key"


class ApiKeyMissing(InvalidApiKey):
    """No key was given."""


class InsufficientQuota(StationError):
    """The wallet, or the key's budget, does not cover the hold; the message names which."""

    status, code = 402, "insufficient_quota"


class BalanceReserved(InsufficientQuota):
    """Nodes keep a part of the wallet for their calls, which is called in before this is the last word."""


class PermissionDenied(StationError):
    """The key is good but not for this."""

    status, code = 403, "permission_denied"


class ModelNotAllowed(PermissionDenied):
    """The key is not for this model."""

    code = "model_not_allowed"


class OperationDisabled(PermissionDenied):
    """The operator has switched this operation or model off."""

    code = "operation_disabled"


class UrlExpired(PermissionDenied):
    """A link with a life of its own is over."""

    code = "url_expired"


class NotFound(StationError):
    """Nothing of the caller's has this id or path."""

    status, code = 404, "not_found"


class ModelNotFound(NotFound):
    """No price names this model."""

    code = "model_not_found"


class MethodNotAllowed(StationError):
    """The path is served, but not by this method."""

    status, code = 405, "invalid_request"


class RequestTimeout(StationError):
    """The caller sent its request too slowly."""

    status, code = 408, "request_timeout"


class Conflict(StationError):
    """The state of things does not allow this now."""

    status, code = 409, "conflict"


class IdempotencyInProgress(Conflict):
    """The first call with this key still runs."""

    code = "idempotency_in_progress"


class IdempotencyNotReplayable(Conflict):
    """The first call with this key left only a partial result."""

    code = "idempotency_not_replayable"


class NotCancellable(Conflict):
    """The task has ended otherwise."""

    code = "not_cancellable"


class Gone(StationError):
    """A file was deleted or has aged out."""

    status, code = 410, "not_found"


class PayloadTooLarge(StationError):
    """The body is above the operation's limit."""

    status, code = 413, "payload_too_large"


class UnsupportedMediaType(StationError):
    """The body's type, or a file's real type, is not one that the operation takes."""

    status, code = 415, "unsupported_media_type"


class IdempotencyMismatch(StationError):
    """The key was used with another request."""

    status, code = 422, "idempotency_mismatch"


class RateLimited(StationError):
    """A rate of the key, of the account or of every channel is used up."""

    status, code = 429, "rate_limited"


class HeadersTooLarge(StationError):
    """The request's headers are above the limit."""

    status, code = 431, "headers_too_large"


class ClientClosed(StationError):
    """The caller left; nobody reads the answer, the record keeps it."""

    status, code = 499, "client_closed"


class InternalError(StationError):
    """A fault of ours, with a text that gives nothing away."""


class UpstreamFailed(StationError):
    """Every attempt failed at the vendor."""

    status, code = 502, "upstream_error"


class UpstreamInvalid(UpstreamFailed):
    """The vendor's answer could not be used."""

    code = "upstream_invalid_response"


class StreamIncomplete(UpstreamFailed):
    """The vendor's stream ended without its end mark."""

    code = "stream_incomplete"


class Overloaded(StationError):
    """The station sheds load."""

    status, code = 503, "overloaded"


class Draining(Overloaded):
    """The station is being stopped."""

    code = "draining"


class NoChannelAvailable(Overloaded):
    """No channel is left for this call."""

    code = "no_channel_available"


class StorageUnavailable(Overloaded):
    """The database cannot take a write now."""

    code = "storage_unavailable"


class UpstreamTimeout(StationError):
    """The vendor took longer than this call may."""

    status, code = 504, "upstream_timeout"


class VendorRefusal(StationError):
    """The vendor's refusal goes back in the dialect, with its status and words."""

    code = "invalid_request"

    def __init__(
        self, status: int, words: VendorWords, *, code: str | None = None, retry_after_s: float | None = None
    ) -> None:
        super().__init__(words.message, param=words.param, vendor=words, retry_after_s=retry_after_s)
        self.status = status
        if code is not None:
            self.code = code
