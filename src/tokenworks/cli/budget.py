"""`tokenworks budget check`: budgets over the ledger; the exit code says whether one is passed."""

from __future__ import annotations

import argparse
from typing import Any

from tokenworks.cli.ledger_tables import source_arguments, tables_of
from tokenworks.cli.values import day_of


def register(verbs: Any) -> None:
    parser = verbs.add_parser("budget", help="check budgets: spent, expected at the end of the month, odd days")
    tasks = parser.add_subparsers(dest="task", metavar="TASK", required=True)
    checked = tasks.add_parser("check", help="exit code 1 where a budget is passed")
    checked.add_argument("budgets", metavar="BUDGETS", help="budgets (YAML or TOML)")
    source_arguments(checked)
    checked.add_argument("--month", metavar="YYYY-MM", help="default: the month of --today")
    checked.add_argument("--today", metavar="YYYY-MM-DD", help="the last day that is known (default: today)")
    checked.add_argument("--zone", default="UTC", help="time zone of days and months (default: UTC)")
    checked.add_argument("--expected", action="store_true", help="exit code 1 also where one is expected to be passed")
    shape = checked.add_mutually_exclusive_group()
    shape.add_argument("--json", action="store_true")
    shape.add_argument("--csv", action="store_true")
    checked.set_defaults(run=run)


def run(args: argparse.Namespace) -> int:
    """Exit code 1 where a budget is passed (with --expected also where its forecast passes it)."""
    import json

    from tokenworks.pricing.budgets import Budgets, check
    from tokenworks.pricing.reading import read
    from tokenworks.report.budget import budget_csv, budget_json, budget_text

    today = day_of(args.today) if args.today else _today(args.zone)
    file = read(args.budgets, Budgets)
    found = check(file, tables_of(args), args.month or f"{today:%Y-%m}", today, args.zone)
    if args.json:
        print(json.dumps(budget_json(found), ensure_ascii=False, indent=1))
    elif args.csv:
        print(budget_csv(found), end="")
    else:
        print(budget_text(found))
    alarming = {"over", "expected over"} if args.expected else {"over"}
    return 1 if any(one.state in alarming for one in found) else 0


def _today(zone: str) -> Any:
    from time import time_ns

    from tokenworks.pricing.periods import local_day

    return local_day(time_ns() // 1000, zone)
