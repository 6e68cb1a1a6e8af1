"""The station's own API: account, catalogue, records, tasks, assets, health; one shape whatever the provider."""

from __future__ import annotations

from starlette.applications import Starlette
from starlette.exceptions import HTTPException
from starlette.requests import Request
from starlette.responses import Response
from starlette.routing import Match, Route

from yiapi.api import health, pages
from yiapi.api.answers import answering, envelope, error_answer, nothing_here, wrong_method
from yiapi.api.callbacks import callbacks
from yiapi.api.routes import OWN, PAGES
from yiapi.api.services import Node, Services, Tenant
from yiapi.api.tenants import authenticate, for_tenant
from yiapi.assets import asset_routes
from yiapi.db import Database

__all__ = ["OWN", "PAGES", "Node", "Services", "Tenant", "api_app", "envelope"]


def api_app(node: Node, database: Database) -> Starlette:
    """Make the application; it answers every path that is no operation of a provider."""
    services = Services(node, database)
    routes = [
        Route(own.path, for_tenant(services, own.handler), methods=[own.method])
        for own in OWN
        if own.handler is not None
    ]
    app = Starlette(
        routes=[*routes, *_asset_routes(services), *_pages(services)], exception_handlers={HTTPException: _on_no_route}
    )
    app.router.redirect_slashes = False  # such a redirect would lead to whatever host the caller named
    return app


def _asset_routes(services: Services) -> list[Route]:
    async def tenant(request: Request) -> Tenant:
        return authenticate(services, request)

    return [
        Route(route.path, answering(route.endpoint), methods=sorted(route.methods or ()))
        for route in asset_routes(services.node.assets, authenticate=tenant, render_error=error_answer)
    ]


def _pages(services: Services) -> list[Route]:
    docs = pages.docs(services)
    return [
        Route("/healthz", answering(health.alive)),
        Route("/readyz", health.ready(services)),
        Route("/metrics", health.metrics(services)),
        Route("/openapi.json", pages.openapi(services)),
        Route("/docs", docs),
        Route("/docs/zh", docs),
        Route("/llms.txt", pages.llms(services)),
        Route("/callbacks/{channel_id}/{token}", callbacks(services), methods=["POST"]),
    ]


async def _on_no_route(request: Request, error: Exception) -> Response:
    assert isinstance(error, HTTPException)
    if error.status_code != 405:
        return nothing_here(request)
    routes = (route for route in request.app.routes if isinstance(route, Route))
    matching = [route for route in routes if route.matches(request.scope)[0] is not Match.NONE]
    return wrong_method(request, {method for route in matching for method in route.methods or ()})
