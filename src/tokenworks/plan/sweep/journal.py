"""Points that are done, one line each, so that a sweep that was cut short goes on where it was.

A line is written at once and whole; one that is half-written (a crash, a full disk) is ignored. The key of a line is a
hash of all that the point's figures follow from, so lines of another factory or version are never taken for one's own.
"""

from __future__ import annotations

import hashlib
import json
import os
from collections.abc import Iterator, Mapping
from importlib.metadata import version
from pathlib import Path
from types import TracebackType
from typing import Any

from tokenworks.catalog.loader import folders
from tokenworks.errors import OutputError
from tokenworks.plan.sweep.figures import Row
from tokenworks.spec.factory import Factory
from tokenworks.spec.loading import as_dict


class Journal:
    """A file of finished points, open for more. ``rows``: those that it held."""

    def __init__(self, path: Path):
        self.path = path
        self.rows: dict[str, Row] = {}

    def __enter__(self) -> Journal:
        try:
            self.path.parent.mkdir(parents=True, exist_ok=True)
            self._file = open(self.path, "a+b")
        except OSError as error:
            raise OutputError(f"cannot write {self.path}: {error.strerror}") from error
        self._file.seek(0)
        held = self._file.read()
        self.rows = dict(_lines(held))
        if held and not held.endswith(b"\n"):
            self._file.write(b"\n")  # ends the half-written line
        return self

    def __exit__(self, kind: type[BaseException] | None, error: BaseException | None, at: TracebackType | None) -> None:
        self._file.close()

    def add(self, key: str, row: Row) -> None:
        """Keep a point, on the disk before this returns. Raises OutputError."""
        line = json.dumps({"key": key, "row": row}, ensure_ascii=False, allow_nan=False)
        try:
            self._file.write(line.encode() + b"\n")
            self._file.flush()
            os.fsync(self._file.fileno())
        except OSError as error:
            raise OutputError(f"cannot write {self.path}: {error.strerror}; points before it are kept") from error
        self.rows[key] = row


def _lines(held: bytes) -> Iterator[tuple[str, Row]]:
    for line in held.split(b"\n"):
        try:
            found = json.loads(line)
            yield found["key"], dict(found["row"])
        except (ValueError, TypeError, KeyError):
            continue


def keys_of(factory: Factory, points: list[tuple[tuple[str, str], ...]]) -> list[str]:
    """A key per point."""
    base = hashlib.sha256(json.dumps(_basis(factory), sort_keys=True, ensure_ascii=False).encode())
    found = []
    for changes in points:
        one = base.copy()
        one.update(json.dumps(sorted(changes), ensure_ascii=False).encode())
        found.append(one.hexdigest()[:32])
    return found


def _basis(factory: Factory) -> dict[str, Any]:
    """All that figures follow from besides the changes: the file, files that it names, a user's catalogue, the version."""
    named = [load.trace for load in factory.workload] + [load.mix for load in factory.workload]
    named += [
        lengths.trace for load in factory.workload for lengths in (load.input_lengths, load.output_lengths) if lengths
    ]
    files = [Path(name) for name in (*named, factory.calibration) if name and Path(name).exists()]
    return {
        "factory": as_dict(factory),
        "files": {str(path): _digest(path) for path in files},
        "catalogue": [_digest(folder) for folder in folders()[1:]],
        "version": version("tokenworks"),
    }


def _digest(path: Path) -> Mapping[str, str]:
    """Hashes of a file, or of all files of a folder."""
    files = sorted(p for p in path.rglob("*") if p.is_file()) if path.is_dir() else [path]
    return {str(p.relative_to(path)): hashlib.sha256(p.read_bytes()).hexdigest() for p in files}
