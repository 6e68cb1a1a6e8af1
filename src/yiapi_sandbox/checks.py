"""Strict reading of what callers send: every method returns a good value or raises Invalid."""

import math
import warnings
from collections.abc import Collection, Mapping
from io import BytesIO
from typing import Any

import msgspec
from PIL import Image

from yiapi_sandbox.contract import Form, Invalid, Problem

PIXELS_MAX = 40_000_000


class Fields:
    """The fields of a JSON object, or of a form (``is_form``), where numbers are written as text."""

    def __init__(self, values: Mapping[str, Any], *, is_form: bool = False, within: str = "") -> None:
        self.values = values
        self._is_form = is_form
        self.within = within

    @classmethod
    def of_form(cls, form: Form) -> "Fields":
        """Read the fields of a form; the last of a repeated one counts."""
        return cls({name: form.text(name) for name in {*form.fields, *form.files}}, is_form=True)

    def has(self, name: str) -> bool:
        """Whether the field was sent and is not null."""
        return self.values.get(name) is not None

    def wrong(self, name: str, problem: Problem, message: str) -> Invalid:
        """Return the fault to raise for a field."""
        return Invalid(f"{self.within}{name}", problem, message)

    def _get(self, name: str, required: bool) -> Any:
        value = self.values.get(name)
        if value is None and required:
            raise self.wrong(name, "missing", f"{name} is required")
        return value

    def text(
        self,
        name: str,
        *,
        required: bool = False,
        longest: int | None = None,
        choices: Collection[str] | None = None,
    ) -> str | None:
        """Read a text, not blank when it is required."""
        value = self._get(name, required)
        if value is None:
            return None
        if not isinstance(value, str):
            raise self.wrong(name, "type", f"{name} must be a string")
        if required and not value.strip():
            raise self.wrong(name, "missing", f"{name} must not be empty")
        if longest is not None and len(value) > longest:
            raise self.wrong(name, "range", f"{name} must have at most {longest} characters")
        if choices is not None and value not in choices:
            raise self.wrong(name, "value", f"{name} value {_brief(value)} is invalid")
        return value

    def needed(self, name: str, *, longest: int | None = None, choices: Collection[str] | None = None) -> str:
        """Read a text that must be there."""
        return self.text(name, required=True, longest=longest, choices=choices) or ""

    def choice(self, name: str, choices: Collection[str], default: str) -> str:
        """Read one word out of a list."""
        return self.text(name, choices=choices) or self._not_blank(name, default)

    def _not_blank(self, name: str, default: str) -> str:
        if self.values.get(name) == "":
            raise self.wrong(name, "value", f"{name} must not be empty")
        return default

    def whole(self, name: str, low: int, high: int) -> int | None:
        """Read a whole number from low to high."""
        value = self._get(name, required=False)
        if value is None:
            return None
        if self._is_form and isinstance(value, str):
            value = _whole(value.strip())
        if isinstance(value, bool) or not isinstance(value, int):
            raise self.wrong(name, "type", f"{name} must be an integer")
        if not low <= value <= high:
            raise self.wrong(name, "range", f"{name} must be from {low} to {high}")
        return value

    def number(self, name: str, low: float, high: float) -> float | None:
        """Read a number from low to high."""
        value = self._get(name, required=False)
        if value is None:
            return None
        if isinstance(value, bool) or not isinstance(value, int | float) or not math.isfinite(value):
            raise self.wrong(name, "type", f"{name} must be a number")
        if not low <= value <= high:
            raise self.wrong(name, "range", f"{name} must be from {low} to {high}")
        return float(value)

    def flag(self, name: str) -> bool | None:
        """Read true or false."""
        value = self._get(name, required=False)
        if self._is_form and isinstance(value, str):
            value = {"true": True, "false": False}.get(value.lower(), value)
        if value is not None and not isinstance(value, bool):
            raise self.wrong(name, "type", f"{name} must be a boolean")
        return value

    def object(self, name: str) -> "Fields | None":
        """Read an object within this one."""
        value = self._get(name, required=False)
        if value is None:
            return None
        if not isinstance(value, dict):
            raise self.wrong(name, "type", f"{name} must be an object")
        return Fields(value, within=f"{self.within}{name}.")

    def list(self, name: str, longest: int | None = None) -> list[Any] | None:
        """Read a list."""
        value = self._get(name, required=False)
        if value is None:
            return None
        if not isinstance(value, list):
            raise self.wrong(name, "type", f"{name} must be an array")
        if longest is not None and len(value) > longest:
            raise self.wrong(name, "range", f"{name} must have at most {longest} items")
        return value


def _whole(text: str) -> Any:
    digits = text.removeprefix("-")
    return int(text) if digits.isascii() and digits.isdigit() and len(digits) < 19 else text


def _brief(value: str) -> str:
    return value if len(value) <= 60 else f"{value[:57]}..."


def parsed(text: bytes | str, field: str | None = None) -> dict[str, Any]:
    """Read a JSON object. Raises Invalid for anything else."""
    try:
        value = msgspec.json.decode(text)
    except (msgspec.DecodeError, ValueError, RecursionError):
        raise Invalid(field, "body", "could not parse the JSON body") from None
    if not isinstance(value, dict):
        raise Invalid(field, "body", "the JSON body must be an object")
    return value


def picture(
    content: bytes, field: str, *, forms: Collection[str] = ("PNG", "JPEG", "WEBP"), bytes_max: int = 10 * 2**20
) -> tuple[int, int]:
    """Make sure that this is a whole picture of one of the forms, and return its size."""
    if len(content) > bytes_max:
        raise Invalid(field, "size", f"{field} must be at most {bytes_max // 2**20} MB")
    size = _whole_picture(content, forms)
    if size is None:
        raise Invalid(field, "file", f"{field} is not a valid image file ({', '.join(forms)})")
    return size


def _whole_picture(content: bytes, forms: Collection[str]) -> tuple[int, int] | None:
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")
        try:
            image = Image.open(BytesIO(content), formats=list(forms))
            if image.width * image.height > PIXELS_MAX:
                return None
            image.load()
        # What a broken picture raises is written down nowhere: OSError, SyntaxError, ValueError, struct.error, ...
        except Exception:  # noqa: BLE001
            return None
    return image.size
