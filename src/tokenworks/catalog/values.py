"""A fact's value and status as people read them."""

from __future__ import annotations

from typing import Any

from tokenworks.catalog.facts import Fact

STATUS_MARKS = {"measured": "*", "published": " ", "claim": "?", "projection": ">", "assumed": "~"}
WORDLESS_UNITS = ("name", "names", "flag", "value", "formats", "year", "tensor path", "precision")


def status_mark(status: str) -> str:
    return STATUS_MARKS[status]


def value_text(fact: Fact) -> str:
    """Value with unit: 2,250 TFLOP/s dense; lists joined, runs of equal hours drawn together."""
    unit = "" if fact.unit in WORDLESS_UNITS else f" {fact.unit}"
    if fact.unit == "year":
        return str(fact.value)
    if isinstance(fact.value, list):
        return f"{_runs(fact.value) if len(fact.value) == 24 else ', '.join(map(plain, fact.value))}{unit}"
    return f"{plain(fact.value)}{unit}"


def plain(value: Any) -> str:
    """Thousands separators and no needless zeros."""
    if isinstance(value, bool):
        return "yes" if value else "no"
    if isinstance(value, int | float):
        return f"{value:,}" if abs(value) >= 1e3 else f"{value:g}"
    return str(value)


def _runs(values: list[Any]) -> str:
    """Hours of the day with one value each: 0-5 h 0.035, 6-14 h 0.05 …"""
    parts: list[str] = []
    start = 0
    for hour in range(1, len(values) + 1):
        if hour == len(values) or values[hour] != values[start]:
            span = f"{start}-{hour - 1}" if hour - 1 > start else f"{start}"
            parts.append(f"{span} h {plain(values[start])}")
            start = hour
    return "; ".join(parts)
