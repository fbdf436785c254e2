"""`tokenworks pnl`: the factory as a business, month by month, from its issued invoices and its own costs."""

from __future__ import annotations

import argparse
from typing import TYPE_CHECKING, Any

from tokenworks.cli.ledger_place import opened

if TYPE_CHECKING:
    from decimal import Decimal

    from tokenworks.pricing.factory_books import FactoryCosts
    from tokenworks.pricing.invoice import Invoice
    from tokenworks.pricing.pnl import ProfitAndLoss


def register(verbs: Any) -> None:
    parser = verbs.add_parser("pnl", help="profit and loss by month: revenue, costs, margin, cash, payback, NPV, IRR")
    parser.add_argument("books", metavar="BOOKS", help="months, assets, running costs, discount rate (YAML or TOML)")
    parser.add_argument("--folder", default="invoices", metavar="FOLDER", help="issued invoices and credit notes")
    source = parser.add_mutually_exclusive_group()
    source.add_argument(
        "--run",
        dest="runs",
        metavar="RESULT.json",
        action="append",
        help="costs of a run: metered joules at the tariff, rent, depreciation … (may be given again)",
    )
    source.add_argument("--factory", metavar="FACTORY", help="capital path of whole months from a factory file")
    parser.add_argument(
        "--ledger", metavar="PLACE", help="costs of tools from its events, and how invoices and runs tie to it"
    )
    parser.add_argument("--segments", metavar="FOLDER", help="of that ledger's segments (default: beside the file)")
    parser.add_argument("--json", action="store_true")
    parser.set_defaults(run=run)


def run(args: argparse.Namespace) -> int:
    import json
    from pathlib import Path

    from tokenworks.errors import InputError
    from tokenworks.pricing.pnl import Books, months, profit_and_loss
    from tokenworks.pricing.reading import read
    from tokenworks.pricing.shelf import every

    folder = Path(args.folder)
    if not folder.is_dir():
        raise InputError(f"no such folder of invoices: {folder}")
    books, invoices = read(args.books, Books), every(folder)
    labels = months(books.first_month, books.last_month)
    costs = _factory_costs(args, labels)
    tools, tie, unknown = _of_ledger(args, labels, invoices, costs)
    found = profit_and_loss(books, invoices, costs, tools)
    if args.json:
        print(json.dumps(as_json(found) | unknown | ({"tie": tie} if tie else {}), ensure_ascii=False, indent=1))
    else:
        print(text(found))
        if tie:
            print(tie_text(tie))
        for name, events in unknown.items():
            if events:
                print(f"the cost of {events:,} {name.split('_')[0]} of the ledger is not known and not in it")
    return 0


def _factory_costs(args: argparse.Namespace, labels: list[str]) -> FactoryCosts:
    from pathlib import Path

    from tokenworks.pricing.factory_books import NO_FACTORY, of_factory, of_runs, read_run

    if args.runs:
        from tokenworks.rehearsal.metering import BEGIN_US

        return of_runs([read_run(Path(path)) for path in args.runs], BEGIN_US, labels)
    if args.factory:
        from tokenworks.api import load

        return of_factory(load(args.factory), labels)
    return NO_FACTORY


def _of_ledger(
    args: argparse.Namespace, labels: list[str], invoices: tuple[Invoice, ...], costs: FactoryCosts
) -> tuple[dict[str, Decimal] | None, dict[str, Any] | None, dict[str, int]]:
    """Costs of tools by month, how the runs tie to the ledger, and how many events lack a cost; invoices must be of it. None
    where none is named."""
    from fractions import Fraction

    from tokenworks.economics.showback import Spent
    from tokenworks.errors import InputError
    from tokenworks.pricing.factory_books import tied
    from tokenworks.pricing.measure import Tables
    from tokenworks.pricing.money import rounded
    from tokenworks.pricing.periods import month
    from tokenworks.pricing.pinned import require_pinned, tables_of_range
    from tokenworks.pricing.spent import Question, spent

    if args.ledger is None:
        if args.segments is not None:
            raise InputError("--segments is the folder of a ledger: name the ledger too (--ledger)")
        return None, None, {}
    with opened(args, read_only=True) as ledger:
        for invoice in invoices:
            if invoice.state == "issued":
                require_pinned(ledger, invoice)
        tables = tables_of_range(ledger)
    tools, usage = {}, Spent()
    unknown = {"tools_without_cost": 0}
    for label in labels:
        of_tools, of_calls = (
            sum((row.spent for row in spent(part, month(label), Question("tenant"))), Spent())
            for part in (Tables(cost=tables.cost), Tables(usage=tables.usage))
        )
        tools[label] = rounded(Fraction(of_tools.other_micro, 1_000_000), "USD")
        unknown["tools_without_cost"] += of_tools.uncosted
        usage += of_calls
    if not args.runs:
        return tools, None, unknown
    return tools, tied(costs, usage.usage_micro), unknown | {"calls_without_cost": usage.uncosted}


def tie_text(tie: dict[str, Any]) -> str:
    from tokenworks.report.showback import usd

    return (
        f"the runs cost ${tie['factory_usd']}: ${usd(tie['ledger_micro_usd'])} in events of the ledger, "
        f"${tie['not_allocated_usd']} idle, lost or unused"
    )


def text(found: ProfitAndLoss) -> str:
    from tokenworks.pricing.paper import money

    lines = [f"{'month':<9}{'revenue':>16}{'costs':>16}{'margin':>16}{'cash':>16}{'sum of cash':>16}"]
    for m in found.months:
        row = (sum(m.revenue.values()), sum(m.costs.values()), m.margin, m.cash, m.cumulative)
        lines.append(f"{m.month:<9}" + "".join(f"{money(v) if v else '0.00':>16}" for v in row))
    irr = "none" if found.irr_year is None else f"{found.irr_year:.1%}"
    lines.append(
        f"NPV ${money(found.npv_usd)}, IRR {irr} a year, paid back {found.payback_month or 'not in these months'}"
    )
    return "\n".join(lines)


def as_json(found: ProfitAndLoss) -> dict[str, Any]:
    """Money as text, so that no digit is lost."""
    return {
        "months": [
            {
                "month": m.month,
                "revenue_usd": {k: str(v) for k, v in m.revenue.items()},
                "billed_usd": str(m.billed),
                "costs_usd": {k: str(v) for k, v in m.costs.items()},
                "margin_usd": str(m.margin),
                "invested_usd": str(m.invested),
                "cash_usd": str(m.cash),
                "cumulative_usd": str(m.cumulative),
            }
            for m in found.months
        ],
        "npv_usd": str(found.npv_usd),
        "irr_year": found.irr_year,
        "payback_month": found.payback_month,
    }
