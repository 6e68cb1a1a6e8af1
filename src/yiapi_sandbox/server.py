"""The server: finds the vendor and the operation of a request, checks its key, reads it, steers it, keeps the books."""

import json
import re
import sys
from collections.abc import AsyncGenerator, Mapping
from dataclasses import dataclass

from python_multipart.exceptions import FormParserError
from starlette.datastructures import UploadFile
from starlette.exceptions import HTTPException
from starlette.formparsers import MultiPartException, MultiPartParser
from starlette.requests import ClientDisconnect, Request
from starlette.responses import JSONResponse, PlainTextResponse, Response
from starlette.types import Receive, Scope, Send

from yiapi_sandbox import accounts, faults, steering
from yiapi_sandbox.checks import parsed
from yiapi_sandbox.contract import Call, Form, Invalid, Operation, Refusal, Upload, Vendor
from yiapi_sandbox.sandbox import Sandbox
from yiapi_sandbox.steering import Steering

REQUEST_ID = "x-client-request-id"
_PARAMETER = re.compile(r"\{(\w+)\}")


@dataclass(frozen=True)
class Door:
    """One operation with its path as a pattern."""

    operation: Operation
    pattern: re.Pattern[str]


class Station:
    """The ASGI application: every vendor below its slug, and the sandbox's own books below ``/_``."""

    def __init__(self, sandbox: Sandbox, vendors: Mapping[str, Vendor]) -> None:
        self.sandbox = sandbox
        self._vendors = vendors
        self._begun: set[tuple[str, str, str]] = set()
        self._doors: dict[tuple[str, int, str], list[Door]] = {}
        for slug, vendor in vendors.items():
            for operation in vendor.operations:
                length, first = _outline(operation.path)
                door = Door(operation, _pattern(operation.path))
                self._doors.setdefault((slug, length, "" if "{" in first else first), []).append(door)
        self._plain = {
            (slug, operation.method, operation.path): operation
            for slug, vendor in vendors.items()
            for operation in vendor.operations
            if "{" not in operation.path
        }

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        """Answer one request."""
        if scope["type"] == "lifespan":
            await self._live(receive, send)
            return
        if scope["type"] != "http":
            return
        request = Request(scope, receive)
        response = await self._answer(request)
        await response(scope, receive, send)

    async def _live(self, receive: Receive, send: Send) -> None:
        await receive()
        self.resume()
        await send({"type": "lifespan.startup.complete"})
        await receive()
        self.sandbox.callbacks.stop()
        self.sandbox.books.close()
        await send({"type": "lifespan.shutdown.complete"})

    def resume(self) -> None:
        """Take up what an earlier run left open, and forget what is over."""
        self.sandbox.books.drop_expired_files(self.sandbox.clock.now())
        for vendor in self._vendors.values():
            if vendor.resume:
                vendor.resume(self.sandbox)

    async def _answer(self, request: Request) -> Response:
        slug, _, rest = request.scope["path"].lstrip("/").partition("/")
        if slug == "_":
            return accounts.answer(self.sandbox, request, rest)
        vendor = self._vendors.get(slug)
        if vendor is None:
            return PlainTextResponse("No such vendor", 404)
        operation, parameters, other_method = self._find(slug, request.method, f"/{rest}")
        if operation is None:
            return _refused(vendor.unknown_path(request.method, f"/{rest}", other_method))
        call = Call(self.sandbox, vendor, operation, request, Steering(), parameters)
        if operation.kind == "link":
            return await operation.handler(call)
        return await self._attend(call)

    def _find(self, slug: str, method: str, path: str) -> tuple[Operation | None, Mapping[str, str], bool]:
        """Return the operation of a path and its parameters, or whether the path knows another method."""
        if operation := self._plain.get((slug, method, path)):
            return operation, {}, False
        other_method = False
        length, first = _outline(path)
        for door in (*self._doors.get((slug, length, first), ()), *self._doors.get((slug, length, ""), ())):
            if found := door.pattern.fullmatch(path):
                asked = "GET" if method == "HEAD" and door.operation.kind == "link" else method
                if door.operation.method == asked:
                    return door.operation, found.groupdict(), False
                other_method = True
        return None, {}, other_method

    async def _attend(self, call: Call) -> Response:
        """Answer a call and write it down; whatever the caller sends, this never fails."""
        try:
            response, outcome = await self._steered(call)
        except Refusal as refusal:
            response, outcome = _refused(refusal), "refused"
        except Invalid as invalid:
            response, outcome = _refused(call.vendor.invalid(invalid, call)), "invalid"
        except ClientDisconnect:
            response, outcome = Response(status_code=499), "left"
        except Exception as error:  # noqa: BLE001 - a fault of ours is told apart from a vendor's, and never ends the sandbox
            tell("fault", path=call.request.url.path, error=repr(error))
            response, outcome = JSONResponse({"error": "the sandbox has a fault"}, 500), "fault"
        self._note(call, outcome, response.status_code if outcome not in {"reset", "hang"} else None)
        return response

    async def _steered(self, call: Call) -> tuple[Response, str]:
        call.vendor.authenticate(call)
        await _read(call)
        call.steering = self._attempt(call, _words(call))
        words = call.steering
        if words.delay_s and call.operation.kind == "sync":
            await self.sandbox.clock.sleep(words.delay_s)
        match words.fail:
            case "content" | "invalid" | "rate" | "credit" | "auth" | "500":
                raise call.vendor.refuse(words.fail, call)
            case "reset":
                return faults.Reset(), "reset"
            case "hang":
                return faults.Silence(), "hang"
            case "garbage":
                return faults.Garbage(), "garbage"
            case "cut":
                return faults.Cut(await call.operation.handler(call)), "cut"
        return await call.operation.handler(call), "answered"

    def _attempt(self, call: Call, words: Steering) -> Steering:
        """Tell a later attempt of one request by its id; without an id every attempt is a first one."""
        request_id = call.request.headers.get(REQUEST_ID)
        if not (words.once and request_id):
            return words
        attempt = (call.vendor.slug, call.operation.path, request_id)
        # A first attempt may still be under way, or may have been seen before a restart.
        earlier = attempt in self._begun or self.sandbox.books.count_calls(*attempt) > 0
        self._begun.add(attempt)
        return words.after_first() if earlier else words

    def _note(self, call: Call, outcome: str, status: int | None) -> None:
        self.sandbox.books.note_call(
            self.sandbox.clock.now(),
            vendor=call.vendor.slug,
            method=call.request.method,
            path=call.request.scope["path"].removeprefix(f"/{call.vendor.slug}"),
            operation=call.operation.path,
            request_id=call.request.headers.get(REQUEST_ID),
            status=status,
            outcome=outcome,
        )


