"""Whether a file has changed."""

from __future__ import annotations

from pathlib import Path


def stamp(path: Path) -> tuple[int, int, int]:
    """Time of its last change in ns, inode, bytes; zeros where it cannot be seen."""
    try:
        found = path.stat()
    except OSError:
        return (0, 0, 0)
    return (found.st_mtime_ns, found.st_ino, found.st_size)
