"""`tokenworks taf`: how many tokens agents process per token that they show, and why."""

from __future__ import annotations

import argparse
from pathlib import Path
from typing import Any

from tokenworks.cli.arguments import at_least
from tokenworks.cli.ledger_place import opened, place_arguments


def register(verbs: Any) -> None:
    parser = verbs.add_parser("taf", help="token amplification of runs, agents, tenants and models")
    parser.add_argument(
        "export", nargs="?", type=Path, help="instead of a ledger its export: .parquet, .jsonl or .ndjson"
    )
    place_arguments(parser)
    parser.add_argument(
        "--costs", type=Path, help="export of other cost events (default: those of the ledger or the .jsonl export)"
    )
    parser.add_argument(
        "--by",
        action="append",
        choices=("call", "run", "agent", "tenant", "model", "period"),
        help="may be given again",
    )
    parser.add_argument("--period", choices=("hour", "day", "month"), default="day")
    parser.add_argument("--resamples", type=at_least(0), default=500, help="draws of the intervals (default: 500)")
    parser.add_argument("--seed", type=at_least(0), default=0)
    parser.add_argument("--limit", type=at_least(1), default=20, help="groups in the text (default: 20); JSON has all")
    parser.add_argument("--templates", action="store_true", help="of the shipped agent templates instead of a ledger")
    parser.add_argument("--json", action="store_true")
    parser.set_defaults(run=run)


def run(args: argparse.Namespace) -> int:
    import json

    if args.templates:
        return _templates(args)
    found = _figures(args)
    if args.json:
        print(json.dumps(found, ensure_ascii=False, indent=1))
    else:
        from tokenworks.report.taf import taf_text

        print(taf_text(found, args.limit))
    return 0


def _figures(args: argparse.Namespace) -> dict[str, Any]:
    """What is printed: the groups with their causes and, where costs are known, taf_cost."""
    from dataclasses import asdict

    from tokenworks.ledger.taf import taf
    from tokenworks.ledger.waterfall import waterfall

    by = tuple(args.by or ("run",))
    usage, costs = _tables(args)
    rows = [asdict(row) for row in taf(usage, by, period=args.period, resamples=args.resamples, seed=args.seed)]
    causes = [] if "call" in by else [asdict(row) for row in waterfall(usage, by, period=args.period)]
    return {"by": by, "taf": rows, "waterfall": causes, "taf_cost": _costs(args, usage, costs, by)}


def _tables(args: argparse.Namespace) -> tuple[Any, Any]:
    """Usage and other costs, of an export or of the ledger. Raises InputError where both are named."""
    from tokenworks.errors import InputError
    from tokenworks.ledger.exports import read_costs, read_usage

    if args.export is None:
        with opened(args, read_only=True) as ledger:
            usage, costs = ledger.usage_table(), ledger.cost_table()
        return usage, read_costs(args.costs) if args.costs else costs
    if args.ledger:
        raise InputError("name an export or a ledger (--ledger), not both")
    return read_usage(args.export), _costs_beside(args)


def _costs_beside(args: argparse.Namespace) -> Any:
    """Those of the named file, or of the export where it can hold them; else none."""
    from tokenworks.events.ledger_events import COST_COLUMNS
    from tokenworks.events.tables import schema
    from tokenworks.ledger.exports import read_costs

    if args.costs or args.export.suffix != ".parquet":
        return read_costs(args.costs or args.export)
    return schema(COST_COLUMNS).empty_table()


def _costs(args: argparse.Namespace, usage: Any, costs: Any, by: tuple[str, ...]) -> list[dict[str, Any]]:
    """Empty where no call has a cost, or where runs are divided: then there is nothing to divide."""
    from dataclasses import asdict

    from tokenworks.economics.amplification import OF_ONE_CALL, taf_cost

    if set(by) & set(OF_ONE_CALL) or usage.column("cost_micro_usd").null_count == usage.num_rows:
        return []
    found = taf_cost(usage, costs, by, period=args.period, resamples=args.resamples, seed=args.seed)
    return [asdict(row) for row in found]


def _templates(args: argparse.Namespace) -> int:
    """Mean figures of the shipped agents, and what the narrative says of its own."""
    import json

    from tokenworks.report.taf import templates_text
    from tokenworks.workload.agents.templates import remarks, templates

    found = templates()
    print(json.dumps(found, ensure_ascii=False, indent=1) if args.json else templates_text(found, remarks()))
    return 0
