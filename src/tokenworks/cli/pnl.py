"""`tokenworks pnl`: the factory as a business, month by month, from its issued invoices and its own costs."""

from __future__ import annotations

import argparse
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from tokenworks.pricing.pnl import ProfitAndLoss


def register(verbs: Any) -> None:
    parser = verbs.add_parser("pnl", help="profit and loss by month: revenue, costs, margin, cash, payback, NPV, IRR")
    parser.add_argument("books", metavar="BOOKS", help="months, assets, running costs, discount rate (YAML or TOML)")
    parser.add_argument("--folder", default="invoices", metavar="FOLDER", help="issued invoices and credit notes")
    parser.add_argument("--json", action="store_true")
    parser.set_defaults(run=run)


def run(args: argparse.Namespace) -> int:
    import json
    from pathlib import Path

    from tokenworks.errors import InputError
    from tokenworks.pricing.pnl import Books, profit_and_loss
    from tokenworks.pricing.reading import read
    from tokenworks.pricing.shelf import every

    folder = Path(args.folder)
    if not folder.is_dir():
        raise InputError(f"no such folder of invoices: {folder}")
    found = profit_and_loss(read(args.books, Books), every(folder))
    print(json.dumps(as_json(found), ensure_ascii=False, indent=1) if args.json else text(found))
    return 0


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
