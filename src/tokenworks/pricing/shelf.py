"""A folder of issued invoices: each number once, for ever."""

from __future__ import annotations

import os
from pathlib import Path

from tokenworks.errors import InputError, OutputError
from tokenworks.pricing.invoice import Invoice, canonical, read_invoice


def put(folder: Path, invoice: Invoice) -> Path:
    """Store an issued invoice or credit note. The same bytes again are no error, others under its number are.

    Written whole or not at all, durable before the call returns. Raises InputError, OutputError.
    """
    if invoice.state == "draft":
        raise InputError("a draft is not stored; issue it first")
    path, data = folder / f"{invoice.number}.json", canonical(invoice)
    try:
        folder.mkdir(parents=True, exist_ok=True)
        _link(path, data)
    except FileExistsError:
        if path.read_bytes() != data:
            raise InputError(f"{path} exists with other content: an issued invoice never changes") from None
    except OSError as error:
        raise OutputError(f"cannot write {path}: {error.strerror}; nothing is half-written") from error
    return path


def _link(path: Path, data: bytes) -> None:
    """Write beside the place, then link: a link never replaces what is there."""
    part = path.with_name(f".{path.name}.{os.getpid()}.part")
    try:
        with part.open("wb") as out:
            out.write(data)
            out.flush()
            os.fsync(out.fileno())
        os.link(part, path)
        handle = os.open(path.parent, os.O_RDONLY)
        try:
            os.fsync(handle)
        finally:
            os.close(handle)
    finally:
        part.unlink(missing_ok=True)


def get(folder: Path, number: str) -> Invoice:
    path = folder / f"{number}.json"
    try:
        return read_invoice(path.read_bytes())
    except OSError:
        known = sorted(p.stem for p in folder.glob("*.json")) if folder.is_dir() else []
        raise InputError(f"no invoice {number!r} in {folder}; there are {', '.join(known) or 'none'}") from None


def every(folder: Path) -> tuple[Invoice, ...]:
    """All of them, by number."""
    return tuple(read_invoice(p.read_bytes()) for p in sorted(folder.glob("*.json")))
