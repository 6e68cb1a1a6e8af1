"""What vendors call us for: a hint to look at a task now, and nothing else.

A callback is off unless a channel's settings ask for it. Its address has a random token; what it says is read for the
names of tasks alone, because the state of a task is fetched from the vendor, always.

Settings of a channel: ``callbacks``, a word of the operator's (another word gives another token), and
``callback_secret``, where the vendor signs as Standard Webhooks wants it.
"""

from __future__ import annotations

import base64
import hashlib
import hmac
from collections.abc import Iterator, Mapping
from typing import Any

import msgspec

from yiapi.channels import Channel, Channels
from yiapi.clock import Clock
from yiapi.db import Database, Transaction
from yiapi.errors import InvalidApiKey, NotFound
from yiapi.logs import get_logger
from yiapi.tasks import store
from yiapi.webhooks import is_genuine

SETTING = "callbacks"
SECRET_SETTING = "callback_secret"  # noqa: S105 - the name of a setting
OFF = frozenset({"", "0", "false", "no", "none", "off"})

NAMES_MAX = 100
NAME_LENGTH_MAX = 200
DEPTH_MAX = 8
LOOKS_AROUND_MAX = 50
REMEMBERED_MS = 7 * 86_400 * 1000

log = get_logger()


class Callbacks:
    """The addresses that vendors are given, and what happens when they call. ``key`` makes the tokens."""

    def __init__(self, database: Database, channels: Channels, clock: Clock, key: bytes, public_url: str) -> None:
        self._database = database
        self._channels = channels
        self._clock = clock
        self._key = key
        self._public_url = public_url

    def url_for(self, channel: Channel) -> str | None:
        """Return the address to give to a channel's vendor; None where callbacks are off."""
        token = self._token_of(channel)
        return None if token is None else f"{self._public_url}/callbacks/{channel.id}/{token}"

    def admit(self, channel_id: str, token: str) -> Channel:
        """Return the channel that a callback's address names. Raises NotFound for any that we have not given out."""
        channel = self._channels.get(channel_id)
        expected = self._token_of(channel) if channel is not None else None
        is_ours = hmac.compare_digest((expected or "-").encode(), token.encode("utf-8", "replace"))
        if channel is None or expected is None or not is_ours:
            log.warning("security_event", what="callback_forged", channel_id=channel_id)
            raise NotFound("Nothing is served here.")
        return channel

    async def take(self, channel: Channel, headers: Mapping[str, str], body: bytes) -> int:
        """Have the tasks looked at that a message names, or some of the channel where it names none; return how many.

        A message that came before schedules nothing. Raises InvalidApiKey where the vendor signs and this one is not.
        """
        secret = channel.settings.get(SECRET_SETTING)
        if secret and not is_genuine(str(secret), headers, body, now_s=self._clock.now_ms() / 1000):
            log.warning("security_event", what="callback_not_signed", channel_id=channel.id)
            raise InvalidApiKey("The signature is missing, wrong or too old.")
        message = _message_of(headers, body)
        names = msgspec.json.encode(list(_names(body))).decode()

        def look(tx: Transaction) -> int:
            if not tx.run(store.SQL.remember_callback, channel_id=channel.id, message=message):
                return 0
            if tx.one(store.SQL.is_known_there, channel_id=channel.id, vendor_task_ids=names) is not None:
                return tx.run(store.SQL.look_now, channel_id=channel.id, vendor_task_ids=names)
            return tx.run(store.SQL.look_around, channel_id=channel.id, limit=LOOKS_AROUND_MAX)

        count = await self._database.write(look)
        log.info("callback", channel_id=channel.id, tasks=count)
        return count

    async def forget(self) -> None:
        """Forget messages of a week ago."""
        await self._database.write(lambda tx: tx.run(store.SQL.forget_callbacks, age_ms=REMEMBERED_MS))

    def _token_of(self, channel: Channel) -> str | None:
        word = str(channel.settings.get(SETTING, ""))
        if word.lower() in OFF:
            return None
        made = hmac.digest(self._key, f"{channel.id}:{word}".encode(), "sha256")
        return base64.urlsafe_b64encode(made).decode().rstrip("=")


def _message_of(headers: Mapping[str, str], body: bytes) -> str:
    given = headers.get("webhook-id", "")
    is_plain = 0 < len(given) <= NAME_LENGTH_MAX and _is_plain(given)
    return given if is_plain else f"sha256:{hashlib.sha256(body).hexdigest()}"


def _names(body: bytes) -> Iterator[str]:
    """Yield what may be the vendor's name of a task: the short texts of a message, and its whole numbers."""
    try:
        said = msgspec.json.decode(body)
    except (msgspec.MsgspecError, RecursionError, UnicodeDecodeError):
        return
    found = 0
    for value in _values(said, 0):
        text = str(value)
        if 0 < len(text) <= NAME_LENGTH_MAX and _is_plain(text):
            yield text
            found += 1
            if found == NAMES_MAX:
                return


def _values(said: Any, depth: int) -> Iterator[str | int]:
    if isinstance(said, str | int) and not isinstance(said, bool):
        yield said
    elif isinstance(said, dict | list) and depth < DEPTH_MAX:
        for value in said.values() if isinstance(said, dict) else said:
            yield from _values(value, depth + 1)


def _is_plain(text: str) -> bool:
    return text.isascii() and text.isprintable()
