"""The traffic that `rehearse` reads: a ledger or its export, what bench wrote, a trace."""

from __future__ import annotations

import argparse
from pathlib import Path
from typing import TYPE_CHECKING, Any

from tokenworks.errors import InputError

if TYPE_CHECKING:
    from tokenworks.rehearsal.live.recorded import Live
    from tokenworks.spec.factory import Factory


def live_of(args: argparse.Namespace, factory: Factory) -> Live:
    """Raises InputError, TraceError."""
    from tokenworks.rehearsal.live.from_trace import from_trace
    from tokenworks.rehearsal.live.from_usage import from_usage

    usage = _usage(args)
    if usage is not None:
        if args.service:
            raise InputError("--service belongs to a trace: a ledger's events name theirs")
        return from_usage(usage, factory, args.traffic)
    given = [name for name in ("begin", "end", "segments", "tenant") if getattr(args, name)]
    if given:
        raise InputError(f"{args.traffic} is a trace: --from, --to, --segments and --tenant belong to a ledger")
    return from_trace(args.traffic, factory, args.service)


def _usage(args: argparse.Namespace) -> Any:
    """The usage table of a ledger or its export; None for a trace. Raises InputError."""
    from tokenworks.ledger import Ledger
    from tokenworks.ledger.exports import read_usage

    path = Path(args.traffic)
    if args.traffic.startswith(("postgresql://", "postgres://")) or _is_database(path):
        segments = Path(args.segments) if args.segments else None
        with Ledger.open(args.traffic, read_only=True, segments=segments) as ledger:
            return ledger.usage_table(*_range(args), tenant=args.tenant)
    return _cut(read_usage(path), args) if _is_export(path) else None


def _is_database(path: Path) -> bool:
    if not path.is_file():
        return False
    with path.open("rb") as file:
        return file.read(15) == b"SQLite format 3"


def _is_export(path: Path) -> bool:
    """A table with the ledger's columns, or lines of its events."""
    if not path.is_file():
        return False
    if path.suffix == ".parquet":
        import pyarrow
        import pyarrow.parquet as parquet

        try:
            return "usage_status" in parquet.read_schema(path).names
        except pyarrow.ArrowInvalid:
            return False
    if path.suffix not in (".jsonl", ".ndjson"):
        return False
    with path.open("rb") as lines:
        return b'"time_us"' in lines.readline()


def _range(args: argparse.Namespace) -> tuple[int, int]:
    from tokenworks.cli.values import moment_us_of

    begin = moment_us_of(args.begin) if args.begin else 0
    end = moment_us_of(args.end) if args.end else 2**63 - 1
    if begin >= end:
        raise InputError(f"--from {args.begin} is not before --to {args.end}")
    return begin, end


def _cut(usage: Any, args: argparse.Namespace) -> Any:
    import pyarrow.compute as pc

    begin, end = _range(args)
    kept = pc.and_(pc.greater_equal(usage["time_us"], begin), pc.less(usage["time_us"], end))
    usage = usage.filter(kept)
    return usage.filter(pc.equal(usage["tenant"], args.tenant)) if args.tenant else usage
