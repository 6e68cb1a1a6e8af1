"""The sandbox's own books, shown to whoever runs it: ``/_/calls``, ``/_/tasks``, ``/_/bill``. Never to strangers."""

from typing import Any

from starlette.requests import Request
from starlette.responses import JSONResponse, PlainTextResponse, Response

from yiapi_sandbox.books import Task, usd
from yiapi_sandbox.sandbox import Sandbox


def answer(sandbox: Sandbox, request: Request, page: str) -> Response:
    """Show a page of the books; a peer from another machine is told that there is none."""
    if request.client is None or not request.client.host.startswith(("127.", "::1")):
        return PlainTextResponse("No such vendor", 404)
    match page:
        case "calls":
            return JSONResponse({"data": sandbox.books.calls(request.query_params.get("request_id"))})
        case "tasks":
            tasks: dict[str, list[dict[str, Any]]] = {}
            for task in sandbox.books.tasks():
                tasks.setdefault(task.vendor, []).append(_task(task))
            return JSONResponse({"data": tasks})
        case "bill":
            return JSONResponse({"data": _bill(sandbox)})
        case "health":
            return JSONResponse({"status": "ok"})
    return PlainTextResponse("No such page", 404)


def _task(task: Task) -> dict[str, Any]:
    names = ("id", "reference", "operation", "created_at", "ends_at", "failure")
    return {name: getattr(task, name) for name in names}


def _bill(sandbox: Sandbox) -> dict[str, Any]:
    bill = sandbox.books.billed(sandbox.clock.now())
    return {
        vendor: {
            "usd": usd(sum(usage.usd_nano for usage in usages)),
            "lines": [
                {"sku": u.sku, "unit": u.unit, "quantity": round(u.quantity, 6), "usd": usd(u.usd_nano)} for u in usages
            ],
        }
        for vendor, usages in bill.items()
    }
