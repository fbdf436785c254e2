"""`tokenworks price list|simulate|find`: plans, one ledger under several of them, the plan that reaches a margin."""

from __future__ import annotations

import argparse
from typing import TYPE_CHECKING, Any

from tokenworks.cli.arguments import at_least
from tokenworks.cli.ledger_tables import table_arguments, tables_of

if TYPE_CHECKING:
    from tokenworks.pricing.measure import Tables
    from tokenworks.pricing.risk import Population, Risk


def register(verbs: Any) -> None:
    parser = verbs.add_parser("price", help="price plans: check, compare on real usage, find the one that pays")
    kinds = parser.add_subparsers(dest="what", metavar="WHAT", required=True)
    listed = kinds.add_parser("list", help="check plan files and show their prices")
    listed.add_argument("plans", nargs="+", metavar="PLAN")
    listed.set_defaults(run=run_list)
    compared = kinds.add_parser("simulate", help="lay one ledger under several plans")
    compared.add_argument("plans", nargs="+", metavar="PLAN", help="the first is the one that others are compared with")
    _common(compared)
    compared.set_defaults(run=run_simulate)
    found = kinds.add_parser("find", help="the value of one parameter that reaches a margin at a risk")
    found.add_argument("plan", metavar="PLAN")
    found.add_argument("--price", required=True, metavar="ID", help="which price of the plan")
    found.add_argument("--of", choices=("price", "included"), default="price", help="which parameter (default: price)")
    found.add_argument("--margin", required=True, metavar="SHARE", help='margin of revenue, for example "30%%"')
    found.add_argument("--risk", default="5%", metavar="SHARE", help='of missing it (default: "5%%")')
    found.add_argument("--step", default="0.01", help="the value is a multiple of this (default: 0.01)")
    _common(found)
    found.set_defaults(run=run_find)


def _common(parser: argparse.ArgumentParser) -> None:
    table_arguments(parser)
    parser.add_argument("--seats-by-agent", action="store_true", help="a seat for each agent that worked in the month")
    parser.add_argument("--draws", type=at_least(2), default=1000, help="months drawn from the runs (default: 1000)")
    parser.add_argument("--seed", type=int, default=1)
    parser.add_argument("--json", action="store_true")


def run_list(args: argparse.Namespace) -> int:
    from tokenworks.pricing.plan import Plan
    from tokenworks.pricing.plan_text import plan_text
    from tokenworks.pricing.reading import read

    print("\n\n".join(plan_text(read(path, Plan)) for path in args.plans))
    return 0


def run_simulate(args: argparse.Namespace) -> int:
    import json

    from tokenworks.errors import UnsupportedError
    from tokenworks.pricing.plan import Plan
    from tokenworks.pricing.reading import read
    from tokenworks.pricing.risk import risk
    from tokenworks.pricing.simulate import simulate
    from tokenworks.pricing.simulate_text import outcome_json, outcome_text

    plans = [read(path, Plan) for path in args.plans]
    tables = tables_of(args)
    accounts, rates = _accounts(args, tables)
    outcomes = simulate(plans, accounts, tables, args.month, rates)
    drawn = None if tables.usage is None else _population(args, tables)
    risks: list[Risk | str] = []
    for plan in plans:
        try:
            risks.append("no usage table" if drawn is None else risk(plan, drawn))
        except UnsupportedError as error:
            risks.append(str(error))
    if args.json:
        print(
            json.dumps([outcome_json(o, r) for o, r in zip(outcomes, risks, strict=True)], ensure_ascii=False, indent=1)
        )
    else:
        print("\n\n".join(outcome_text(o, r) for o, r in zip(outcomes, risks, strict=True)))
    return 0


def run_find(args: argparse.Namespace) -> int:
    import json

    from tokenworks.pricing.find import find
    from tokenworks.pricing.plan import Plan, amount, percent
    from tokenworks.pricing.reading import read
    from tokenworks.pricing.simulate_text import risk_json, risk_text

    try:
        margin, miss, step = percent(args.margin), percent(args.risk), amount(args.step)
    except ValueError as error:
        from tokenworks.errors import InputError

        raise InputError(str(error)) from None
    drawn = _population(args, tables_of(args))
    found = find(read(args.plan, Plan), args.price, args.of, float(margin), float(miss), drawn, step)
    if args.json:
        print(json.dumps({"value": str(found.value), "miss": found.miss, **risk_json(found.risk)}, indent=1))
    else:
        print(
            f"{args.price} {args.of}: {found.value}   misses the margin of {args.margin} in {found.miss:.1%} of the draws"
        )
        print(risk_text(found.risk))
    return 0


def _accounts(args: argparse.Namespace, tables: Tables) -> tuple[Any, Any]:
    from tokenworks.pricing.account import Accounts
    from tokenworks.pricing.periods import month
    from tokenworks.pricing.reading import read
    from tokenworks.pricing.simulate import seats_of_agents

    file = read(args.accounts, Accounts)
    accounts = list(file.accounts)
    if args.seats_by_agent:
        accounts = seats_of_agents(accounts, tables, month(args.month))
    return accounts, file.rates


def _population(args: argparse.Namespace, tables: Tables) -> Population:
    from tokenworks.pricing.periods import month
    from tokenworks.pricing.risk import population

    accounts, _ = _accounts(args, tables)
    return population(accounts, tables, month(args.month), args.draws, args.seed)
