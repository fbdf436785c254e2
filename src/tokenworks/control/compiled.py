"""The compiler, with a place for what it compiles.

numba keeps compiled functions beside their source. Where the package cannot be written (installed for many, mounted
read-only), they are kept in a folder of this user's own, one per state of the source: numba looks only at a function's
own file for changes, but functions of other files are compiled into it.
"""

from __future__ import annotations

import os
import stat
import tempfile
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import numba
from numba import njit

__all__ = ["njit"]

_config: Any = numba.config
PACKAGE = Path(__file__).parents[1]


def keep_where_possible() -> None:
    """Unless the user chose a place (NUMBA_CACHE_DIR)."""
    beside = PACKAGE / "control" / "__pycache__"
    if _config.CACHE_DIR or os.access(beside if beside.exists() else beside.parent, os.W_OK):
        return
    _config.CACHE_DIR = str(next(filter(own, places(PACKAGE)), None) or tempfile.mkdtemp(prefix="tokenworks-"))


def places(package: Path) -> Iterator[Path]:
    newest = max(path.stat().st_mtime_ns for path in package.rglob("*.py"))
    yield Path(os.environ.get("XDG_CACHE_HOME") or Path("~/.cache").expanduser(), "tokenworks", f"{newest:x}")
    yield Path(tempfile.gettempdir(), f"tokenworks-{os.getuid()}-{newest:x}")


def own(place: Path) -> bool:
    """Whether the folder exists, or can be made, and only this user may write it: compiled code is run as it is read."""
    try:
        place.mkdir(mode=0o700, parents=True, exist_ok=True)
        found = place.stat()
    except OSError:
        return False
    return (
        found.st_uid == os.getuid() and not found.st_mode & (stat.S_IWGRP | stat.S_IWOTH) and os.access(place, os.W_OK)
    )


keep_where_possible()
