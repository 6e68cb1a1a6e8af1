"""What the asset room speaks about: a file that was kept, its row, and where a result comes from."""

from __future__ import annotations

from dataclasses import dataclass, field
from typing import Literal

AssetType = Literal["image", "video", "audio", "text", "file"]  # file: a document or archive, never shown in a page


class KeepFailed(Exception):
    """A result cannot be kept, and trying again does not help. The code is one of a task's."""

    def __init__(self, code: Literal["result_unavailable", "result_blocked"], message: str) -> None:
        super().__init__(message)
        self.code = code
        self.message = message


@dataclass(frozen=True, slots=True)
class Source:
    """Where a result is: behind a vendor's link, or in the vendor's answer itself.

    Exactly one of the two is set. ``permitted`` names hosts that may be reached although they are private.
    """

    url: str | None = None
    content: bytes | str | None = field(default=None, repr=False)  # str: base64, or a data: URL
    permitted: frozenset[str] = frozenset()


@dataclass(frozen=True, slots=True)
class KeptFile:
    """A file that is safely in the store, while no row speaks of it yet."""

    id: str
    account_id: str
    mode: str
    type: AssetType
    content_type: str
    size_bytes: int
    sha256: str
    width: int | None = None
    height: int | None = None
    duration_s: float | None = None


@dataclass(frozen=True, slots=True)
class Asset:
    """A row of ``assets``. One with an ``original_url`` has no file here: its size is 0 and its hash empty."""

    id: str
    account_id: str
    mode: str
    request_id: str | None
    task_id: str | None
    type: AssetType
    content_type: str
    size_bytes: int
    sha256: str
    width: int | None
    height: int | None
    duration_s: float | None
    original_url: str | None
    created_at: int
    expires_at: int
    deleted_at: int | None
    is_gone: bool  # deleted or aged out, by the database's time at the moment of reading


@dataclass(frozen=True, slots=True)
class Retention:
    """How long files are kept, by the mode of the tenant."""

    live_s: int = 7 * 24 * 3600
    test_s: int = 24 * 3600
    original_s: int = 24 * 3600  # how long a vendor's own link is shown

    def seconds(self, mode: str) -> int:
        """Return the life of a new file. An unknown mode lives as short as a test."""
        return self.live_s if mode == "live" else self.test_s


@dataclass(frozen=True, slots=True)
class FileLimits:
    """What one result may cost us, where the operation does not say otherwise."""

    bytes_max: int = 512 * 1024 * 1024
    timeout_s: float = 300.0
