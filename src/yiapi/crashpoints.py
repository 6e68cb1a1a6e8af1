"""Named points at which a test can let a process end as if it were killed.

``STATION_CRASH_FOLDER`` names a folder. A process that comes by a point whose name is a file there removes the file and
kills itself, so each file is one crash, whichever process comes first. Without the variable a point is nothing.
"""

from __future__ import annotations

import os
import signal
from pathlib import Path

_folder = os.environ.get("STATION_CRASH_FOLDER")


def crashpoint(name: str) -> None:
    """Come by a point."""
    if _folder is not None:
        _crash_if_armed(Path(_folder) / name)


def _crash_if_armed(armed: Path) -> None:
    try:
        armed.unlink()
    except FileNotFoundError:
        return
    os.kill(os.getpid(), signal.SIGKILL)
