"""Compared plans and their risk as text and JSON."""

from __future__ import annotations

from typing import Any

from tokenworks.pricing.paper import money
from tokenworks.pricing.risk import Risk
from tokenworks.pricing.simulate import Outcome

SHOWN = 10


def outcome_text(found: Outcome, risk: Risk | str) -> str:
    share = "no revenue" if found.margin_share is None else f"{found.margin_share:.1%} of revenue"
    lines = [
        f"{found.plan}: revenue ${money(found.revenue)}, cost ${money(found.cost)}, margin ${money(found.margin)} ({share})"
    ]
    if found.unknown_costs:
        lines.append(f"  the cost of {found.unknown_costs:,} events is not known and not in it")
    if found.break_even is not None:
        lines.append(f"  breaks even at {found.break_even} times this usage")
    lines.append(f"  {'tenant':<20}{'revenue':>14}{'cost':>14}{'margin':>14}{'change':>14}")
    worst = sorted(found.results, key=lambda r: (r.margin, r.tenant))
    for r in worst[:SHOWN]:
        lines.append(f"  {r.tenant:<20}{money(r.revenue):>14}{r.cost:>14,.2f}{r.margin:>14,.2f}{money(r.change):>14}")
    if len(worst) > SHOWN:
        lines.append(f"  … and {len(worst) - SHOWN} tenants with a higher margin")
    lines.append("  risk: " + risk if isinstance(risk, str) else risk_text(risk))
    return "\n".join(lines)


def risk_text(risk: Risk) -> str:
    low, middle, high = risk.margin_usd
    return (
        f"  risk over {risk.draws:,} drawn months: loss in {risk.loss_probability:.1%}, margin ${middle:,.2f} "
        f"(5% to 95%: ${low:,.2f} to ${high:,.2f}), {risk.losing_tenants:.1%} of tenants at a loss"
    )


def outcome_json(found: Outcome, risk: Risk | str) -> dict[str, Any]:
    """Money as text, so that no digit is lost."""
    return {
        "plan": found.plan,
        "revenue_usd": str(found.revenue),
        "cost_usd": str(found.cost),
        "margin_usd": str(found.margin),
        "margin_share": None if found.margin_share is None else str(found.margin_share),
        "break_even": None if found.break_even is None else str(found.break_even),
        "unknown_costs": found.unknown_costs,
        "tenants": [
            {
                "tenant": r.tenant,
                "revenue_usd": str(r.revenue),
                "fixed_usd": str(r.fixed),
                "cost_usd": str(r.cost),
                "margin_usd": str(r.margin),
                "change_usd": str(r.change),
            }
            for r in found.results
        ],
        "risk": risk if isinstance(risk, str) else risk_json(risk),
    }


def risk_json(risk: Risk) -> dict[str, Any]:
    return {
        "draws": risk.draws,
        "loss_probability": risk.loss_probability,
        "margin_usd_p5_p50_p95": list(risk.margin_usd),
        "margin_share_p5_p50_p95": [s if s > float("-inf") else None for s in risk.margin_share],
        "losing_tenants": risk.losing_tenants,
    }
