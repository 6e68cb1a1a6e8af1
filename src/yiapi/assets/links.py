"""Signed links: all that a reader needs to fetch one file, and only in the very form that was signed.

A link is ``/files/v1/{asset}/{filename}?v=1&k=…&tenant=…&expires=…&as=…&sig=…``. The signature is HMAC-SHA256 over
version, key id, tenant, asset, method class, expiry and disposition, file name included. Checking parses a link, writes
it anew from what was read, and compares the two as text, so parameters that are reordered, repeated, added or spelled
otherwise are refused. Whether the asset still exists is not known here; see ``yiapi.assets.service``.
"""

from __future__ import annotations

import base64
import hmac
import re
from dataclasses import dataclass
from typing import Literal

from yiapi.assets.kinds import file_name, is_inline
from yiapi.assets.models import Asset
from yiapi.clock import Clock
from yiapi.errors import PermissionDenied, UrlExpired

PREFIX = "/files/v1"
VERSION = "1"
METHODS = "GET"  # the only class of methods: it covers HEAD
LEEWAY_S = 60
Disposition = Literal["inline", "attachment"]

_PATH = re.compile(rf"{PREFIX}/(?P<asset>[A-Za-z0-9_-]{{1,100}})/(?P<name>[A-Za-z0-9._-]{{1,120}})")
_QUERY = re.compile(
    r"v=1&k=(?P<key>[A-Za-z0-9_-]{1,40})&tenant=(?P<account>[A-Za-z0-9_-]{1,100})\.(?P<mode>[a-z]{1,20})"
    r"&expires=(?P<expires>[0-9]{1,12})&as=(?P<as>inline|attachment)&sig=(?P<sig>[A-Za-z0-9_-]{43})"
)


@dataclass(frozen=True, slots=True)
class LinkFacts:
    """What a link says, once its signature was found good."""

    account_id: str
    mode: str
    asset_id: str
    filename: str
    expires_at_s: int
    disposition: Disposition


class Links:
    """Writes links and checks them. Another ``key_id`` revokes every link that was signed before."""

    def __init__(self, base_url: str, key: bytes, *, clock: Clock, key_id: str = "1") -> None:
        self._base_url = base_url.rstrip("/")
        self._key = key
        self._key_id = key_id
        self._clock = clock

    def link_for(self, asset: Asset, *, expires_s: int | None = None) -> str:
        """Write the link to an asset's file; it lives as long as the asset unless ``expires_s`` says shorter."""
        return self._base_url + self._written(
            LinkFacts(
                account_id=asset.account_id,
                mode=asset.mode,
                asset_id=asset.id,
                filename=file_name(asset.type, asset.content_type),
                expires_at_s=self.expiry_s(asset, expires_s),
                disposition="inline" if is_inline(asset.content_type) else "attachment",
            )
        )

    def expiry_s(self, asset: Asset, expires_s: int | None) -> int:
        """Return when a link of that life ends, in seconds since 1970: never later than its asset."""
        end_s = -(-asset.expires_at // 1000)
        return end_s if expires_s is None else min(end_s, self._clock.now_ms() // 1000 + expires_s)

    def check(self, path: str, query: str) -> LinkFacts:
        """Return what a link says. ``path`` and ``query`` are as they were on the wire.

        Raises PermissionDenied for everything that was not signed in just this form. Whether the time is over is
        asked of ``check_time``, after the asset was looked up.
        """
        where, what = _PATH.fullmatch(path), _QUERY.fullmatch(query)
        if where is None or what is None:
            raise PermissionDenied("this link was not made by the station, or it was changed")
        facts = LinkFacts(
            account_id=what["account"],
            mode=what["mode"],
            asset_id=where["asset"],
            filename=where["name"],
            expires_at_s=int(what["expires"]),
            disposition="inline" if what["as"] == "inline" else "attachment",
        )
        if not hmac.compare_digest(self._written(facts).encode(), f"{path}?{query}".encode()):
            raise PermissionDenied("this link was not made by the station, or it was changed")
        return facts

    def check_time(self, facts: LinkFacts) -> None:
        """Raise UrlExpired when the link's own life is over, a minute of leeway included."""
        if self._clock.now_ms() >= (facts.expires_at_s + LEEWAY_S) * 1000:
            raise UrlExpired("this link has expired; ask for a fresh one")

    def _written(self, facts: LinkFacts) -> str:
        tenant = f"{facts.account_id}.{facts.mode}"
        path = f"{PREFIX}/{facts.asset_id}/{facts.filename}"
        query = f"v={VERSION}&k={self._key_id}&tenant={tenant}&expires={facts.expires_at_s}&as={facts.disposition}"
        digest = hmac.digest(self._key, f"{METHODS}\n{path}\n{query}".encode(), "sha256")
        return f"{path}?{query}&sig={base64.urlsafe_b64encode(digest).decode().rstrip('=')}"
