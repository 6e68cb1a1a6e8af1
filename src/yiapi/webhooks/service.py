"""The room of hooks as the rest of the station sees it: endpoints, what is put out to them, and what became of it."""

from __future__ import annotations

import asyncio
from collections.abc import Callable, Mapping, Sequence
from typing import Any, TypeVar

import msgspec

from yiapi.clock import rfc3339
from yiapi.db import Database, Transaction
from yiapi.errors import Conflict, InvalidRequest, NotFound
from yiapi.ids import new_id
from yiapi.logs import get_logger
from yiapi.upstream import AddressGuard, GuardError
from yiapi.webhooks import store
from yiapi.webhooks.models import Delivery, DeliveryStatus, DisabledReason, Endpoint, Event, EventType
from yiapi.webhooks.schedule import Outcome, outcome_of
from yiapi.webhooks.secrets import Secrets
from yiapi.webhooks.sending import Sender

ENDPOINTS_MAX = 20
URL_LENGTH_MAX = 2000
CHECK_S = 5.0
BODY_BYTES_MAX = 20_000

T = TypeVar("T")
log = get_logger()


class Webhooks:
    """A tenant's endpoints and deliveries. A tenant never meets those of another: they are not found.

    What a transaction of somebody else puts out is sent once that is committed: ``wake`` says so to the courier of the
    same process, and the others look several times a second.
    """

    def __init__(self, database: Database, secrets: Secrets, sender: Sender, guard: AddressGuard) -> None:
        self._database = database
        self._secrets = secrets
        self._sender = sender
        self._guard = guard
        self.wake = asyncio.Event()

    # Addresses

    async def check_url(self, url: str, *, param: str | None = "url") -> None:
        """Test where a hook leads: its form, and every address of its host. Raises InvalidRequest.

        What is sent later is tested again, because a name may lead elsewhere by then.
        """
        if len(url) > URL_LENGTH_MAX:
            raise InvalidRequest(f"The address has more than {URL_LENGTH_MAX} characters.", param=param)
        try:
            checked = self._guard.check_url(url)
            async with asyncio.timeout(CHECK_S):
                await self._guard.addresses(checked.host, checked.port)
        except (GuardError, ValueError) as error:
            log.warning("security_event", what="webhook_address_refused", detail=str(error))
            raise InvalidRequest(f"The address may not be called: {error}.", param=param) from error
        except TimeoutError as error:
            raise InvalidRequest(
                "The address may not be called: its name was not found in time.", param=param
            ) from error

    # Endpoints

    async def create_endpoint(
        self, account_id: str, mode: str, url: str, events: Sequence[EventType] | None, *, actor: str
    ) -> tuple[Endpoint, str]:
        """Make an endpoint and return it with its secret. Raises InvalidRequest, Conflict for too many."""
        await self.check_url(url)

        def create(tx: Transaction) -> tuple[Endpoint, str]:
            if store.endpoint_count(tx, account_id, mode) >= ENDPOINTS_MAX:
                raise Conflict(f"There are {ENDPOINTS_MAX} endpoints already; delete one first.")
            endpoint_id = store.insert_endpoint(tx, account_id, mode, url, events)
            store.audit(tx, actor, "webhook_endpoint.create", endpoint_id, {"account": account_id, "mode": mode})
            return _found(tx, account_id, mode, endpoint_id), self._secrets.make(tx, endpoint_id)

        return await self._database.write(create)

    async def endpoint(self, account_id: str, mode: str, endpoint_id: str) -> Endpoint:
        """Return an endpoint. Raises NotFound."""
        return await self._database.read(lambda tx: _found(tx, account_id, mode, endpoint_id))

    async def endpoints(self, account_id: str, mode: str, *, before: store.Place, limit: int) -> list[Endpoint]:
        """Return a page of endpoints, newest first."""
        return await self._database.read(lambda tx: store.endpoints(tx, account_id, mode, before=before, limit=limit))

    async def change_endpoint(
        self,
        account_id: str,
        mode: str,
        endpoint_id: str,
        change: Callable[[Endpoint], Endpoint],
        *,
        actor: str,
    ) -> Endpoint:
        """Write what ``change`` makes of an endpoint's address, events and switch. Raises NotFound, InvalidRequest.

        What waits for an endpoint that is switched off is dead, and can be replayed once it is on again.
        """
        wanted = change(await self.endpoint(account_id, mode, endpoint_id))
        await self.check_url(wanted.url)

        def update(tx: Transaction) -> Endpoint:
            changed = change(_found(tx, account_id, mode, endpoint_id))
            store.update_endpoint(tx, endpoint_id, changed.url, changed.events)
            if changed.enabled:
                store.enable_endpoint(tx, endpoint_id)
            else:
                store.disable_endpoint(tx, endpoint_id, DisabledReason.ASKED)
            detail = {"enabled": changed.enabled, "events": changed.events}
            store.audit(tx, actor, "webhook_endpoint.update", endpoint_id, detail)
            return _found(tx, account_id, mode, endpoint_id)

        return await self._database.write(update)

    async def delete_endpoint(self, account_id: str, mode: str, endpoint_id: str, *, actor: str) -> None:
        """Delete an endpoint; what waits for it is dead. Raises NotFound."""

        def delete(tx: Transaction) -> None:
            _found(tx, account_id, mode, endpoint_id)
            store.delete_endpoint(tx, endpoint_id)
            store.audit(tx, actor, "webhook_endpoint.delete", endpoint_id, {})

        await self._database.write(delete)

    async def rotate_secret(self, account_id: str, mode: str, endpoint_id: str, *, actor: str) -> tuple[Endpoint, str]:
        """Give an endpoint a new secret; the older ones sign along for a day. Raises NotFound."""

        def rotate(tx: Transaction) -> tuple[Endpoint, str]:
            endpoint = _found(tx, account_id, mode, endpoint_id)
            store.audit(tx, actor, "webhook_endpoint.rotate", endpoint_id, {})
            return endpoint, self._secrets.make(tx, endpoint_id)

        return await self._database.write(rotate)

    async def new_hook_secret(self, account_id: str, mode: str, *, actor: str) -> str:
        """Make the secret that signs what goes to a tenant's own hooks; an older one signs along for a day."""
        owner = store.hooks_owner(account_id, mode)

        def make(tx: Transaction) -> str:
            store.audit(tx, actor, "hook_secret.create", account_id, {"mode": mode})
            return self._secrets.make(tx, owner)

        return await self._database.write(make)

    # Deliveries

    async def delivery(self, account_id: str, mode: str, delivery_id: str) -> Delivery:
        """Return a delivery. Raises NotFound."""
        found = await self._database.read(lambda tx: store.find_delivery(tx, account_id, mode, delivery_id))
        return _known(found)

    async def deliveries(
        self, account_id: str, mode: str, *, before: store.Place, limit: int, filters: Mapping[str, str]
    ) -> list[Delivery]:
        """Return a page of deliveries, newest first."""
        return await self._database.read(
            lambda tx: store.deliveries(tx, account_id, mode, before=before, limit=limit, filters=filters)
        )

    async def replay(self, account_id: str, mode: str, delivery_id: str) -> Delivery:
        """Send a delivery again, under the same id. Raises NotFound, Conflict where its endpoint is off or gone."""
        delivery = await self._database.write(lambda tx: replay(tx, account_id, mode, delivery_id))
        self.wake.set()
        return delivery

    async def replay_span(
        self, account_id: str, mode: str, *, from_ms: int, to_ms: int, endpoint_id: str, status: DeliveryStatus
    ) -> int:
        """Send again what was put out in a span of time, where the endpoint is on; return how many (up to 5,000)."""
        count = await self._database.write(
            lambda tx: store.replay_span(
                tx, account_id, mode, from_ms=from_ms, to_ms=to_ms, endpoint_id=endpoint_id, status=status
            )
        )
        self.wake.set()
        return count

    # Putting out

    def listeners(self, tx: Transaction, event: Event) -> list[Endpoint]:
        """Return the endpoints that are to be told of an event."""
        return store.listening(tx, event.account_id, event.mode, event.type)

    def put_out(self, tx: Transaction, event: Event, endpoints: Sequence[Endpoint], body: str) -> None:
        """Write an event for some endpoints, in the transaction of what it reports."""
        store.put_out(tx, event, [endpoint.id for endpoint in endpoints], body)

    def put_out_hook(self, tx: Transaction, event: Event, url: str, body: str) -> None:
        """Write an event for a task's own hook, in the transaction of what it reports."""
        store.put_out_hook(tx, event, url, body)

    async def tell_once(self, account_id: str, mode: str, url: str, body: str) -> bool:
        """Tell a task's own hook of something that is not kept: one try. False when the receiver said 410."""
        owner = store.hooks_owner(account_id, mode)
        secrets = await self._database.read(lambda tx: self._secrets.of(tx, [owner]))
        sent = await self._sender.send(url, new_id("evt"), body, secrets.get(owner, ()))
        return outcome_of(sent.attempt.status) is not Outcome.GONE


