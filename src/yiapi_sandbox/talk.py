"""Saying something sensible: the same words always get the same answer, and it never hides where it comes from."""

import re
from collections.abc import Mapping, Sequence
from typing import Any

from yiapi_sandbox.dice import Dice

WORDS_MAX = 4000
_OPENINGS = (
    "Hello! This is the sandbox, which answers without a model.",
    "Hello again from the sandbox, where no model is asked.",
    "Good day! The sandbox speaks, in place of a model.",
    "Greetings from the sandbox, which makes up its answers by rule.",
)
_FILLER_TEXT = (
    "the sea keeps its own calm time while small boats cross the wide bay and gulls turn slowly over the "
    "old stone harbour where lamps are lit one after another along the quiet street"
)
_FILLER = _FILLER_TEXT.split()
_COMMON_TEXT = (
    "about after again also been before being below could does from have here hello into just like make more "
    "most much only other over please reply said same some such tell than that their them then there these "
    "they this those what when where which while will with word words would write your yours"
)
_COMMON = frozenset(_COMMON_TEXT.split())
_SAY = re.compile(
    r"^\s*(?:please\s+)?(?:say|repeat|reply with|answer with)[:\s]+[\"']?(.{1,200}?)[\"']?[.!]?\s*$",
    re.IGNORECASE | re.DOTALL,
)
_LENGTH = re.compile(r"(\d{1,5})[\s-]+words?\b", re.IGNORECASE)
_CHINESE = re.compile(r"[\u4e00-\u9fff]")
_STEERING = re.compile(r"#(?:delay|fail)=\S+|#once\b")


def reply(text: str, turn: int = 0, seen: Sequence[str] = ()) -> str:
    """Answer what a caller said last; ``turn`` asks for another wording, ``seen`` is what its pictures show."""
    text = _STEERING.sub("", text[:20_000]).strip()
    looks = [f"I look at your picture and see this: {look}" for look in seen]
    if found := _LENGTH.search(text):
        return _long(min(int(found[1]), WORDS_MAX), text)
    if _CHINESE.search(text):
        excerpt = text[:40] + ("……" if len(text) > 40 else "")
        said_so = f"你好！这里是沙盒，没有调用任何模型。你说的是：“{excerpt}”。"  # noqa: RUF001 - Chinese signs in Chinese
        return "\n".join([said_so, *looks])
    said = _SAY.match(text)
    word = said[1].strip() if said else ""
    if word and turn == 0 and not looks:
        return f"{word[0].upper()}{word[1:]}! The sandbox says it as you wished."
    opening = _OPENINGS[turn % len(_OPENINGS)]
    return " ".join([opening, *looks, _about(text)])


def _about(text: str) -> str:
    topics = list(dict.fromkeys(w for w in re.findall(r"[a-z]{4,}", text.lower()) if w not in _COMMON))[:4]
    if not topics:
        return "How can I help you today?"
    joined = " and ".join([", ".join(topics[:-1]), topics[-1]] if len(topics) > 1 else topics)
    return f"You wrote about {joined}. A real model would now answer this; here it costs only play money."


def _long(words: int, text: str) -> str:
    dice = Dice("long", text)
    chosen = ["Sandbox", *(dice.choice(_FILLER) for _ in range(words - 1))]
    return " ".join(chosen[:words])


def plausible(schema: object, text: str = "", name: str = "", root: object = None, depth: int = 0) -> Any:
    """Make up a value that a JSON Schema allows; what the schema leaves open is null."""
    root = schema if root is None else root
    if not isinstance(schema, Mapping) or depth > 8:
        return None
    if isinstance(schema.get("$ref"), str):
        return plausible(_referred(schema["$ref"], root), text, name, root, depth + 1)
    if "const" in schema:
        return schema["const"]
    if isinstance(schema.get("enum"), list) and schema["enum"]:
        return schema["enum"][0]
    for either in ("anyOf", "oneOf", "allOf"):
        if isinstance(schema.get(either), list) and schema[either]:
            return plausible(schema[either][0], text, name, root, depth + 1)
    kind = schema.get("type") or ("object" if "properties" in schema else None)
    kind = kind[0] if isinstance(kind, list) and kind else kind
    if kind == "object":
        fields = schema.get("properties")
        fields = fields if isinstance(fields, Mapping) else {}
        return {key: plausible(part, text, str(key), root, depth + 1) for key, part in fields.items()}
    if kind == "array":
        least = schema.get("minItems")
        many = max(1, min(least, 20)) if isinstance(least, int) else 1
        return [plausible(schema.get("items"), text, name, root, depth + 1) for _ in range(many)]
    return _simple(kind, schema, text, name)


def _simple(kind: object, schema: Mapping[str, Any], text: str, name: str) -> Any:
    if kind in {"integer", "number"}:
        least = schema.get("minimum", 1)
        return least if isinstance(least, int | float) else 1
    if kind == "boolean":
        return True
    if kind == "string":
        proper = re.findall(r"(?<=\s)[A-Z][\w-]{2,}", text)
        return str(proper[-1]) if proper else f"sandbox {name}".strip()
    return None


def _referred(reference: str, root: object) -> object:
    found = root
    for part in reference.lstrip("#/").split("/"):
        found = found.get(part) if isinstance(found, Mapping) else None
    return found
