"""A fact's value and status as people read them."""

from __future__ import annotations

from typing import Any

from tokenworks.catalog.facts import Fact

STATUS_MARKS = {"measured": "*", "published": " ", "claim": "?", "projection": ">", "assumed": "~"}
HOURS = 24
WORDLESS_UNITS = ("name", "names", "flag", "value", "formats", "year", "tensor path", "precision")


def status_mark(status: str) -> str:
    return STATUS_MARKS[status]


def value_text(fact: Fact) -> str:
    """Value with unit: 2,250 TFLOP/s dense; lists joined, runs of equal hours drawn together."""
    unit = "" if fact.unit in WORDLESS_UNITS else f" {fact.unit}"
    if fact.unit == "year":
        return str(fact.value)
    return f"{listed(fact.value) if isinstance(fact.value, list) else plain(fact.value)}{unit}"


def listed(values: list[Any]) -> str:
    """Two numbers are a range, twenty-four the hours of a day."""
    if len(values) == HOURS:
        return _runs(values)
    numbers = all(isinstance(value, int | float) for value in values)
    return (" to " if len(values) == 2 and numbers else ", ").join(map(plain, values))


def plain(value: Any) -> str:
    """Thousands separators and no needless zeros."""
    if isinstance(value, bool):
        return "yes" if value else "no"
    if isinstance(value, int | float):
        return f"{value:,.10g}"
    return str(value)


def _runs(values: list[Any]) -> str:
    """Hours of the day with one value each: 0-5h 0.035; 6-14h 0.05 …"""
    parts: list[str] = []
    start = 0
    for hour in range(1, len(values) + 1):
        if hour == len(values) or values[hour] != values[start]:
            span = f"{start}-{hour - 1}" if hour - 1 > start else f"{start}"
            parts.append(f"{span}h {plain(values[start])}")
            start = hour
    return "; ".join(parts)
