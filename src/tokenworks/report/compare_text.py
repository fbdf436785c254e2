"""A comparison in the terminal, in 80 columns: what it comes to, why, what differs in the files, all figures."""

from __future__ import annotations

import textwrap
from collections.abc import Mapping
from itertools import groupby

from tokenworks.plan.compare.compare import Comparison, Why
from tokenworks.plan.compare.factors import ENERGY, PRICE
from tokenworks.plan.compare.sides import Line
from tokenworks.report.figures import short, usd
from tokenworks.report.text_table import WIDTH, table

LEAST = 0.0005  # of a figure: smaller parts of a change are not shown
SWAPPED = {PRICE: "usd_per_mtok", ENERGY: "tokens_per_j"}


def compare_text(found: Comparison) -> str:
    """Lines of at most 80 columns."""
    blocks = [_wrapped(headline(found)), *(_why(why) for why in found.why), _fields(found)]
    blocks += [_group(found, name, list(lines)) for name, lines in groupby(found.lines, lambda line: line.group)]
    return "\n\n".join("\n".join(block) for block in blocks if block) + "\n"


def headline(found: Comparison) -> str:
    """$/Mtok of every side against the first."""
    price = next(line for line in found.lines if line.name == PRICE)
    said = [f"{found.names[0]}: {written(price, 0)}"]
    for i in range(1, len(found.names)):
        said.append(f"{found.names[i]}: {written(price, i)} ({change(price.relative[i])})")
    return "$ per million output tokens: " + "; ".join(said) + "."


def written(line: Line, number: int) -> str:
    """A figure of one side."""
    value = line.values[number]
    if value is None:
        return "–"
    return usd(value) if "$" in line.name or "$" in line.group else short(value)


def change(relative: float | None) -> str:
    """
    >>> change(0.123), change(-0.5), change(0.0), change(None), change(4.0)
    ('+12.3%', '−50.0%', '=', '', '×5.00')
    """
    if relative is None:
        return ""
    if abs(relative) < LEAST:
        return "="
    return f"×{1 + relative:.2f}" if relative >= 2 else f"{relative:+.1%}".replace("-", "−")


def part_of(share: float) -> str:
    """A part of a change, of the first side's figure.

    >>> part_of(0.395), part_of(-10.9)
    ('+39.5%', '−1,090.0%')
    """
    return f"{share:+,.1%}".replace("-", "−")


def shares(parts: Mapping[str, float], base: float) -> list[tuple[str, float, float]]:
    """(cause, its part, relative to the first side's figure), the largest first, without those that are nothing."""
    kept = [(name, part, part / base) for name, part in parts.items() if abs(part / base) >= LEAST]
    return sorted(kept, key=lambda item: -abs(item[1]))


def _why(why: Why) -> list[str]:
    found = []
    for figure in (PRICE, ENERGY):
        base, after = why.before[figure], why.after[figure]
        form = usd if figure == PRICE else short
        found += _wrapped(f"Why {figure} is {change(after / base - 1)} in {why.side} ({form(base)} → {form(after)}):")
        rows = [
            ["", name, _signed(part, form), part_of(share)] for name, part, share in shares(why.by_term[figure], base)
        ]
        found += table(["", "term", "part", "of the first"], rows, left=2, most=44)
        if why.swapped:
            parts = shares(why.swapped.shares[SWAPPED[figure]], base)
            rows = [["", name, _signed(part, form), part_of(share)] for name, part, share in parts]
            found += table(["", "part of the file", "part", "of the first"], rows, left=2, most=44)
    if why.swapped:
        found += _wrapped(f"Parts of the file were exchanged in {why.swapped.rehearsals} ways, each rehearsed.")
        for reason in why.swapped.together:
            found += _wrapped(f"Taken together, because they cannot be exchanged alone: {reason}")
    return found


def _signed(part: float, form: object) -> str:
    assert callable(form)
    return f"{'+' if part > 0 else '−'}{form(abs(part))}"


def _fields(found: Comparison) -> list[str]:
    if found.without:
        return _wrapped(f"No factory file is known of {', '.join(found.without)}: fields are not compared.")
    if not found.fields:
        return ["The factory files do not differ."]
    rows = [[d.path, *d.values] for d in found.fields]
    room = max(8, (WIDTH - 2 * len(found.names)) // (len(found.names) + 1))
    longest = max(len(d.path) for d in found.fields)
    return table(
        ["field that differs", *found.names], rows, left=len(found.names) + 1, most=room, first=min(longest, 40)
    )


def _group(found: Comparison, name: str, lines: list[Line]) -> list[str]:
    rows = []
    for line in lines:
        cells = [written(line, 0)]
        for i in range(1, len(found.names)):
            cells += [written(line, i), change(line.relative[i])]
        rows.append([line.name, *cells, ""])
    head = [name, found.names[0]]
    for other in found.names[1:]:
        head += [other, ""]
    return table([*head, ""], rows, left=1, most=14, first=24)


def _wrapped(said: str) -> list[str]:
    return textwrap.wrap(said, WIDTH, subsequent_indent="  ")
