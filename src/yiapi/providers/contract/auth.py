"""How we show our credential to a vendor."""

from __future__ import annotations

import base64
import hmac
from dataclasses import dataclass
from typing import ClassVar, Protocol

import msgspec


class Auth(Protocol):
    """Turns a channel's credential into headers."""

    lifetime_s: ClassVar[int]
    """How long the headers may be kept; 0 means for ever."""

    def headers(self, credential: str, now_s: int) -> tuple[tuple[bytes, bytes], ...]:
        """Return the headers for one credential."""
        ...


@dataclass(frozen=True, slots=True)
class Bearer:
    """``Authorization: Bearer <credential>``."""

    lifetime_s: ClassVar[int] = 0

    def headers(self, credential: str, now_s: int) -> tuple[tuple[bytes, bytes], ...]:
        """Return the one header."""
        del now_s
        return ((b"authorization", b"Bearer " + credential.encode()),)


@dataclass(frozen=True, slots=True)
class HeaderKey:
    """The credential alone in a header of the vendor's own."""

    name: str
    lifetime_s: ClassVar[int] = 0

    def headers(self, credential: str, now_s: int) -> tuple[tuple[bytes, bytes], ...]:
        """Return the one header."""
        del now_s
        return ((self.name.encode(), credential.encode()),)


@dataclass(frozen=True, slots=True)
class JwtHS256:
    """A signed token made of ``accessKey|secretKey``; it has no ``iat``, as the vendors' own samples have none."""

    valid_s: int
    backdate_s: int
    lifetime_s: ClassVar[int] = 600

    def headers(self, credential: str, now_s: int) -> tuple[tuple[bytes, bytes], ...]:
        """Sign a token; a credential without a secret part goes up as it is (another gateway's key)."""
        access, _, secret = credential.partition("|")
        if not secret:
            return Bearer().headers(credential, now_s)
        claims = {"iss": access, "exp": now_s + self.valid_s, "nbf": now_s - self.backdate_s}
        signed = b".".join(_base64url(msgspec.json.encode(part)) for part in ({"alg": "HS256", "typ": "JWT"}, claims))
        signature = _base64url(hmac.digest(secret.encode(), signed, "sha256"))
        return ((b"authorization", b"Bearer " + signed + b"." + signature),)


def _base64url(raw: bytes) -> bytes:
    return base64.urlsafe_b64encode(raw).rstrip(b"=")
