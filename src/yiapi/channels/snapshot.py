"""Every channel in memory, ready to be called: credentials opened, target and redactor made, patterns compiled."""

from __future__ import annotations

import re
from collections import defaultdict
from collections.abc import Mapping
from dataclasses import dataclass, field
from fnmatch import translate
from types import MappingProxyType
from typing import Any
from urllib.parse import urlsplit

from yiapi.channels import store
from yiapi.channels.models import Channel, Credential, Routing
from yiapi.db import Row, Transaction
from yiapi.logs import get_logger
from yiapi.secrets import Seal, SealBroken
from yiapi.upstream import GuardError, Redactor, Target, target_of

log = get_logger()

# Settings that name our account at a provider; its error texts like to quote them.
_ACCOUNT_WORDS = frozenset({"account", "organization", "project", "group", "team"})
_NAME_LENGTH_MIN = 8  # a shorter name of a channel would blank out ordinary words


@dataclass(frozen=True, slots=True)
class Group:
    """The channels of a provider in a mode that can be used; ``is_plain`` if each serves every call."""

    channels: tuple[Channel, ...]
    is_plain: bool


@dataclass(frozen=True, slots=True)
class Snapshot:
    """What is known at a version; never changed, only exchanged."""

    version: int = 0
    channels: dict[str, Channel] = field(default_factory=dict)
    groups: dict[tuple[str, str], Group] = field(default_factory=dict)


def newer(tx: Transaction, before: Snapshot, seal: Seal) -> Snapshot:
    """Return the snapshot of now; the very same one if the version was not raised."""
    version = store.version(tx)
    if version == before.version:
        return before
    channels = dict(before.channels)
    for row, credentials in store.channels_since(tx, before.version):
        channel = _channel(row, credentials, seal)
        if channel is None:
            channels.pop(row["id"], None)
        else:
            channels[channel.id] = channel
    return Snapshot(version, channels, _groups(channels))


def _groups(channels: dict[str, Channel]) -> dict[tuple[str, str], Group]:
    members: dict[tuple[str, str], list[Channel]] = defaultdict(list)
    for channel in channels.values():
        if channel.enabled and channel.credentials:
            members[channel.provider, channel.mode].append(channel)
    return {
        key: Group(
            tuple(sorted(group, key=lambda channel: (-channel.priority, channel.id))),
            all(channel.price_groups is None and channel.models is None for channel in group),
        )
        for key, group in members.items()
    }


def _channel(row: Row, credentials: list[Row], seal: Seal) -> Channel | None:
    """Make a channel of its rows; None, and a line in the log, for one that cannot be used."""
    opened = _opened(credentials, seal)
    routing = store.routing_of(row)
    try:
        target = _target(row)
    except (ValueError, GuardError):
        log.warning("channel_unusable", channel_id=row["id"], reason="its base URL cannot be used")
        return None
    return Channel(
        id=row["id"],
        provider=row["provider"],
        name=row["name"],
        mode=row["mode"],
        base_url=row["base_url"],
        target=target,
        weight=routing.weight,
        priority=routing.priority,
        price_groups=None if routing.price_groups is None else frozenset(routing.price_groups),
        models=routing.models,
        model_names=MappingProxyType(dict(routing.model_names)),
        settings=MappingProxyType(dict(routing.settings)),
        parallel_max=routing.parallel_max,
        credentials=tuple(credential for credential, enabled in opened if enabled),
        is_sandbox=row["mode"] == "test",
        redactor=Redactor(
            [*(credential.secret for credential, _ in opened), row["base_url"]], names=_names(row, routing)
        ),
        enabled=bool(row["enabled"]),
        models_matcher=None if routing.models is None else _matcher(routing.models),
        retired=tuple(credential for credential, enabled in opened if not enabled),
    )


def _opened(rows: list[Row], seal: Seal) -> list[tuple[Credential, bool]]:
    opened = []
    for row in rows:
        try:
            secret = seal.open(row["sealed"], row["id"])
        except SealBroken:
            log.warning("credential_unusable", channel_id=row["channel_id"], credential_id=row["id"])
        else:
            opened.append((Credential(row["id"], secret, row["hint"]), bool(row["enabled"])))
    return opened


def _target(row: Row) -> Target:
    """Make the target; only a sandbox channel, which the station itself wrote, brings its own permit."""
    if row["mode"] != "test":
        return target_of(row["base_url"])
    return target_of(row["base_url"], permitted=(urlsplit(row["base_url"]).netloc,))


def _matcher(patterns: tuple[str, ...]) -> re.Pattern[str]:
    return re.compile("|".join(f"(?:{translate(pattern)})" for pattern in patterns))


def _names(row: Row, routing: Routing) -> list[str]:
    """Name what our account is called there: its error texts like to quote it."""
    is_own_name = len(row["name"]) >= _NAME_LENGTH_MIN and not row["name"].lower().startswith(row["provider"])
    return [*([row["name"]] if is_own_name and row["mode"] != "test" else []), *_account_names(routing.settings)]


def _account_names(settings: Mapping[str, Any]) -> list[str]:
    return [
        value
        for name, value in settings.items()
        if isinstance(value, str) and name.lower().removesuffix("_id").removesuffix("_name") in _ACCOUNT_WORDS
    ]
