"""`tokenworks showback`: what a month's usage cost, by cost centre, tag, tenant, agent, run or outcome."""

from __future__ import annotations

import argparse
from typing import TYPE_CHECKING, Any

from tokenworks.cli.arguments import at_least
from tokenworks.cli.ledger_tables import month_argument, source_arguments, tables_of

if TYPE_CHECKING:
    from tokenworks.pricing.spent import Row


def register(verbs: Any) -> None:
    parser = verbs.add_parser("showback", help="a month's usage, cost and carbon by cost centre, tag, run or outcome")
    parser.add_argument(
        "--by",
        choices=("cost-centre", "cost-center", "tag", "tenant", "agent", "run", "outcome"),
        default="cost-centre",
        help="default: cost-centre, a tag with a path such as engineering/search",
    )
    parser.add_argument("--tag", metavar="NAME", help="the tag that is meant (default for cost-centre: cost_centre)")
    source_arguments(parser)
    month_argument(parser)
    parser.add_argument("--zone", default="UTC", help="time zone of the month (default: UTC)")
    parser.add_argument("--commitments", metavar="FILE", help="what was paid ahead (YAML): the month's part is spread")
    parser.add_argument("--grid", metavar="REGION", help="carbon by the hour of this region (catalog tariffs)")
    parser.add_argument("--pue", type=float, help="with --grid: joules at the meter over joules of the events")
    parser.add_argument("--utc-offset", type=float, metavar="HOURS", help="with --grid: of the region's clock")
    parser.add_argument("--limit", type=at_least(1), default=30, help="rows in the text (default: 30)")
    shape = parser.add_mutually_exclusive_group()
    shape.add_argument("--json", action="store_true")
    shape.add_argument("--csv", action="store_true")
    parser.set_defaults(run=run)


def run(args: argparse.Namespace) -> int:
    import json

    from tokenworks.economics.showback import showback
    from tokenworks.pricing.paid_ahead import Commitments, spread
    from tokenworks.pricing.periods import month
    from tokenworks.pricing.reading import read
    from tokenworks.pricing.spent import Question, outcomes, spent
    from tokenworks.report.showback import showback_csv, showback_json, showback_text

    question = Question(_by(args), _tag(args), _offset(args))
    file = read(args.commitments, Commitments) if args.commitments else None
    period = month(args.month, args.zone)
    tables = tables_of(args)
    rows = [(row.path, row.spent) for row in _emitted(args, spent(tables, period, question))]
    places = showback(spread(file, period, rows) if file else rows)
    reached = outcomes(tables, period) if question.by == "outcome" else {}
    if args.json:
        print(json.dumps(showback_json(places, reached), ensure_ascii=False, indent=1))
    elif args.csv:
        print(showback_csv(places, reached), end="")
    else:
        print(showback_text(places, question.by, args.limit, reached, args.grid is not None))
    return 0


def _by(args: argparse.Namespace) -> Any:
    return args.by.replace("center", "centre")


def _tag(args: argparse.Namespace) -> str:
    from tokenworks.errors import InputError

    by = _by(args)
    if by == "tag" and not args.tag:
        raise InputError("--by tag needs --tag NAME")
    if args.tag and by not in ("tag", "cost-centre"):
        raise InputError(f"--tag says nothing where the question is --by {by}")
    return args.tag or "cost_centre"


def _offset(args: argparse.Namespace) -> float | None:
    """Hours of the day are told apart only where the grid is named. Raises InputError for half a question."""
    from tokenworks.errors import InputError

    if args.grid is None:
        if args.pue is not None or args.utc_offset is not None:
            raise InputError("--pue and --utc-offset are of carbon: name the region too (--grid)")
        return None
    if args.pue is None or args.utc_offset is None:
        raise InputError(f"--grid {args.grid} needs --pue, for example 1.25, and --utc-offset, for example -6")
    if not 1 <= args.pue < 10:
        raise InputError(f"--pue {args.pue}: from the events to the meter nothing is gained; write 1 to 10")
    if not -12 <= args.utc_offset <= 14:
        raise InputError(f"--utc-offset {args.utc_offset}: clocks are -12 to 14 hours ahead of UTC")
    return float(args.utc_offset)


def _emitted(args: argparse.Namespace, rows: list[Row]) -> list[Row]:
    if args.grid is None:
        return rows
    from tokenworks import catalog
    from tokenworks.pricing.spent import with_carbon

    return with_carbon(rows, catalog.load("tariffs", args.grid)["carbon_g_kwh"], args.pue)
