"""What a connection of a caller may take of us."""

from __future__ import annotations

from dataclasses import dataclass


@dataclass(frozen=True, slots=True)
class EdgeLimits:
    """Times in seconds, sizes in bytes."""

    head_s: float = 10.0
    """From the first byte of a request to the end of its head."""
    keep_s: float = 75.0
    """How long a connection may be idle between two requests."""
    unread_s: float = 30.0
    """How long a caller may take to read ``read_bytes_min`` of an answer that it did not take whole."""
    farewell_s: float = 5.0
    """How long is listened to a caller who was refused in the middle of its body, so that it can read why."""
    head_bytes_max: int = 64 * 1024
    headers_max: int = 100
    unread_bytes_max: int = 256 * 1024
    """Of a body that nobody has asked for yet; then the caller has to wait."""
    read_bytes_min: int = 16 * 1024
    waiting_max: int = 64
    """Requests of one connection that wait for the one before them; what is sent beyond has to be sent again."""
    farewell_bytes_max: int = 64 * 1024 * 1024
