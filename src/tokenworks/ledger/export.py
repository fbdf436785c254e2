"""The whole ledger in files that others can read."""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING

from tokenworks.errors import OutputError
from tokenworks.ledger.columns import KINDS
from tokenworks.ledger.files import write_parquet
from tokenworks.ledger.reading import ALL_TIME, table
from tokenworks.ledger.taking_in import payloads

if TYPE_CHECKING:
    from tokenworks.ledger.ledger import Ledger


def export(ledger: Ledger, form: str, out: str) -> dict[str, int]:
    """``jsonl``: canonical JSON of all single events to a file, so that ingesting it gives the same ledger (bulk
    segments are columns, not events: they are refused). ``parquet``: one file per kind in a folder. Returns rows."""
    if form == "jsonl":
        return {"events": _lines(ledger, Path(out))}
    counts = {}
    for kind in KINDS:
        found = table(ledger, kind, *ALL_TIME, None, None)
        counts[kind] = write_parquet(Path(out), f"{kind}.parquet", kind, found).rows
    return counts


def _lines(ledger: Ledger, out: Path) -> int:
    if ledger.store.rows("SELECT count(*) FROM segments WHERE kind = 'bulk'") != [(0,)]:
        raise OutputError(
            f"ledger {ledger.store.place}: it has bulk segments, which JSON Lines cannot hold; use parquet"
        )
    draft, count = out.with_name(f".{out.name}.draft"), 0
    try:
        with draft.open("wb") as file:
            for payload in payloads(ledger):
                file.write(payload + b"\n")
                count += 1
        draft.replace(out)
    except OSError as error:
        draft.unlink(missing_ok=True)
        raise OutputError(f"export {out}: {error.strerror}") from error
    return count
