"""Parquet files that appear whole or not at all, and stay as they are."""

from __future__ import annotations

import os
from hashlib import sha256
from pathlib import Path
from typing import TYPE_CHECKING, Any

import msgspec

from tokenworks.errors import OutputError

if TYPE_CHECKING:
    import pyarrow as pa

ROWS_AT_ONCE = 1 << 18  # of a row group: what a query reads or skips


class SegmentFile(msgspec.Struct, frozen=True):
    """One file of a segment, by its name in the segments folder."""

    name: str
    holds: str  # journal | usage | cost | outcome
    rows: int
    sha256: str


def write_parquet(folder: Path, name: str, holds: str, table: pa.Table, **options: Any) -> SegmentFile:
    """Durable when it returns. OutputError where the folder takes no file; then nothing is left behind."""
    import pyarrow.parquet as pq

    target, draft = folder / name, folder / f".{name}.{os.getpid()}"
    settings = {"compression": "zstd", "compression_level": 1, "row_group_size": ROWS_AT_ONCE, "store_schema": False}
    try:
        folder.mkdir(parents=True, exist_ok=True)
        pq.write_table(table, draft, **{**settings, **options})
        digest = hash_and_sync(draft)
        draft.replace(target)
        _sync_folder(folder)
    except OSError as error:
        draft.unlink(missing_ok=True)
        raise OutputError(f"segment {target}: {error.strerror or error}") from error
    return SegmentFile(name, holds, table.num_rows, digest)


def hash_and_sync(path: Path) -> str:
    """SHA-256 of a file, in hex, once it is on the disk."""
    with path.open("rb") as file:
        os.fsync(file.fileno())
    return file_hash(path)


def file_hash(path: Path) -> str:
    digest = sha256()
    with path.open("rb") as file:
        while block := file.read(1 << 22):
            digest.update(block)
    return digest.hexdigest()


def _sync_folder(folder: Path) -> None:
    handle = os.open(folder, os.O_RDONLY | os.O_DIRECTORY)
    try:
        os.fsync(handle)
    finally:
        os.close(handle)
