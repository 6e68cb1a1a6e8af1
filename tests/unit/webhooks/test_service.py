"""Endpoints and deliveries of tenants: who may see them, where they may lead, and what is put out to them."""

from dataclasses import replace

import pytest

from yiapi.errors import Conflict, InvalidRequest, NotFound
from yiapi.webhooks import DeadReason, DeliveryStatus, DisabledReason, Event, EventType
from yiapi.webhooks.service import ENDPOINTS_MAX

from .conftest import ACCOUNT, OTHER, PRIVATE, ROWS, SECRETS, URL

pytestmark = pytest.mark.anyio


async def off(room, endpoint):
    return await room.webhooks.change_endpoint(
        endpoint.account_id, endpoint.mode, endpoint.id, lambda one: replace(one, enabled=False), actor="key_1"
    )


async def on(room, endpoint):
    return await room.webhooks.change_endpoint(
        endpoint.account_id, endpoint.mode, endpoint.id, lambda one: replace(one, enabled=True), actor="key_1"
    )


# Endpoints


async def test_an_endpoint_is_made_with_its_secret(room):
    endpoint, secret = await room.endpoint(events=(EventType.TASK_FAILED,))

    assert secret.startswith("whsec_")
    assert await room.webhooks.endpoint(ACCOUNT, "live", endpoint.id) == endpoint
    assert (endpoint.url, endpoint.events, endpoint.enabled) == (URL, (EventType.TASK_FAILED,), True)


async def test_secrets_are_sealed_at_rest(room):
    _, secret = await room.endpoint()
    hook_secret = await room.webhooks.new_hook_secret(ACCOUNT, "live", actor="key_1")

    rows = await room.database.read(lambda tx: tx.all(SECRETS))
    assert len(rows) == 2
    for text in (secret, hook_secret):
        assert text.removeprefix("whsec_") not in str(rows)


@pytest.mark.parametrize(
    "address",
    [
        "http://receiver.example.com/hook",
        "https://127.0.0.1/hook",
        "https://10.0.0.1/",
        "https://169.254.169.254/latest/meta-data",
        "https://0.0.0.0/",
        "https://[::1]/",
        "https://[fd00::1]/",
        "https://[::ffff:10.0.0.1]/",
        "https://2130706433/",
        "https://0x7f.1/",
        "ftp://receiver.example.com/",
        "file:///etc/passwd",
        "https://user:pass@receiver.example.com/",
        "https://receiver.example.com:8443/",
        "https://nowhere.invalid/",
        f"https://{PRIVATE}/",
        "https://receiver.example.com/#part",
        "https://receiver.example.com/" + "x" * 2000,
        "not a url",
        "",
        "https://\x00/",
        "https://[",
    ],
)
async def test_f091_an_address_that_may_not_be_called_is_refused(room, address):
    with pytest.raises(InvalidRequest) as refused:
        await room.endpoint(url=address)

    assert refused.value.param == "url"
    assert await room.webhooks.endpoints(ACCOUNT, "live", before=(2**62, ""), limit=10) == []


async def test_f091_an_address_cannot_be_changed_to_one_that_may_not_be_called(room):
    endpoint, _ = await room.endpoint()

    with pytest.raises(InvalidRequest):
        await room.webhooks.change_endpoint(
            ACCOUNT, "live", endpoint.id, lambda one: replace(one, url="https://10.0.0.1/"), actor="key_1"
        )

    assert (await room.webhooks.endpoint(ACCOUNT, "live", endpoint.id)).url == URL


async def test_a_tenant_has_a_bounded_number_of_endpoints(room):
    for _ in range(ENDPOINTS_MAX):
        await room.endpoint()

    with pytest.raises(Conflict):
        await room.endpoint()
    await room.endpoint(OTHER)


@pytest.mark.parametrize(("account", "mode"), [(OTHER, "live"), (ACCOUNT, "test")])
async def test_f025_another_tenant_does_not_find_an_endpoint(room, account, mode):
    endpoint, _ = await room.endpoint()

    for call in (
        room.webhooks.endpoint(account, mode, endpoint.id),
        room.webhooks.change_endpoint(account, mode, endpoint.id, lambda one: one, actor="key_2"),
        room.webhooks.delete_endpoint(account, mode, endpoint.id, actor="key_2"),
        room.webhooks.rotate_secret(account, mode, endpoint.id, actor="key_2"),
    ):
        with pytest.raises(NotFound):
            await call
    assert await room.webhooks.endpoints(account, mode, before=(2**62, ""), limit=10) == []
    assert await room.webhooks.endpoint(ACCOUNT, "live", endpoint.id) == endpoint


async def test_what_is_done_with_endpoints_is_in_the_audit(room):
    endpoint, _ = await room.endpoint()
    await off(room, endpoint)
    await room.webhooks.rotate_secret(ACCOUNT, "live", endpoint.id, actor="key_1")
    await room.webhooks.delete_endpoint(ACCOUNT, "live", endpoint.id, actor="key_1")

    assert sorted(await room.audit()) == [
        f"webhook_endpoint.{verb}" for verb in ("create", "delete", "rotate", "update")
    ]


# Putting out


async def test_an_event_goes_to_every_endpoint_of_the_tenant_that_wants_it(room):
    everything, _ = await room.endpoint()
    failures, _ = await room.endpoint(events=(EventType.TASK_FAILED,))
    await room.endpoint(events=(EventType.TASK_EXPIRED,))
    await room.endpoint(OTHER)

    await room.put_out(type_=EventType.TASK_FAILED)

    found = await room.deliveries()
    assert {delivery.endpoint_id for delivery in found} == {everything.id, failures.id}
    assert len({delivery.event_id for delivery in found}) == 1
    assert await room.deliveries(OTHER) == []


