"""Result files: JSON and Parquet, written whole or not at all."""

from __future__ import annotations

import dataclasses
import json
import math
import os
import tempfile
from pathlib import Path
from typing import Any

import numpy as np

from tokenworks.events.results import RunResult


def write_whole(path: Path, data: bytes) -> None:
    """Write a file through a temporary one: on a full disk or Ctrl-C the old file stays."""
    path.parent.mkdir(parents=True, exist_ok=True)
    handle, temporary = tempfile.mkstemp(dir=path.parent, prefix=path.name, suffix=".part")
    try:
        with os.fdopen(handle, "wb") as out:
            out.write(data)
        os.chmod(temporary, 0o666 & ~_umask())
        os.replace(temporary, path)
    except BaseException:
        os.unlink(temporary)
        raise


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
