"""`tokenworks ledger ingest|verify|query|export|close|seal`: the book of tokens."""

from __future__ import annotations

import argparse
import os
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from tokenworks.ledger import Ledger

DEFAULT = "ledger.db"
ENVIRONMENT = "TOKENWORKS_LEDGER"


def register(verbs: Any) -> None:
    parser = verbs.add_parser("ledger", help="store, verify, query, export, close and seal token events")
    tasks = parser.add_subparsers(dest="task", metavar="TASK", required=True)
    ingest = _task(tasks, "ingest", _ingest, "store events from JSON Lines; what is none is kept aside")
    ingest.add_argument("file", nargs="?", help="file of events, one JSON object a line; - reads the standard input")
    ingest.add_argument("--again", action="store_true", help="try once more what was kept aside")
    _task(tasks, "verify", _verify, "recompute the hash chain and name the first broken link")
    query = _task(tasks, "query", _query, "one SELECT (DuckDB) over usage, cost, outcome, usage_sums, cost_sums")
    query.add_argument("sql")
    export = _task(tasks, "export", _export, "write all events")
    export.add_argument("--to", choices=("parquet", "jsonl"), default="jsonl")
    export.add_argument("--out", required=True, help="file (jsonl) or folder (parquet)")
    close = _task(tasks, "close", _close, "close a billing period: its range and hash are fixed")
    close.add_argument("period", help="2026-03, 2026-03-15 or FROM/TO in ISO 8601 (UTC)")
    close.add_argument("--tenant", default="", help="of one tenant (default: of all)")
    seal = _task(tasks, "seal", _seal, "move events into Parquet segments; their keys stay")
    seal.add_argument("--keep", type=int, default=0, help="newest events to leave in the database (default: 0)")
    _task(tasks, "aside", _aside, "list the lines that were kept aside, with reasons")


def _task(tasks: Any, name: str, run: Any, text: str) -> argparse.ArgumentParser:
    parser: argparse.ArgumentParser = tasks.add_parser(name, help=text)
    parser.add_argument("--ledger", help=f"file or postgresql://… (default: ${ENVIRONMENT}, else {DEFAULT})")
    parser.add_argument("--segments", help="folder of sealed segments (default: beside the file)")
    parser.add_argument("--json", action="store_true")
    parser.set_defaults(run=run)
    return parser


def opened(args: argparse.Namespace, *, read_only: bool = False) -> Ledger:
    """The ledger that the arguments or the environment name."""
    from pathlib import Path

    from tokenworks.ledger import Ledger

    place = args.ledger or os.environ.get(ENVIRONMENT) or DEFAULT
    return Ledger.open(place, read_only=read_only, segments=Path(args.segments) if args.segments else None)


def _say(args: argparse.Namespace, found: dict[str, Any], text: str) -> None:
    import json

    print(json.dumps(found, ensure_ascii=False) if args.json else text)


def _ingest(args: argparse.Namespace) -> int:
    import sys

    import msgspec

    from tokenworks.errors import InputError
    from tokenworks.ledger.taking_in import take_in, take_in_again

    if bool(args.file) == args.again:
        raise InputError("ledger ingest needs a file, or - for the standard input, or --again")
    if args.again:
        with opened(args) as ledger:
            taken = take_in_again(ledger)
    elif args.file == "-":
        with opened(args) as ledger:
            taken = take_in(ledger, sys.stdin.buffer, "-")
    else:
        with open(args.file, "rb") as lines, opened(args) as ledger:
            taken = take_in(ledger, lines, args.file)
    found = msgspec.structs.asdict(taken)
    _say(args, found, ", ".join(f"{count} {name}" for name, count in found.items() if count) or "nothing to store")
    return 2 if taken.aside else 0


def _verify(args: argparse.Namespace) -> int:
    import msgspec

    with opened(args, read_only=True) as ledger:
        verdict = ledger.verify()
    fit = f"{verdict.batches} batches with {verdict.events} events"
    text = f"sound: {fit}" if verdict.sound else f"BROKEN after {fit}: {verdict.reason}"
    _say(args, msgspec.structs.asdict(verdict), text)
    return 0 if verdict.sound else 2


def _query(args: argparse.Namespace) -> int:
    with opened(args, read_only=True) as ledger:
        rows = ledger.query(args.sql).to_pylist()
    if args.json:
        import json

        print(json.dumps(rows, ensure_ascii=False, default=str))
        return 0
    for number, row in enumerate(rows):
        if number == 0:
            print("\t".join(row))
        print("\t".join("" if value is None else str(value) for value in row.values()))
    return 0


def _export(args: argparse.Namespace) -> int:
    from tokenworks.ledger.export import export

    with opened(args, read_only=True) as ledger:
        counts = export(ledger, args.to, args.out)
    _say(args, counts, ", ".join(f"{rows} rows of {name}" for name, rows in counts.items()) + f" → {args.out}")
    return 0


def _close(args: argparse.Namespace) -> int:
    import msgspec

    from tokenworks.ledger.periods import parse_period

    with opened(args) as ledger:
        period = ledger.close_period(*parse_period(args.period), args.tenant)
    _say(args, msgspec.structs.asdict(period), f"closed {period}: events up to {period.last_seq}, hash {period.link}")
    return 0


def _seal(args: argparse.Namespace) -> int:
    with opened(args) as ledger:
        moved = ledger.seal(args.keep)
    _say(args, {"sealed": moved}, f"{moved} events sealed")
    return 0


def _aside(args: argparse.Namespace) -> int:
    from tokenworks.ledger.quarantine import waiting

    with opened(args, read_only=True) as ledger:
        held = waiting(ledger)
    lines = [f"{line.origin}:{line.line}  {line.reason}" for line in held]
    found = [{"origin": line.origin, "line": line.line, "reason": line.reason} for line in held]
    _say(args, {"aside": found}, "\n".join([*lines, f"{len(held)} lines kept aside"]))
    return 0
