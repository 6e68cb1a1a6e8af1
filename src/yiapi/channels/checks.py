"""What an operator may enter about a channel."""

from __future__ import annotations

from collections.abc import Sequence

from yiapi.channels.models import Routing
from yiapi.errors import InvalidRequest

NAME_LENGTH_MAX = 200
CREDENTIAL_LENGTH_MAX = 8192
HINT_SECRET_LENGTH_MIN = 16
INTEGER_MAX = 2**31 - 1


def check_name(name: str) -> None:
    """Refuse a name that says nothing. Raises InvalidRequest."""
    if not name.strip() or len(name) > NAME_LENGTH_MAX or not name.isprintable():
        raise InvalidRequest(f"a channel needs a name of at most {NAME_LENGTH_MAX} printable characters", param="name")


def check_credentials(secrets: Sequence[str]) -> None:
    """Refuse what could not go up in a header line. Raises InvalidRequest."""
    if not secrets or len(set(secrets)) != len(secrets):
        raise InvalidRequest("a channel needs a credential, each a different one", param="credentials")
    for secret in secrets:
        if not secret or len(secret) > CREDENTIAL_LENGTH_MAX or secret != secret.strip() or not _is_printable(secret):
            raise InvalidRequest("a credential is printable ASCII without spaces around it", param="credentials")


def check_routing(routing: Routing) -> None:
    """Refuse numbers and lists that cannot be meant. Raises InvalidRequest."""
    if not 0 <= routing.weight <= INTEGER_MAX:
        raise InvalidRequest("a weight is a whole number, not below 0", param="weight")
    if abs(routing.priority) > INTEGER_MAX:
        raise InvalidRequest("this priority is out of range", param="priority")
    if routing.parallel_max is not None and not 1 <= routing.parallel_max <= INTEGER_MAX:
        raise InvalidRequest("a limit is a whole number above 0; leave it out for none", param="parallel_max")
    for param, entries in (("price_groups", routing.price_groups), ("models", routing.models)):
        if entries is not None and (not entries or "" in entries):
            raise InvalidRequest("a list of what is served has entries; leave it out to serve all", param=param)


def hint(secret: str) -> str:
    """Return what may be shown of a credential: its last four characters, if it has many more."""
    return f"…{secret[-4:]}" if len(secret) >= HINT_SECRET_LENGTH_MIN else "…"


def _is_printable(secret: str) -> bool:
    return all(" " <= character <= "~" for character in secret)
