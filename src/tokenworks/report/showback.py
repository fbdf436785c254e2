"""Shown-back usage and cost as a table of 80 columns, as CSV and as JSON."""

from __future__ import annotations

import csv
import io
from collections.abc import Mapping, Sequence
from fractions import Fraction
from typing import Any

from tokenworks.economics.showback import Place, Spent

NAME = 24
PARTS = ("usage", "other", "commitment")


def showback_text(places: Sequence[Place], by: str, limit: int, outcomes: Mapping[str, int], carbon: bool) -> str:
    """The dearest first among brothers, what is below a place right under it; ``limit`` cuts rows, never the sum."""
    whole = sum((p.total for p in places if len(p.path) == 1), Spent())
    heads = _heads(by, carbon)
    lines = [f"{by[:NAME]:<{NAME}}" + "".join(f"{head:>{width}}" for head, width in heads)]
    known = {place.path: place for place in places}
    ordered = sorted(places, key=lambda place: _order(place, known))
    for place in ordered[:limit]:
        name = "  " * (len(place.path) - 1) + place.path[-1]
        name = name if len(name) <= NAME else name[: NAME - 1] + "…"
        lines.append(f"{name:<{NAME}}" + _cells(place.total, whole, heads, outcomes.get(place.path[0], 0)))
    if len(ordered) > limit:
        lines.append(f"… and {len(ordered) - limit} more (--limit)")
    lines.append(f"{'total':<{NAME}}" + _cells(whole, whole, heads, sum(outcomes.values())))
    if not places:
        lines.append("no event in this month")
    return "\n".join([*lines, *_notes(whole)])


def _heads(by: str, carbon: bool) -> list[tuple[str, int]]:
    if by == "outcome":
        return [("outcomes", 10), ("calls", 10), ("tokens", 18), ("USD", 15)]
    if carbon:
        return [("tokens", 18), ("kWh", 11), ("kg CO2", 10), ("USD", 15)]
    return [("calls", 11), ("tokens", 20), ("USD", 16), ("share", 8)]


def _cells(spent: Spent, whole: Spent, heads: Sequence[tuple[str, int]], reached: int) -> str:
    said = {
        "outcomes": f"{reached:,}" if reached else "–",
        "calls": f"{spent.calls:,}",
        "tokens": f"{spent.tokens:,}",
        "USD": usd(spent.micro),
        "share": f"{spent.micro / whole.micro:.1%}" if whole.micro else "–",
        "kWh": f"{spent.energy_uj / 3.6e12:,.4f}",
        "kg CO2": f"{spent.carbon_ug / 1e9:,.4f}",
    }
    return "".join(f"{said[head]:>{width}}" for head, width in heads)


def _order(place: Place, known: Mapping[tuple[str, ...], Place]) -> list[tuple[int, int, str]]:
    above = [known[place.path[:length]] for length in range(1, len(place.path) + 1)]
    return [(-p.total.micro, -p.total.tokens, p.path[-1]) for p in above]


def usd(micro: int) -> str:
    """Dollars with four decimals, halves to the even one.

    >>> usd(1_234_567_850), usd(-150)
    ('1,234.5678', '-0.0002')
    """
    cents = round(Fraction(micro, 100))
    return f"{'-' if cents < 0 else ''}{abs(cents) // 10_000:,}.{abs(cents) % 10_000:04}"


def _notes(whole: Spent) -> list[str]:
    notes = []
    if whole.commitment_micro:
        notes.append(f"of it ${usd(whole.commitment_micro)} paid ahead")
    if whole.uncosted:
        notes.append(f"the cost of {whole.uncosted:,} events is not known and not in it")
    if whole.unmeasured:
        notes.append(f"the tokens of {whole.unmeasured:,} calls are not known and not in it")
    if whole.unpowered:
        notes.append(f"the energy of {whole.unpowered:,} calls is not known and not in it")
    return notes


def showback_json(places: Sequence[Place], outcomes: Mapping[str, int]) -> list[dict[str, Any]]:
    """Whole micro-dollars and microjoules: nothing is rounded."""
    return [_plain(place, outcomes) for place in places]


def _plain(place: Place, outcomes: Mapping[str, int]) -> dict[str, Any]:
    s = place.total
    found: dict[str, Any] = {"place": "/".join(place.path), "level": len(place.path), "calls": s.calls}
    found |= {"tokens": s.tokens, "energy_uj": s.energy_uj, "cost_micro_usd": s.micro}
    found |= {f"{part}_micro_usd": getattr(s, f"{part}_micro") for part in PARTS}
    found |= {"own_micro_usd": place.own.micro, "carbon_ug": round(s.carbon_ug)}
    found |= {"events_without_cost": s.uncosted, "calls_without_energy": s.unpowered}
    found |= {"calls_without_tokens": s.unmeasured}
    return found | ({"outcomes": outcomes.get(place.path[0], 0)} if outcomes else {})


def showback_csv(places: Sequence[Place], outcomes: Mapping[str, int]) -> str:
    out = io.StringIO()
    rows = showback_json(places, outcomes)
    names = rows[0] if rows else _plain(Place(("",), Spent(), Spent()), outcomes)
    writer = csv.DictWriter(out, list(names), lineterminator="\n")
    writer.writeheader()
    writer.writerows(rows)
    return out.getvalue()
