"""Checked budgets as a table of 80 columns, as CSV and as JSON."""

from __future__ import annotations

import csv
import io
from collections.abc import Sequence
from typing import Any

from tokenworks.pricing.budgets import LEAST_DAYS, Checked
from tokenworks.report.showback import usd

NAME = 17


def budget_text(found: Sequence[Checked]) -> str:
    lines = [f"{'budget':<{NAME}}{'spent':>14}{'limit':>14}{'used':>6}{'expected':>14}  state"]
    for one in found:
        name = one.budget.name if len(one.budget.name) < NAME else one.budget.name[: NAME - 2] + "…"
        used = f"{one.spent / one.budget.limit:.0%}" if one.budget.limit else "–"
        expected = _amount(one, one.forecast.expected_micro) if one.forecast else "–"
        amounts = f"{_amount(one, one.spent):>14}{_amount(one, one.budget.limit):>14}{used:>6}{expected:>14}"
        lines += [f"{name:<{NAME}}{amounts}  {one.state}", *(f"  {note}" for note in _notes(one))]
    return "\n".join(lines)


def _amount(one: Checked, number: int) -> str:
    if one.budget.in_tokens:
        return f"{number:,}" if abs(number) < 10**10 else f"{number / 1e6:,.0f} M"
    return "$" + usd(number)[:-2]


def _notes(one: Checked) -> list[str]:
    notes = []
    if one.forecast:
        low, high = _amount(one, one.forecast.low_micro), _amount(one, one.forecast.high_micro)
        notes.append(f"the month ends between {low} and {high} (80%)")
        if one.forecast.used_up and one.state == "expected over":
            notes.append(f"used up on {one.forecast.used_up} at this pace")
    if not one.matched:
        notes.append("no event so far is one of this budget: check its tenant, agent, cost centre and tags")
    elif one.too_short:
        notes.append(f"no forecast: fewer than {LEAST_DAYS} days of spending")
    for odd in one.anomalies:
        times = f"{odd.deviations:+.1f} deviations"
        notes.append(f"{odd.day}: {_amount(one, odd.spent_micro)}, usual {_amount(one, odd.usual_micro)} ({times})")
    if one.unknown:
        what = "the tokens" if one.budget.in_tokens else "the cost"
        notes.append(
            f"{what} of {one.unknown:,} events {'are' if one.budget.in_tokens else 'is'} not known and not in it"
        )
    return notes


def budget_json(found: Sequence[Checked]) -> list[dict[str, Any]]:
    """Whole micro-dollars, or tokens."""
    return [_plain(one) | {"anomalies": [_odd(a) for a in one.anomalies]} for one in found]


def _plain(one: Checked) -> dict[str, Any]:
    f = one.forecast
    return {
        "budget": one.budget.name,
        "unit": "tokens" if one.budget.in_tokens else "micro_usd",
        "limit": one.budget.limit,
        "spent": one.spent,
        "expected": f.expected_micro if f else None,
        "low": f.low_micro if f else None,
        "high": f.high_micro if f else None,
        "used_up": str(f.used_up) if f and f.used_up else None,
        "state": one.state,
        "events_without_cost": 0 if one.budget.in_tokens else one.unknown,
        "events_without_tokens": one.unknown if one.budget.in_tokens else 0,
        "matched": one.matched,
    }


def _odd(anomaly: Any) -> dict[str, Any]:
    return {
        "day": str(anomaly.day),
        "spent": anomaly.spent_micro,
        "usual": anomaly.usual_micro,
        "deviations": round(anomaly.deviations, 3),
    }


def budget_csv(found: Sequence[Checked]) -> str:
    out = io.StringIO()
    rows = [_plain(one) | {"anomalies": " ".join(str(a.day) for a in one.anomalies)} for one in found]
    writer = csv.DictWriter(out, list(rows[0]), lineterminator="\n")
    writer.writeheader()
    writer.writerows(rows)
    return out.getvalue()
