"""Bodies: read within their limits, decoded once, checked before anything is reserved."""

from __future__ import annotations

import asyncio
import hashlib
from collections.abc import Mapping
from typing import Any

import msgspec

from yiapi.assets import inspect_base64_image, inspect_image
from yiapi.edge import Inbound
from yiapi.errors import FieldMissing, InvalidRequest, PayloadTooLarge, RequestTimeout, UnsupportedMediaType
from yiapi.providers.contract import Operation, Request
from yiapi.relay.forms import Form, FormReader, Part

SLOW_WINDOW_BYTES = 16 * 1024
DESTINATION_FIELDS = ("api_base", "base_url", "api_key", "headers")
"""Top-level fields that make some vendors' clients call elsewhere; a caller may not steer where our key goes."""


def whole_body(inbound: Inbound, operation: Operation) -> bytes | None:
    """Return a body that is there and needs no second look; None where ``read_body`` has to do it."""
    is_small = inbound.is_complete and inbound.unread_bytes <= operation.body_bytes_max
    return inbound.taken() if is_small and is_plain_json(inbound.headers, operation) else None


def is_plain_json(headers: Mapping[bytes, bytes], operation: Operation) -> bool:
    """Whether a body is JSON by its headers, in the words that need no second look, and the operation takes that."""
    return (
        headers.get(b"content-type") == b"application/json"
        and b"content-encoding" not in headers
        and "json" in operation.accepts
    )


async def read_body(inbound: Inbound, operation: Operation, *, window_s: float, memory_bytes: int) -> bytes | Form:
    """Read the whole body: JSON as bytes, a form with its files on disk.

    Raises PayloadTooLarge (a declared length is refused before reading), RequestTimeout, UnsupportedMediaType,
    InvalidRequest, CallerGone.
    """
    headers = inbound.headers
    limit = operation.body_bytes_max if "form" not in operation.accepts else _form_limit(operation)
    declared = headers.get(b"content-length")
    if declared is not None and declared.isdigit() and int(declared) > limit:
        raise PayloadTooLarge(f"The body is above {limit} bytes.")
    if headers.get(b"content-encoding", b"identity") != b"identity":
        raise UnsupportedMediaType("A compressed body is not taken.")
    kind = headers.get(b"content-type", b"").partition(b";")[0].strip().lower()
    if kind == b"multipart/form-data" and "form" in operation.accepts:
        reader = FormReader(headers[b"content-type"], memory_bytes=memory_bytes)
        try:
            await _pour(inbound, reader.feed, limit, window_s)
            return reader.form()
        except BaseException:
            reader.close()
            raise
    if "json" not in operation.accepts:
        raise UnsupportedMediaType("This operation takes multipart/form-data.")
    if kind not in {b"application/json", b""} and not kind.endswith(b"+json"):
        raise UnsupportedMediaType("This operation takes application/json.")
    if inbound.is_complete:
        return _within(inbound.taken(), limit)
    pieces: list[bytes] = []
    await _pour(inbound, pieces.append, limit, window_s)
    return b"".join(pieces)


def _within(body: bytes, limit: int) -> bytes:
    if len(body) > limit:
        raise PayloadTooLarge(f"The body is above {limit} bytes.")
    return body


def _form_limit(operation: Operation) -> int:
    files = sum(
        file.size_bytes_max * file.count_max for file in operation.files if file.is_required or file.count_max == 1
    )
    return max(operation.body_bytes_max, files + operation.body_bytes_max)


async def _pour(inbound: Inbound, sink: Any, limit: int, window_s: float) -> None:
    """Hand on every piece; at least 16 KiB must come in each window of time."""
    size_bytes = 0
    more = True
    while more:
        window_end = size_bytes + SLOW_WINDOW_BYTES
        try:
            async with asyncio.timeout(window_s):
                while more and size_bytes < window_end:
                    piece = await inbound.chunk()
                    more = bool(piece)
                    size_bytes += len(piece)
                    if size_bytes > limit:
                        raise PayloadTooLarge(f"The body is above {limit} bytes.")
                    if piece:
                        sink(piece)
        except TimeoutError as error:
            raise RequestTimeout("The request came too slowly.") from error