def _pattern(path: str) -> re.Pattern[str]:
    """Turn ``/a/{id}`` into a pattern; braces alone are special, everything else means itself."""
    parts = _PARAMETER.split(path)
    return re.compile("".join(f"(?P<{part}>[^/]+)" if at % 2 else re.escape(part) for at, part in enumerate(parts)))


def _outline(path: str) -> tuple[int, str]:
    """Return how many parts a path has, and the first of them."""
    return path.count("/"), path.split("/", 2)[1]


def _refused(refusal: Refusal) -> Response:
    headers = dict(refusal.headers)
    if refusal.status == 429:
        headers.setdefault("retry-after", "1")
    if refusal.body is None:
        return Response(None, refusal.status, headers)
    return JSONResponse(refusal.body, refusal.status, headers)


def _words(call: Call) -> Steering:
    if call.operation.body == "none":
        return Steering()
    written = [text for values in call.form.fields.values() for text in values]
    parts = [file for files in call.form.files.values() for file in files if file.content_type == "application/json"]
    return steering.read([call.json, *written, *(part.content.decode("utf-8", "replace") for part in parts)])


async def _read(call: Call) -> None:
    """Read the body as the operation wants it. Raises Invalid."""
    if call.operation.body == "none":
        return
    call.raw = await _body(call)
    is_form = call.request.headers.get("content-type", "").lower().startswith("multipart/form-data")
    if call.operation.body == "form" or (call.operation.body == "either" and is_form):
        if not is_form:
            raise Invalid(None, "body", "the body must be multipart/form-data")
        call.form = await _form(call)
    else:
        call.json = parsed(call.raw)


async def _body(call: Call) -> bytes:
    parts, length, longest = [], 0, call.vendor.body_bytes_max
    async for part in call.request.stream():
        length += len(part)
        if length > longest:
            raise Invalid(None, "size", f"Maximum content size limit ({longest}) exceeded")
        parts.append(part)
    return b"".join(parts)


async def _form(call: Call) -> Form:
    fields: dict[str, list[str]] = {}
    files: dict[str, list[Upload]] = {}

    async def once() -> AsyncGenerator[bytes]:
        yield call.raw

    try:
        parser = MultiPartParser(call.request.headers, once(), max_part_size=call.vendor.body_bytes_max)
        form = await parser.parse()
    except (MultiPartException, FormParserError, HTTPException, KeyError, ValueError, LookupError):
        raise Invalid(None, "body", "the form could not be read") from None
    for name, value in form.multi_items():
        if isinstance(value, UploadFile):
            upload = Upload(value.filename or "", value.content_type or "", await value.read())
            files.setdefault(name, []).append(upload)
        else:
            fields.setdefault(name, []).append(value)
    await form.close()
    return Form(fields, files)


def tell(event: str, **what: object) -> None:
    """Write one line to the log."""
    print(json.dumps({"event": event, **what}), file=sys.stderr, flush=True)  # noqa: T201
