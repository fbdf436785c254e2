"""Amplification as a table for the terminal."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any

HEAD = ("group", "runs", "processed", "visible", "TAF", "95% interval", "p50", "p90", "computed", "cost")

NOTES = {
    "assumed_runs": "* {assumed_runs:,} runs mark no call as final: their last call's output stands in",
    "left_out_runs": "{left_out_runs:,} runs with {left_out_tokens:,} tokens are left out: nobody knows what they showed",
    "unknown_calls": "{unknown_calls:,} calls state no input or no output: the sums are at least this",
    "unknown_read_calls": "{unknown_read_calls:,} calls do not say what came from a cache: computed is at most this",
}


def taf_text(found: Mapping[str, Any], limit: int) -> str:
    """Groups with the most tokens first; what is assumed, unknown or left out is said below them."""
    rows = sorted(found["taf"], key=lambda row: (-row["processed_tokens"], row["key"]))
    costs = {tuple(row["key"]): row["taf_cost"] for row in found["taf_cost"]}
    table = [HEAD, *(_line(row, costs.get(tuple(row["key"]))) for row in rows[:limit])]
    lines = _aligned(table)
    if len(rows) > limit:
        lines.append(f"… and {len(rows) - limit} groups more (--limit)")
    return "\n".join([*lines, *_notes(rows), *_causes(found["waterfall"])])


def templates_text(found: Sequence[Mapping[str, Any]], remarks: Sequence[str]) -> str:
    """Agent templates by name, a mean run each, and remarks below them."""
    rows = [
        (row["name"], f"{row['total_tokens']:,.10g}", f"{row['visible_tokens']:,.10g}", f"{row['taf']:,.2f}")
        for row in found
    ]
    table = [("template", "total tokens", "visible tokens", "TAF"), *rows]
    return "\n".join([*_aligned(table), "", *remarks])


def _aligned(table: Sequence[Sequence[str]]) -> list[str]:
    """The first column to the left, the others to the right."""
    widths = [max(map(len, column)) for column in zip(*table, strict=True)]
    return [
        "  ".join(_cell(text, width, i) for i, (text, width) in enumerate(zip(line, widths, strict=True)))
        for line in table
    ]


def _cell(text: str, width: int, column: int) -> str:
    return text.rjust(width) if column else text.ljust(width)


def _line(row: Mapping[str, Any], cost: Mapping[str, Any] | None) -> tuple[str, ...]:
    whole, computed = row["taf_processed"], row["taf_computed"]
    visible = "unknown" if row["visible_tokens"] is None else f"{row['visible_tokens']:,}"
    interval = f"{whole['interval'][0]:.2f}–{whole['interval'][1]:.2f}" if whole and whole["interval"] else "–"
    mark = "*" if row["assumed"] else ""
    return (
        " · ".join(row["key"]) or "all",
        f"{row['runs']:,}",
        f"{row['processed_tokens']:,}",
        visible + mark,
        _ratio(whole),
        interval,
        _percentile(whole, 50),
        _percentile(whole, 90),
        _ratio(computed),
        _ratio(cost),
    )


def _ratio(found: Mapping[str, Any] | None) -> str:
    return f"{found['ratio']:.2f}" if found else "–"


def _percentile(found: Mapping[str, Any] | None, percent: int) -> str:
    return f"{found['percentiles'][percent]:.2f}" if found and found["percentiles"] else "–"


def _notes(rows: Sequence[Mapping[str, Any]]) -> list[str]:
    total = {name: sum(row[name] for row in rows) for name in (*NOTES, "left_out_tokens")}
    return [text.format(**total) for name, text in NOTES.items() if total[name]]


def _causes(rows: Sequence[Mapping[str, Any]]) -> list[str]:
    """All groups together, the largest cause first."""
    total = sum(row["processed_tokens"] for row in rows)
    if total <= 0:
        return []
    names = rows[0]["tokens"]
    sums = {name: sum(row["tokens"][name] for row in rows) for name in names}
    return ["", "where the tokens go"] + [
        f"  {name.replace('_', ' '):<14} {number:>16,}  {number / total:6.1%}"
        for name, number in sorted(sums.items(), key=lambda item: -item[1])
        if number
    ]
