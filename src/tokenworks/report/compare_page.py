"""A comparison as a page and as JSON."""

from __future__ import annotations

import json
from collections.abc import Mapping
from html import escape
from itertools import groupby

from tokenworks.plan.compare.compare import Comparison, Why
from tokenworks.plan.compare.factors import ENERGY, PRICE
from tokenworks.plan.compare.sides import Line
from tokenworks.report.compare_text import SWAPPED, change, headline, part_of, shares, written
from tokenworks.report.figures import short, usd
from tokenworks.report.files import plain
from tokenworks.report.plan_frame import frame, section

FORMAT = "tokenworks-compare-1"
_TERMS = (
    "First the terms of the books that moved, as shares that do not depend on an order (Shapley values) and sum to the "
    "change. Then the parts of the file that moved it, found by exchanging them in every combination and rehearsing each."
)


def compare_json(found: Comparison) -> str:
    return json.dumps({"format": FORMAT, **plain(found)}, ensure_ascii=False, indent=1, allow_nan=False)


def compare_page(found: Comparison) -> str:
    """The whole page."""
    body = "".join(section(f"Why {why.side} differs from {found.names[0]}", _why(why), _TERMS) for why in found.why)
    body += section("What differs in the files", _fields(found))
    for name, lines in groupby(found.lines, lambda line: line.group):
        body += section(name[:1].upper() + name[1:], _group(found, list(lines)))
    return frame(" against ".join(found.names), headline(found), "good", body)


def _why(why: Why) -> str:
    found = ""
    for figure in (PRICE, ENERGY):
        base, after = why.before[figure], why.after[figure]
        form = usd if figure == PRICE else short
        head = f"{figure}: {form(base)} → {form(after)} ({change(after / base - 1)})"
        left = _bars(why.by_term[figure], base, after, figure)
        right = _bars(why.swapped.shares[SWAPPED[figure]], base, after, figure) if why.swapped else ""
        columns = f"<div>{left}</div><div>{right}</div>" if right else f"<div>{left}</div>"
        found += f'<h3>{escape(head)}</h3><div class="two">{columns}</div>'
    if why.swapped:
        said = f"{why.swapped.rehearsals} rehearsals of mixtures."
        said += "".join(f" Taken together, because they cannot be exchanged alone: {r}." for r in why.swapped.together)
        found += f'<p class="note">{escape(said)}</p>'
    return found


def _bars(parts: Mapping[str, float], base: float, after: float, figure: str) -> str:
    """A waterfall from the first side's figure to the other's: each bar begins where the one before ends."""
    form = usd if figure == PRICE else short
    steps, at = [], base
    for name, part, share in shares(parts, base):
        steps.append((name, at, at + part, f"{'+' if part > 0 else '−'}{form(abs(part))}", part_of(share)))
        at += part
    low = min([0.0, *(min(a, b) for _, a, b, _, _ in steps)])
    top = max([base, after, *(max(a, b) for _, a, b, _, _ in steps)])
    rows = _bar("before", 0.0, base, form(base), "", "all", low, top)
    for name, a, b, said, relative in steps:
        better = (b < a) == (figure == PRICE)
        rows += _bar(name, min(a, b), max(a, b), said, relative, "c2" if better else "c1", low, top)
    rows += _bar("after", 0.0, after, form(after), change(after / base - 1), "all", low, top)
    return f'<table class="full water" aria-label="{escape(figure)}"><tbody>{rows}</tbody></table>'


def _bar(name: str, first: float, last: float, said: str, share: str, kind: str, low: float, top: float) -> str:
    span = top - low or 1.0
    bar = f'<div><i class="fill {kind}" style="left:{(first - low) / span:.3%};width:{(last - first) / span:.3%}"></i></div>'
    sums = ' class="sum"' if kind == "all" else ""
    return (
        f'<tr{sums}><td>{escape(name)}</td><td class="track">{bar}</td><td class="n">{escape(said)}</td>'
        f'<td class="n">{escape(share)}</td></tr>'
    )


def _fields(found: Comparison) -> str:
    if found.without:
        return f"<p>No factory file is known of {escape(', '.join(found.without))}: fields are not compared.</p>"
    if not found.fields:
        return "<p>The factory files do not differ.</p>"
    head = "".join(f"<th>{escape(h)}</th>" for h in ("field", *found.names))
    rows = "".join(
        f"<tr><td>{escape(d.path)}</td>{''.join(f'<td>{escape(v)}</td>' for v in d.values)}</tr>" for d in found.fields
    )
    return f'<div class="scroll"><table class="full"><thead><tr>{head}</tr></thead><tbody>{rows}</tbody></table></div>'


def _group(found: Comparison, lines: list[Line]) -> str:
    head = f"<th></th><th class=n>{escape(found.names[0])}</th>"
    head += "".join(f"<th class=n>{escape(name)}</th><th></th>" for name in found.names[1:])
    rows = ""
    for line in lines:
        cells = f'<td class="n">{written(line, 0)}</td>'
        for i in range(1, len(found.names)):
            cells += f'<td class="n">{written(line, i)}</td><td class="n">{change(line.relative[i])}</td>'
        rows += f"<tr><td>{escape(line.name)}</td>{cells}</tr>"
    return f'<div class="scroll"><table class="full"><thead><tr>{head}</tr></thead><tbody>{rows}</tbody></table></div>'