def replay(tx: Transaction, account_id: str, mode: str, delivery_id: str) -> Delivery:
    """Begin a new round of attempts. Raises NotFound, Conflict where its endpoint is off or gone."""
    delivery = _known(store.find_delivery(tx, account_id, mode, delivery_id))
    if delivery.endpoint_id is not None:
        endpoint = store.find_endpoint(tx, account_id, mode, delivery.endpoint_id)
        if endpoint is None or not endpoint.enabled:
            raise Conflict("The endpoint of this delivery was deleted or is switched off.")
    store.replay(tx, account_id, mode, delivery_id)
    return _known(store.find_delivery(tx, account_id, mode, delivery_id))


def envelope(event_type: EventType, time_ms: int, data: Any, *, left_out: Sequence[str] = ()) -> str:
    """Write an event as Standard Webhooks wants it; ``left_out`` names what would have made it too long."""
    said = {"type": event_type.value, "timestamp": rfc3339(time_ms), "data": data}
    return msgspec.json.encode(said | ({"left_out": left_out} if left_out else {})).decode()


def _found(tx: Transaction, account_id: str, mode: str, endpoint_id: str) -> Endpoint:
    endpoint = store.find_endpoint(tx, account_id, mode, endpoint_id)
    if endpoint is None:
        raise NotFound("No webhook endpoint of yours has this id.")
    return endpoint


def _known(delivery: Delivery | None) -> Delivery:
    if delivery is None:
        raise NotFound("No delivery of yours has this id.")
    return delivery
