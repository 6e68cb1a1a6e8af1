"""Whether what came matches an example: objects by their keys, lists by their elements, marks by their meaning."""

from __future__ import annotations

import json
import re
from dataclasses import dataclass, field
from typing import Any

MARK = re.compile(r"\$(TASK\d?|ANY|NUMBER|STRING|URL|CHANNEL_KEY|UPSTREAM)")
ABSENT = "$ABSENT"


@dataclass
class Marks:
    """What the marks of one case stand for; ids are captured where they first appear, links are collected."""

    upstream: str
    channel_key: str
    tasks: dict[str, str] = field(default_factory=dict)
    urls: list[str] = field(default_factory=list)

    def fill(self, text: str) -> str:
        """Put in what is known."""
        text = text.replace("$UPSTREAM", self.upstream).replace("$CHANNEL_KEY", self.channel_key)
        return re.sub(r"\$(TASK\d?)", lambda mark: self.tasks.get(mark[1], mark[0]), text)


def differences(expected: Any, got: Any, marks: Marks, where: str = "") -> list[str]:
    """Return what does not match, by place; nothing where it does."""
    if isinstance(expected, dict):
        return _object(expected, got, marks, where)
    if isinstance(expected, list):
        if not isinstance(got, list) or len(got) != len(expected):
            return [f"{where}: expected {len(expected)} elements, got {short(got)}"]
        pairs = enumerate(zip(expected, got, strict=True))
        return [fault for index, (one, other) in pairs for fault in differences(one, other, marks, f"{where}[{index}]")]
    if isinstance(expected, str):
        return _text(expected, got, marks, where)
    same = expected == got and isinstance(expected, bool) == isinstance(got, bool)
    return [] if same else [f"{where}: expected {expected!r}, got {short(got)}"]


def _object(expected: dict[str, Any], got: Any, marks: Marks, where: str) -> list[str]:
    if not isinstance(got, dict):
        return [f"{where}: expected an object, got {short(got)}"]
    faults = []
    for name, value in expected.items():
        place = f"{where}.{name}"
        if value == ABSENT:
            faults += [f"{place}: must not be there, is {short(got[name])}"] if name in got else []
        elif name not in got:
            faults.append(f"{place}: is missing")
        else:
            faults += differences(value, got[name], marks, place)
    return faults


def _text(expected: str, got: Any, marks: Marks, where: str) -> list[str]:
    fault = [f"{where}: expected {short(expected)}, got {short(got)}"]
    if expected == "$ANY":
        return fault if got in (None, "", [], {}) else []
    if expected == "$NUMBER":
        return [] if isinstance(got, int | float) and not isinstance(got, bool) else fault
    if not isinstance(got, str):
        return fault
    found = re.fullmatch(pattern_of(expected, marks), got, re.DOTALL)
    if found is None:
        return fault
    for name, value in found.groupdict().items():
        if name.startswith("URL"):
            marks.urls.append(value)
        else:
            marks.tasks[name] = value
    return []


def pattern_of(expected: str, marks: Marks) -> str:
    """Turn a text with marks into a pattern."""
    parts: list[str] = []
    at = 0
    names: set[str] = set()
    for mark in MARK.finditer(expected):
        parts.append(re.escape(expected[at : mark.start()]))
        at = mark.end()
        name = mark[1]
        if name in {"ANY", "STRING"}:
            parts.append(".+" if name == "ANY" else ".*")
        elif name == "NUMBER":
            parts.append(r"-?[0-9.]+")
        elif name == "URL":
            parts.append(rf"(?P<URL{len(parts)}>https?://[^\s\"'()<>]+)")
        elif name.startswith("TASK"):
            known = marks.tasks.get(name)
            fresh = rf"(?P<{name}>[A-Za-z0-9_-]+)" if name not in names else rf"(?P={name})"
            parts.append(re.escape(known) if known else fresh)
            names.add(name)
        else:
            parts.append(re.escape(marks.fill(mark[0])))
    return "".join(parts) + re.escape(expected[at:])


def events(text: str) -> list[tuple[str | None, str]]:
    """Read a stream: name and data of each event; comments and line ends do not count."""
    found = []
    for block in re.split(r"\r?\n\r?\n", text):
        name, data = None, []
        for line in block.splitlines():
            if line.startswith("event:"):
                name = line[6:].strip()
            elif line.startswith("data:"):
                data.append(line[5:].removeprefix(" "))
        if data:
            found.append((name, "\n".join(data)))
    return found


def stream_differences(expected: list[str], got: str, marks: Marks) -> list[str]:
    """Compare two streams event by event; data as JSON where it is JSON."""
    wanted, came = [one for text in expected for one in events(text)], events(got)
    if len(wanted) != len(came):
        return [f"sse: expected {len(wanted)} events, got {len(came)}: {short(got)}"]
    faults = []
    for index, ((name, data), (got_name, got_data)) in enumerate(zip(wanted, came, strict=True)):
        if name is not None and name != got_name:
            faults.append(f"sse[{index}]: expected event {name}, got {got_name}")
        try:
            pair = json.loads(data), json.loads(got_data)
        except ValueError:
            faults += _text(data, got_data, marks, f"sse[{index}]")
        else:
            faults += differences(*pair, marks, f"sse[{index}]")
    return faults


def short(value: Any) -> str:
    """Show a value in a message."""
    text = value if isinstance(value, str) else repr(value)
    return text if len(text) <= 300 else text[:300] + "…"
