"""`tokenworks ledger ingest|serve|verify|query|export|close|seal`: the book of tokens."""

from __future__ import annotations

import argparse
from typing import Any

from tokenworks.cli.ledger_intake import aside, ingest_arguments, serve_arguments
from tokenworks.cli.ledger_place import opened, place_arguments


def register(verbs: Any) -> None:
    parser = verbs.add_parser("ledger", help="store, verify, query, export, close and seal token events")
    tasks = parser.add_subparsers(dest="task", metavar="TASK", required=True)
    ingest_arguments(_task(tasks, "ingest", "store events from lines of any format; what is none is kept aside"))
    serve_arguments(_task(tasks, "serve", "take events over HTTP: /v1/events, /v1/traces", with_json=False))
    verify = _task(tasks, "verify", "recompute the hash chain and name the first broken link")
    verify.set_defaults(run=_verify)
    query = _task(tasks, "query", "one SELECT (DuckDB) over usage, cost, outcome, usage_sums, cost_sums")
    query.add_argument("sql")
    query.set_defaults(run=_query)
    export = _task(tasks, "export", "write all events")
    export.add_argument("--to", choices=("parquet", "jsonl"), default="jsonl")
    export.add_argument("--out", required=True, help="file (jsonl) or folder (parquet)")
    export.set_defaults(run=_export)
    close = _task(tasks, "close", "close a billing period: its range and hash are fixed")
    close.add_argument("period", help="2026-03, 2026-03-15 or FROM/TO in ISO 8601 (UTC)")
    close.add_argument("--tenant", default="", help="of one tenant (default: of all)")
    close.set_defaults(run=_close)
    seal = _task(tasks, "seal", "move events into Parquet segments; their keys stay")
    seal.add_argument("--keep", type=int, default=0, help="newest events to leave in the database (default: 0)")
    seal.set_defaults(run=_seal)
    _task(tasks, "aside", "list the lines that were kept aside, with reasons").set_defaults(run=aside)


def _task(tasks: Any, name: str, text: str, *, with_json: bool = True) -> argparse.ArgumentParser:
    parser: argparse.ArgumentParser = tasks.add_parser(name, help=text)
    place_arguments(parser)
    if with_json:
        parser.add_argument("--json", action="store_true")
    return parser


def _say(args: argparse.Namespace, found: dict[str, Any], text: str) -> None:
    import json

    print(json.dumps(found, ensure_ascii=False) if args.json else text)


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
