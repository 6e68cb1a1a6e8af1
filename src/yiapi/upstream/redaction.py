"""Take secrets out of texts that a vendor wrote, before they are stored, logged or returned.

An error text may quote the key, the URL or the account of the channel. What is known to be secret
is removed by value, what looks like a key by its form.
"""

import base64
import json
import re
from collections.abc import Iterable
from typing import Any, Final
from urllib.parse import quote, urlsplit

MARK: Final = "[redacted]"
INPUT_LENGTH_MAX: Final = 32 * 1024  # what is after that is not looked at and not returned
SECRET_LENGTH_MIN: Final = 4  # anything shorter would blank out ordinary text

WHOLE_LENGTH_MIN: Final = 8  # in content, a shorter one would blank out ordinary words

_PARTS: Final = re.compile(r"[\n:|,;&]+")
_PART_LENGTH_MIN: Final = 6
_FORM_LENGTH_MAX: Final = 64  # the longest beginning of a key that does not yet look like one
_WORDS: Final = frozenset({"bearer", "basic", "https", "http"})

_LOOKS_SECRET: Final = re.compile(
    r"""
      (?<![a-z0-9]) (?: sk | pk | rk | ak | gsk | xai | r8 | hf | ghp | whsec | fal | yi | key ) [-_] [a-z0-9_-]{8,}
    | (?<![a-z0-9]) (?: AIza | AKIA | ASIA | LTAI | AKLT ) [a-z0-9_-]{12,}
    | (?<![a-z0-9]) eyJ [a-z0-9_-]{8,} (?: \. [a-z0-9_-]* ){0,2}
    | (?<![a-z]) (?: bearer | basic ) \s{1,4} [a-z0-9._~+/=-]{6,}
    | (?<= :// ) [^\s/@"'<>]{1,256} @
    | (?: (?<= key ) | (?<= token ) | (?<= secret ) | (?<= password ) | (?<= signature ) | (?<= sig )
        | (?<= credential ) | (?<= authorization ) )
      ["']? \s{0,4} [=:] \s{0,4} ["']? (?= [a-z._~+/%-]{0,64} [0-9=] ) [a-z0-9._~+/%=-]{8,}
    | (?<= [?&] key= ) [^\s&"'<>]+
    | (?<! [a-z0-9_+/-] ) [a-z0-9_+/-]{40,} =*
    """,
    re.VERBOSE | re.IGNORECASE,
)
_CONTROL: Final = re.compile(r"[\x00-\x1f\x7f-\x9f\u061c\u200b-\u200f\u2028-\u202e\u2060-\u2069\ud800-\udfff\ufeff]")


class Redactor:
    """Clean the texts of one channel.

    ``secrets`` are the credential, base URL and host as configured, ``names`` what our account is called; parts of a
    credential and encoded forms are derived here. Time grows with the length of the text only.
    """

    def __init__(self, secrets: Iterable[str], *, names: Iterable[str] = ()) -> None:
        secrets = tuple(secrets)
        known = _forms((*secrets, *names))
        self._longest = max(map(len, known), default=0)
        self._known = _known(known)
        self._whole = _known({whole for whole in known if whole in _wholes(secrets)})

    def clean(self, text: str | bytes, limit: int = 500) -> str:
        """Return a text without secrets, on one line, of at most ``limit`` characters."""
        if isinstance(text, bytes):
            text = text[: 4 * INPUT_LENGTH_MAX].decode("utf-8", "replace")
        is_cut = len(text) > INPUT_LENGTH_MAX
        text = text[:INPUT_LENGTH_MAX]
        if self._known is not None:
            text = self._known.sub(MARK, text)
        text = _LOOKS_SECRET.sub(MARK, text)
        if is_cut:  # the beginning of a secret may be left at the very end
            text = text[: max(len(text) - max(self._longest, _FORM_LENGTH_MAX), 0)]
        text = _CONTROL.sub(_escaped, text[: limit + 1])
        return text if len(text) <= limit else text[: max(limit - 1, 0)] + "…"

    def hide(self, text: str) -> str:
        """Return a text that is content, a prompt for instance, without credential and address; all else stays."""
        return text if self._whole is None else self._whole.sub(MARK, text)

    def hide_in(self, value: Any) -> Any:
        """Hide in every text of some JSON; what is nested too deep to be walked is dropped as a whole."""
        try:
            return self._hidden(value)
        except RecursionError:
            return None

    def _hidden(self, value: Any) -> Any:
        if isinstance(value, str):
            return self.hide(value)
        if isinstance(value, list):
            return [self._hidden(item) for item in value]
        if isinstance(value, dict):
            return {name: self._hidden(item) for name, item in value.items()}
        return value


def _wholes(secrets: Iterable[str]) -> set[str]:
    """Return the secrets themselves and their hosts: what may be taken out of texts that are content."""
    stripped = {secret.strip() for secret in secrets}
    wholes = stripped.union(*map(_of_url, stripped))
    return {whole for whole in wholes if len(whole) >= WHOLE_LENGTH_MIN}


def _known(forms: set[str]) -> re.Pattern[str] | None:
    if not forms:
        return None
    either = "|".join(re.escape(form) for form in sorted(forms, key=len, reverse=True))
    # A URL of a known host goes as a whole, scheme, path and query included.
    scheme = r"(?:[a-z]{2,8}:(?:\\?/){2})?"
    path = r"(?:(?<=[a-z0-9])(?::\d+)?\\?/[^\s\"'<>]*)?"
    return re.compile(f"{scheme}(?:{either}){path}", re.IGNORECASE)


def _forms(secrets: Iterable[str]) -> set[str]:
    forms: set[str] = set()
    for secret in secrets:
        for whole in (secret.strip(), *_values_of_json(secret)):
            forms.add(whole)
            forms.update(part for part in _PARTS.split(whole) if len(part) >= _PART_LENGTH_MIN)
            forms.update(_of_url(whole))
            forms.update({quote(whole, safe=""), json.dumps(whole)[1:-1], base64.b64encode(whole.encode()).decode()})
    return {form for form in forms if len(form) >= SECRET_LENGTH_MIN and form.lower() not in _WORDS}


def _values_of_json(secret: str) -> list[str]:
    """Return the texts of a credential that is a JSON object."""
    if not secret.lstrip().startswith("{"):
        return []
    try:
        values = json.loads(secret).values()
    except (ValueError, RecursionError):
        return []
    return [value for value in values if isinstance(value, str)]


def _of_url(text: str) -> set[str]:
    try:
        host = urlsplit(text).hostname if "://" in text else None
    except ValueError:
        return set()
    return {host, text.rstrip("/")} if host else set()


def _escaped(match: re.Match[str]) -> str:
    return match[0].encode("unicode_escape").decode("ascii")