def decode(operation: Operation, body: bytes | Form) -> Request:
    """Decode what routing, price and safety need. Raises InvalidRequest with the field, UnsupportedMediaType."""
    try:
        if isinstance(body, Form):
            return _decode_form(operation, body)
        request: Request = _decoder(operation.request).decode(body)
    except (msgspec.MsgspecError, UnicodeDecodeError) as error:
        raise _invalid(error) from error
    except RecursionError as error:
        raise InvalidRequest("The body is nested too deep.") from error
    _refuse_destination(request)
    for name in operation.image_fields:
        found = getattr(request, name, None)
        for text in found if isinstance(found, list) else [found]:
            if isinstance(text, str) and not text.startswith(("http://", "https://")):
                _inspect(text, name, must_be_image=not operation.sends_any_image)
    return request


def _inspect(text: str, param: str, *, must_be_image: bool) -> None:
    try:
        inspect_base64_image(text, param=param)
    except UnsupportedMediaType:
        if must_be_image:
            raise


_DECODERS: dict[type[Request], msgspec.json.Decoder[Any]] = {}


def _decoder(request: type[Request]) -> msgspec.json.Decoder[Any]:
    """Return the decoder of a request model: of one like it, that also knows the fields which no body may have."""
    if request not in _DECODERS:
        refused = [(name, msgspec.Raw | msgspec.UnsetType, msgspec.UNSET) for name in DESTINATION_FIELDS]
        model = msgspec.defstruct(request.__name__, refused, bases=(request,), module=request.__module__, kw_only=True)
        _DECODERS[request] = msgspec.json.Decoder(model)
    return _DECODERS[request]


def _refuse_destination(request: Any) -> None:
    """Refuse a request whose body names where it should go. Raises InvalidRequest."""
    unset = msgspec.UNSET
    if (
        request.api_base is unset
        and request.base_url is unset
        and request.api_key is unset
        and request.headers is unset
    ):
        return
    field = next(name for name in DESTINATION_FIELDS if getattr(request, name) is not unset)
    raise InvalidRequest(f"{field} is not a field of this request.", param=field)


def _invalid(error: Exception) -> InvalidRequest:
    """Name the field of a validation error: ``Expected `int` >= 1 - at `$.n```."""
    text = str(error)
    message, _, place = text.partition(" - at `$")
    param = place.rstrip("`").removeprefix(".") or None
    missing = (
        message.removeprefix("Object missing required field `").rstrip("`") if "missing required" in message else None
    )
    if missing:
        param = f"{param}.{missing}" if param else missing
    kind = FieldMissing if missing else InvalidRequest
    return kind(f"{message}{f' at {param}' if param and not missing else ''}.", param=param)


def _decode_form(operation: Operation, form: Form) -> Request:
    fields: dict[str, Any] = {}
    for part in form.parts:
        if part.name in DESTINATION_FIELDS:
            raise InvalidRequest(f"{part.name} is not a field of this request.", param=part.name)
        rule = next((file for file in operation.files if file.name == part.name), None)
        if rule is not None:
            _check_file(part, rule.size_bytes_max)
            fields[part.name] = fields.get(part.name, 0) + 1
            if fields[part.name] > rule.count_max:
                raise InvalidRequest(f"There are too many files named {part.name}.", param=part.name)
        elif operation.json_part == part.name or not part.is_file:
            fields.setdefault(part.name, part.text())
    for rule in operation.files:
        if rule.is_required and rule.name not in fields:
            raise InvalidRequest(f"The file {rule.name} is missing.", param=rule.name)
    if operation.json_part is None:
        return msgspec.convert(fields, operation.request, strict=False)
    text = fields.get(operation.json_part, "{}")
    request: Request = _decoder(operation.request).decode(text)
    _refuse_destination(request)
    return request


def _check_file(part: Part, size_bytes_max: int) -> None:
    if part.size_bytes > size_bytes_max:
        raise PayloadTooLarge(f"{part.name} is above {size_bytes_max} bytes.", param=part.name)
    part.content.seek(0)
    part.content_type = inspect_image(part.content, param=part.name).content_type
    part.is_file = True


def fingerprint(method: str, route: str, body: bytes | Form) -> str:
    """Return what tells two requests under one idempotency key apart: JSON in canonical form, a form by its parts."""
    digest = hashlib.sha256(f"{method}\0{route}\0".encode())
    if isinstance(body, Form):
        digest.update(body.fingerprint())
    else:
        digest.update(msgspec.json.encode(msgspec.json.decode(body), order="deterministic"))
    return digest.hexdigest()