async def test_an_endpoint_that_is_off_is_put_out_nothing(room):
    endpoint, _ = await room.endpoint()
    await off(room, endpoint)

    await room.put_out()

    assert await room.deliveries() == []


async def test_what_is_put_out_is_undone_with_its_transaction(room):
    await room.endpoint()

    def write(tx):
        event = Event(account_id=ACCOUNT, mode="live", task_id="1", type=EventType.TASK_FAILED)
        room.webhooks.put_out(tx, event, room.webhooks.listeners(tx, event), '{"data":{}}')
        raise Conflict("the task had ended")

    with pytest.raises(Conflict):
        await room.database.write(write)

    assert await room.deliveries() == []


async def test_an_event_id_has_no_dot(room):
    await room.endpoint()
    await room.put_out()

    assert "." not in (await room.only()).event_id


# Off, on, deleted


async def test_what_waits_for_an_endpoint_that_is_switched_off_is_dead_and_can_be_replayed(room):
    endpoint, _ = await room.endpoint()
    await room.put_out()
    await off(room, endpoint)

    dead = await room.only()
    assert (dead.status, dead.dead_reason) == (DeliveryStatus.DEAD, DeadReason.ENDPOINT_DISABLED)
    assert await room.deliver() == 0
    with pytest.raises(Conflict):
        await room.webhooks.replay(ACCOUNT, "live", dead.id)

    assert (await on(room, endpoint)).disabled_reason is None
    again = await room.webhooks.replay(ACCOUNT, "live", dead.id)
    assert (again.status, again.dead_reason) == (DeliveryStatus.PENDING, None)
    await room.deliver()
    assert await room.statuses() == ["delivered"]


async def test_an_endpoint_says_who_switched_it_off(room):
    endpoint, _ = await room.endpoint()

    changed = await off(room, endpoint)

    assert (changed.enabled, changed.disabled_reason) == (False, DisabledReason.ASKED)
    assert changed.disabled_at == room.clock.now_ms()


async def test_a_deleted_endpoint_hears_nothing_and_its_deliveries_stay_to_be_read(room):
    endpoint, _ = await room.endpoint()
    await room.put_out()
    await room.webhooks.delete_endpoint(ACCOUNT, "live", endpoint.id, actor="key_1")

    await room.put_out()
    await room.deliver()

    assert room.receivers.got == []
    dead = await room.only()
    assert (dead.status, dead.dead_reason) == (DeliveryStatus.DEAD, DeadReason.ENDPOINT_DELETED)
    assert await room.database.read(lambda tx: tx.all(SECRETS)) == []
    with pytest.raises(Conflict):
        await room.webhooks.replay(ACCOUNT, "live", dead.id)


# Deliveries


@pytest.mark.parametrize(("account", "mode"), [(OTHER, "live"), (ACCOUNT, "test")])
async def test_f025_another_tenant_does_not_find_a_delivery(room, account, mode):
    await room.endpoint()
    await room.put_out()
    delivery = await room.only()

    for call in (
        room.webhooks.delivery(account, mode, delivery.id),
        room.webhooks.replay(account, mode, delivery.id),
    ):
        with pytest.raises(NotFound):
            await call
    assert await room.webhooks.deliveries(account, mode, before=(2**62, ""), limit=10, filters={}) == []


async def test_deliveries_come_newest_first_in_pages_and_can_be_filtered(room):
    endpoint, _ = await room.endpoint()
    for number in range(5):
        room.clock.turn(1)
        await room.put_out(task_id=str(number))
    await room.put_out_hook(task_id="hook")
    find = room.webhooks.deliveries

    first = await find(ACCOUNT, "live", before=(2**62, ""), limit=3, filters={"endpoint_id": endpoint.id})
    rest = await find(
        ACCOUNT, "live", before=(first[-1].created_at, first[-1].id), limit=3, filters={"endpoint_id": endpoint.id}
    )

    assert [delivery.task_id for delivery in (*first, *rest)] == ["4", "3", "2", "1", "0"]
    assert [
        one.task_id for one in await find(ACCOUNT, "live", before=(2**62, ""), limit=9, filters={"task_id": "2"})
    ] == ["2"]
    assert await find(ACCOUNT, "live", before=(2**62, ""), limit=9, filters={"status": "dead"}) == []


async def test_a_span_of_time_can_be_replayed(room):
    endpoint, _ = await room.endpoint()
    await room.endpoint(OTHER)
    began_ms = room.clock.now_ms()
    for number in range(3):
        await room.put_out(task_id=str(number))
        await room.put_out(OTHER)
        room.clock.turn(60)
    await off(room, endpoint)
    span = {"from_ms": began_ms, "to_ms": began_ms + 61_000, "endpoint_id": "", "status": DeliveryStatus.DEAD}
    assert await room.webhooks.replay_span(ACCOUNT, "live", **span) == 0

    await on(room, endpoint)
    count = await room.webhooks.replay_span(ACCOUNT, "live", **span)

    assert count == 2
    assert sorted(await room.statuses()) == ["dead", "pending", "pending"]


async def test_nothing_of_what_is_delivered_is_kept_for_ever(room):
    await room.endpoint()
    await room.put_out()
    await room.deliver()
    room.clock.turn(20 * 86400)
    await room.put_out()
    room.clock.turn(11 * 86400)

    await room.courier.sweep()

    assert [row["status"] for row in await room.database.read(lambda tx: tx.all(ROWS))] == ["pending"]
