"""``POST /callbacks/{channel}/{token}``: a vendor says that something changed.

We look; what it says changes nothing.
"""

from __future__ import annotations

from starlette.requests import Request
from starlette.responses import Response

from yiapi.api.answers import Handler, answering, json_answer
from yiapi.api.bodies import read_bytes
from yiapi.api.services import Services

BODY_BYTES_MAX = 64 * 1024


def callbacks(services: Services) -> Handler:
    """Make the handler. Nothing is read before the address is found to be one that we have given out."""

    async def answer(request: Request) -> Response:
        callbacks = services.node.callbacks
        channel = callbacks.admit(request.path_params["channel_id"], request.path_params["token"])
        limit_s = services.node.settings.client_body_s
        body = await read_bytes(request, limit_s=limit_s, bytes_max=BODY_BYTES_MAX)
        await callbacks.take(channel, request.headers, body)
        return json_answer(request, {"status": "ok"})

    return answering(answer)
