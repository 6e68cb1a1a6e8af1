"""The asset room over HTTP: signed links for anyone, records and deletion for the tenant."""

from __future__ import annotations

from collections.abc import Awaitable, Callable
from typing import Protocol

from starlette.requests import Request
from starlette.responses import JSONResponse, RedirectResponse, Response
from starlette.routing import Route

from yiapi.assets.kinds import is_inline
from yiapi.assets.links import PREFIX, Disposition
from yiapi.assets.models import Asset
from yiapi.assets.service import Assets
from yiapi.assets.serving import FileAnswer, etag_of, file_headers, headed, part_of
from yiapi.clock import rfc3339
from yiapi.errors import Gone, InvalidRequest, NotFound, StationError

EXPIRES_S_MAX = 10**9


class Tenant(Protocol):
    """Who asks: an account in a mode."""

    @property
    def account_id(self) -> str:
        """Return the account."""
        ...

    @property
    def mode(self) -> str:
        """Return ``live`` or ``test``."""
        ...


Authenticate = Callable[[Request], Awaitable[Tenant]]
RenderError = Callable[[Request, StationError], Response]
Endpoint = Callable[[Request], Awaitable[Response]]


def asset_routes(assets: Assets, *, authenticate: Authenticate, render_error: RenderError) -> list[Route]:
    """Return the routes; ``authenticate`` raises a StationError for a caller that has no good key."""
    room = _Room(assets, authenticate)

    def guarded(endpoint: Endpoint) -> Endpoint:
        async def answer(request: Request) -> Response:
            try:
                return await endpoint(request)
            except StationError as error:
                return render_error(request, error)

        return answer

    return [
        Route(PREFIX + "/{rest:path}", guarded(room.linked), methods=["GET"], name="asset_file"),
        Route("/v1/assets/{asset_id}", guarded(room.show), methods=["GET"], name="asset"),
        Route("/v1/assets/{asset_id}", guarded(room.delete), methods=["DELETE"], name="asset_delete"),
        Route("/v1/assets/{asset_id}/content", guarded(room.content), methods=["GET"], name="asset_content"),
    ]


class _Room:
    def __init__(self, assets: Assets, authenticate: Authenticate) -> None:
        self._assets = assets
        self._authenticate = authenticate

    async def linked(self, request: Request) -> Response:
        """Serve a file to whoever has the link."""
        path, query = _as_sent(request)
        asset, facts = await self._assets.by_link(path, query)
        return await self._file(request, asset, facts.disposition)

    async def show(self, request: Request) -> Response:
        """Answer the record with a fresh link."""
        asset = await self._own(request)
        view = self._assets.view(asset, expires_s=_expires_s(request))
        return JSONResponse(
            {
                "object": "asset",
                **view,
                "created_at": rfc3339(asset.created_at),
                "mode": asset.mode,
                "task_id": asset.task_id,
                "request_id": asset.request_id,
            },
            headers={"cache-control": "no-store"},
        )

    async def content(self, request: Request) -> Response:
        """Serve a file to its tenant."""
        asset = await self._own(request)
        try:
            return await self._file(request, asset, "inline" if is_inline(asset.content_type) else "attachment")
        except Gone as error:
            raise NotFound("no asset has this id") from error

    async def delete(self, request: Request) -> Response:
        """Delete a file."""
        tenant = await self._authenticate(request)
        asset_id = request.path_params["asset_id"]
        await self._assets.delete(tenant.account_id, tenant.mode, asset_id)
        return JSONResponse({"object": "asset", "id": asset_id, "deleted": True})

    async def _own(self, request: Request) -> Asset:
        tenant = await self._authenticate(request)
        return await self._assets.get(tenant.account_id, tenant.mode, request.path_params["asset_id"])

    async def _file(self, request: Request, asset: Asset, disposition: Disposition) -> Response:
        elsewhere = await self._assets.redirect(asset, method=request.method)
        if elsewhere is not None:
            return RedirectResponse(elsewhere, status_code=302, headers={"cache-control": "no-store"})
        headers = file_headers(asset, disposition=disposition)
        part = part_of(asset.size_bytes, etag_of(asset), request.headers, method=request.method)
        if (answer := headed(asset, part, headers)) is not None:
            return answer
        stop = part.stop if request.method == "GET" else part.start  # a HEAD opens the file and reads nothing
        chunks = await self._assets.read(asset, part.start, stop)
        return FileAnswer(chunks, asset, part, headers)


def _as_sent(request: Request) -> tuple[str, str]:
    """Return path and query as they were on the wire: a link that is spelled otherwise was not signed."""
    raw: bytes = request.scope.get("raw_path") or request.scope["path"].encode()
    return raw.split(b"?", 1)[0].decode("latin-1"), request.scope["query_string"].decode("latin-1")


def _expires_s(request: Request) -> int | None:
    values = request.query_params.getlist("expires_s")
    if not values:
        return None
    if len(values) == 1 and values[0].isascii() and values[0].isdecimal() and 0 < int(values[0][:12]) <= EXPIRES_S_MAX:
        return int(values[0])
    raise InvalidRequest("expires_s is a number of seconds", param="expires_s")
