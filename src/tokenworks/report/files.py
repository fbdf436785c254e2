"""Result files: JSON and Parquet, written whole or not at all."""

from __future__ import annotations

import dataclasses
import errno
import json
import math
import os
import tempfile
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import numpy as np

from tokenworks.errors import OutputError
from tokenworks.events.results import RunResult


def write_whole(path: Path, data: bytes) -> None:
    """Write a file whole or not at all. Raises OutputError."""
    write_together({path: data})


def write_together(files: Mapping[Path, bytes]) -> None:
    """Write files through temporary ones: on a full disk or Ctrl-C the old files stay, all of them. Raises OutputError."""
    staged: dict[Path, str] = {}  # the file that a path leads to, and the temporary one
    try:
        for path, data in files.items():
            with said_of(path):
                _stage(path, data, staged)
        for target, temporary in list(staged.items()):
            with said_of(target):
                os.replace(temporary, target)
            del staged[target]
    finally:
        for temporary in staged.values():
            os.unlink(temporary)


def _stage(path: Path, data: bytes, staged: dict[Path, str]) -> None:
    target = path.resolve()  # a link stays a link
    if target.is_dir():
        raise OutputError(f"cannot write {path}: it is a folder")
    if target.exists() and not target.is_file():
        target.write_bytes(data)  # /dev/null, a pipe: nothing to replace
        return
    target.parent.mkdir(parents=True, exist_ok=True)
    handle, staged[target] = tempfile.mkstemp(dir=target.parent, prefix=target.name[:32], suffix=".part")
    with os.fdopen(handle, "wb") as out:
        out.write(data)
    os.chmod(staged[target], 0o666 & ~_umask())


@contextmanager
def said_of(path: Path) -> Iterator[None]:
    """What the system refuses, as an OutputError that names the path that was asked for."""
    try:
        yield
    except OSError as error:
        full = error.errno in (errno.ENOSPC, errno.EDQUOT, errno.EFBIG)
        reason = "the disk is full" if full else error.strerror or str(error)
        raise OutputError(f"cannot write {path}: {reason}; nothing is half-written") from error


def refuse_unwritable(folder: Path) -> None:
    """Say before a long run that its files have no place to go. Raises OutputError."""
    with said_of(folder):
        place = next(p for p in (folder, *folder.absolute().parents) if p.exists())
        if not place.is_dir():
            raise OutputError(f"cannot write into {folder}: {place} is not a folder")
        if not os.access(place, os.W_OK | os.X_OK):
            raise OutputError(f"cannot write into {folder}: {place} is not writable")


def _umask() -> int:
    """The process's mask; the only way to read it is to set it."""
    mask = os.umask(0o022)
    os.umask(mask)
    return mask


def plain(value: Any) -> Any:
    """Dataclasses and arrays as JSON types; what is not a finite number becomes null."""
    if dataclasses.is_dataclass(value) and not isinstance(value, type):
        return {f.name: plain(getattr(value, f.name)) for f in dataclasses.fields(value)}
    if isinstance(value, np.ndarray | np.generic):
        return plain(value.tolist())
    if isinstance(value, dict):
        return {key: plain(v) for key, v in value.items()}
    if isinstance(value, list | tuple):
        return [plain(v) for v in value]
    if isinstance(value, float):
        return value if math.isfinite(value) else None
    return value


FORMAT = "tokenworks-result-1"  # raised when a field changes its meaning; new fields do not raise it


def to_json(result: RunResult) -> str:
    """The whole result; the order of the keys is that of the dataclasses, so equal results are equal bytes."""
    return json.dumps({"format": FORMAT, **plain(result)}, ensure_ascii=False, indent=1, allow_nan=False)
