"""Queries about tasks, in the dialect that made them: from our own rows, unless only the vendor knows."""

from __future__ import annotations

from collections.abc import Sequence
from urllib.parse import parse_qsl

import msgspec

from yiapi.errors import InvalidRequest, NotCancellable, NotFound
from yiapi.providers.contract import Query
from yiapi.relay import asking, bodies, intake
from yiapi.relay.call import JSON_TYPE, Call
from yiapi.relay.station import Station
from yiapi.tasks import Task

QUERY_PARAMETERS_MAX = 50
IDS_MAX = 500


async def serve(station: Station, call: Call) -> None:
    """Serve one query."""
    query, key = call.served.operation.query, call.key
    assert query is not None
    station.apikeys.permit(key, call.served.name, None, call.inbound.peer)
    intake.read_options(station, call)
    if query.render_list is not None:
        tasks = await _named(station, call, query) if query.ids is not None else await _page(station, call, query)
        links = await station.tasks.links(tasks)
        items = [station.tasks.rendered(task, links, call.request_id) for task in tasks]
        call.answer(200, [JSON_TYPE], msgspec.json.encode(query.render_list(items, call.request_id)))
        return
    task = await _one(station, call, query)
    if query.question is not None:
        await asking.serve(station, call, task, query.question)
        return
    if query.cancelled is not None:
        await _cancel(station, call, task, query)
        return
    if call.wait_s:
        task = await station.tasks.wait(task, call.wait_s)
    body = msgspec.json.encode(await station.tasks.shown(task, call.request_id))
    call.answer(200, [JSON_TYPE], body)


def _subject(call: Call) -> str | None:
    """Return the operation whose tasks are meant; None: any of the provider."""
    queries = call.served.operation.queries
    return None if queries is None else f"{call.served.provider.slug}.{queries}"


async def _one(station: Station, call: Call, query: Query) -> Task:
    slug, subject = call.served.provider.slug, _subject(call)
    try:
        task = await station.tasks.find(call.account.id, call.key.mode, slug, call.path_values.get("task_id", ""))
    except NotFound as error:
        raise (query.missing() if query.missing is not None else error) from error
    if task.provider == slug and subject in {None, task.operation}:
        return task
    raise query.missing() if query.missing is not None else NotFound("No task of yours has this id.")


async def _page(station: Station, call: Call, query: Query) -> Sequence[Task]:
    text = call.inbound.query.decode("latin-1")
    try:
        parameters = dict(parse_qsl(text, keep_blank_values=True, max_num_fields=QUERY_PARAMETERS_MAX))
    except ValueError as error:
        raise InvalidRequest(f"A query has at most {QUERY_PARAMETERS_MAX} parameters.") from error
    offset, limit = query.page(parameters) if query.page else (0, 30)
    account_id, mode, subject = call.account.id, call.key.mode, _subject(call)
    if subject is not None:
        return await station.tasks.page(account_id, mode, subject, offset=offset, limit=limit)
    return await station.tasks.lookup.page(
        account_id,
        mode,
        call.served.provider.slug,
        offset=offset,
        limit=limit,
        only_waiting=query.only_waiting,
    )


async def _named(station: Station, call: Call, query: Query) -> Sequence[Task]:
    assert query.ids is not None
    operation, settings = call.served.operation, station.settings
    body = await bodies.read_body(
        call.inbound,
        operation,
        window_s=settings.client_body_s,
        memory_bytes=settings.body_memory_bytes,
    )
    ids = query.ids(bodies.decode(operation, body or b"{}"))
    if len(ids) > IDS_MAX:
        raise InvalidRequest(f"At most {IDS_MAX} tasks can be asked for at once.")
    return await station.tasks.lookup.some(call.account.id, call.key.mode, call.served.provider.slug, ids)


async def _cancel(station: Station, call: Call, task: Task, query: Query) -> None:
    """End a task; one that has ended otherwise stays as it is, and the dialect says the same."""
    assert query.cancelled is not None
    try:
        task = await station.tasks.cancel(task.account_id, task.mode, task.id)
    except NotCancellable:
        task = await station.tasks.get(task.account_id, task.mode, task.id)
    call.answer(200, [JSON_TYPE], msgspec.json.encode(query.cancelled(task.id)))
