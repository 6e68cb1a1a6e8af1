r"""Dispositions: the header of a form's part that names it and says whether it is a file.

Read here, because common parsers count quotes to find the end of a text, and so lose it after a name that ends in a
backslash: ``name="\\"; filename="x"``. RFC 7578 is the contract, what clients send decides where it is silent:

- In quotes, ``\"`` is a quote and ``\\`` a backslash; a backslash before anything else is itself, because browsers
  escape none. Outside of quotes it always is itself.
- A quote that nobody escaped ends its text where ``;`` or the end of the header follows. Elsewhere it is let pass in a
  file's name, which some clients write as it is, and refused in a part's name. The quote that the header ends with ends
  its text even behind a backslash: that is how a browser writes a name that ends in one.
- ``%22``, ``%0D`` and ``%0A`` stay as they are: browsers write them for what they cannot quote, others mean them.
- A file's name is only looked for, as ``filename`` or ``filename*`` (which some send alone). No text of it is kept, so
  there is no path to drop and no charset to decode.
- ``name*`` is no name; RFC 7578 forbids it.
"""

from __future__ import annotations

import re
from collections.abc import Iterator
from dataclasses import dataclass

from yiapi.errors import InvalidRequest

BLANK = " \t"
OPENING = re.compile(r'[ \t]*"')
MARK = re.compile(r'\\["\\]|"[ \t]*(;|\Z)?')  # the group is there where the quote ends the text
ESCAPED = re.compile(r'\\(["\\])')


@dataclass(frozen=True, slots=True)
class Disposition:
    """What a part is called, and whether it is a file."""

    name: str
    is_file: bool


def read_disposition(header: bytes) -> Disposition:
    """Read the value of a Content-Disposition, in time that grows with its length.

    Raises InvalidRequest where there is not exactly one name, or one that is empty, has control characters or is
    quoted so that parsers differ about it. The kind of disposition is not looked at, nor is any other parameter.
    """
    names: list[str] = []
    is_file = False
    for key, value in _parameters(header.decode("utf-8", "replace").strip(BLANK)):
        if key == "name":
            names.append(_unquoted(value))
        elif key == "filename" or key.startswith("filename*"):
            is_file = True
    if len(names) != 1 or not names[0] or any(character < " " or character == "\x7f" for character in names[0]):
        raise InvalidRequest("A part of the form has no usable name.")
    return Disposition(names[0], is_file)


def _parameters(text: str) -> Iterator[tuple[str, str]]:
    """Yield each parameter behind the kind: its key in small letters, its value still in its quotes."""
    end = _semicolon(text, 0)
    while end < len(text):
        start = end + 1
        end = _semicolon(text, start)
        equals = text.find("=", start, end)
        if equals < 0:
            continue
        if opening := OPENING.match(text, equals + 1):
            end = _semicolon(text, _closed(text, opening.end()))
        yield text[start:equals].strip(BLANK).lower(), text[equals + 1 : end].strip(BLANK)


def _semicolon(text: str, start: int) -> int:
    """Return where the next semicolon is, else the end."""
    found = text.find(";", start)
    return found if found >= 0 else len(text)


def _closed(text: str, start: int) -> int:
    """Return the place behind the quote that ends a quoted text, else the end."""
    ends = (mark.start() + 1 for mark in MARK.finditer(text, start) if mark[1] is not None)
    return next(ends, len(text))


def _unquoted(value: str) -> str:
    """Return what a value says; nothing where a quote in it is neither escaped nor around it all."""
    if not value.startswith('"'):
        return "" if '"' in value else value
    inner = value[1:-1]
    is_closed = len(value) > 1 and value.endswith('"')
    has_bare_quote = '"' in ESCAPED.sub("", inner)
    return ESCAPED.sub(r"\1", inner) if is_closed and not has_bare_quote else ""
