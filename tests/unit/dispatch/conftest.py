"""What the tests of the attempt loop share: channels by hand, errands, and vendors that fail as they are told."""

from collections.abc import Callable
from types import MappingProxyType

import pytest

from yiapi.channels import Channel, Credential
from yiapi.dispatch import AttemptFailed, Dispatcher, Errand
from yiapi.errors import StorageUnavailable
from yiapi.providers.contract import Fault
from yiapi.providers.registry import Registry
from yiapi.upstream import Redactor, target_of

REGISTRY = Registry.discover()
KINDS = {"chat": "openai.chat", "making": "ideogram.generate", "submission": "kling.text2video"}


def channel_of(channel_id: str, **fields) -> Channel:
    values = {
        "provider": "openai",
        "name": channel_id,
        "mode": "live",
        "base_url": "https://vendor.example",
        "target": target_of("https://vendor.example"),
        "weight": 1,
        "priority": 0,
        "price_groups": None,
        "models": None,
        "model_names": MappingProxyType({}),
        "settings": MappingProxyType({}),
        "parallel_max": None,
        "credentials": (Credential(f"cred_{channel_id}", f"secret-of-{channel_id}", "…"),),
        "is_sandbox": False,
        "redactor": Redactor([]),
    }
    return Channel(id=channel_id, **(values | fields))


class Group:
    """The channels of one provider: what the loop asks of the room of channels."""

    def __init__(self) -> None:
        self.channels: list[Channel] = []
        self.disabled: list[tuple[str, str]] = []
        self.is_away = False

    def candidates(self, provider: str, mode: str, price_group: str, model: str) -> list[Channel]:
        out = {credential for credential, _ in self.disabled}
        return [channel for channel in self.channels if channel.credentials[0].id not in out]

    async def disable_credential(self, credential_id: str, reason: str) -> bool:
        if self.is_away:
            raise StorageUnavailable("away")
        self.disabled.append((credential_id, reason))
        return True


@pytest.fixture
def group() -> Group:
    return Group()


@pytest.fixture
def dispatcher(group, clock) -> Dispatcher:
    return Dispatcher(group, clock)


@pytest.fixture
def errand(clock) -> Callable[..., Errand]:
    """A call that may take ten minutes."""

    def make(kind: str = "chat", **fields) -> Errand:
        served = REGISTRY.served[KINDS[kind]]
        values = {
            "provider": served.provider,
            "operation": served.operation,
            "mode": "live",
            "price_group": "default",
            "model": "m",
            "request_id": "req_1",
            "kind": kind,
            "deadline_at": clock.monotonic() + 600,
        }
        return Errand(**(values | fields))

    return make


class Vendors:
    """What each channel's vendor does, attempt by attempt: a fault, an exception, or an answer."""

    def __init__(self) -> None:
        self.script: dict[str, list[object]] = {}
        self.asked: list[str] = []
        self.shown: list[str] = []

    async def __call__(self, channel: Channel, credential: Credential) -> str:
        self.asked.append(channel.id)
        self.shown.append(credential.secret)
        does = self.script.get(channel.id, [])
        what = does.pop(0) if len(does) > 1 else does[0] if does else "answer"
        if isinstance(what, Fault):
            raise AttemptFailed(what)
        if isinstance(what, BaseException):
            raise what
        return f"{what} of {channel.id}"


@pytest.fixture
def vendors() -> Vendors:
    return Vendors()
