"""The page of a sweep: what is best, charts over the first one or two axes, every point."""

from __future__ import annotations

from html import escape

from tokenworks.plan.sweep.figures import IMPOSSIBLE, OK, RANKS
from tokenworks.plan.sweep.run import Sweep
from tokenworks.report.figures import short, usd
from tokenworks.report.plan_frame import frame, section
from tokenworks.report.sweep_chart import MOST_LINES, Dot, chart, places
from tokenworks.report.sweep_text import NAMES, headline, worst

CHARTS = ("usd_per_mtok", "output_tokens_s", "tokens_per_j")
MOST_ROWS = 2000
_KEY = "Filled: does what is asked; hollow: overloaded or misses an objective; ringed: the best. Hover for the values."


def sweep_page(found: Sweep) -> str:
    """The whole page."""
    body = section("", f'<div class="charts">{_charts(found)}</div>', _note(found)) if found.built() else ""
    body += section("Points", _table(found), _cut(found))
    return frame(f"{found.factory}: sweep", headline(found), "good" if found.best is not None else "warn", body)


def _note(found: Sweep) -> str:
    said = f"Across: {found.axes[0]}" + (f"; lines and colours: {found.axes[1]}" if len(found.axes) > 1 else "")
    others = len(found.axes) > 2 and not found.sampled
    best = f"; of the other axes the best by {NAMES[found.by]}" if others else ""
    return f"{said}{best}. {_KEY}"


def _cut(found: Sweep) -> str:
    return (
        f"The first {MOST_ROWS:,} of {len(found.rows):,}; all are in sweep.csv." if len(found.rows) > MOST_ROWS else ""
    )


def _charts(found: Sweep) -> str:
    drawn = ""
    for name in CHARTS:
        dots = _dots(found, name)
        if dots:
            figure = chart(NAMES[name], dots, joined=not found.sampled)
            drawn += f"<figure><figcaption>{escape(NAMES[name])}</figcaption>{figure}</figure>"
    return drawn


def _dots(found: Sweep, name: str) -> list[Dot]:
    """One for a point; on a grid of more than two axes one for each pair of values, the best of the others."""
    kept = [i for i in found.built() if found.figure(i, name) is not None]
    first, second = found.axes[0], found.axes[1] if len(found.axes) > 1 else None
    lines = _lines([found.value(i, second) for i in kept]) if second else [""] * len(kept)
    cells: dict[tuple[str, str, int], int] = {}
    for i, line in sorted(zip(kept, lines, strict=True), key=lambda pair: _rank(found, pair[0])):
        cells.setdefault((found.value(i, first), line, i if found.sampled else 0), i)
    dots = [
        Dot(x, line, found.figure(i, name), _said(found, i, name), i == found.best, found.rows[i]["state"] == OK)
        for (x, line, _), i in sorted(cells.items(), key=lambda item: item[1])
    ]
    return sorted(dots, key=lambda d: lines.index(d.line))


def _rank(found: Sweep, number: int) -> tuple[bool, float, int]:
    sign, row = (-1.0 if RANKS[found.by] else 1.0), found.rows[number]
    return row["state"] != OK, sign * (row[found.by] or 0.0), number


def _lines(values: list[str]) -> list[str]:
    """The line that each point belongs to: its value; of many numbers a third of their range; of many words the first."""
    distinct = list(dict.fromkeys(values))
    if len(distinct) <= MOST_LINES:
        return values
    place, scale = places(values)
    if not scale:
        return [v if v in distinct[: MOST_LINES - 1] else "others" for v in values]
    order = sorted(distinct, key=lambda v: place[v])
    cuts = [order[len(order) * k // 3] for k in (1, 2)]
    names = (f"< {cuts[0]}", f"from {cuts[0]}", f"≥ {cuts[1]}")
    return [names[sum(place[v] >= place[c] for c in cuts)] for v in values]


def _said(found: Sweep, number: int, name: str) -> str:
    figure = found.figure(number, name)
    values = ", ".join(f"{path} = {value}" for path, value in found.points[number])
    return f"point {number + 1}: {values}: {usd(figure) if name.startswith('usd') else short(figure)} {NAMES[name]}"


def _table(found: Sweep) -> str:
    head = ("#", *found.axes, "$/Mtok", "tokens/s", "tokens/J", "TTFT p95, s", "TPOT p95, ms", "state")
    rows = "".join(_row(found, i) for i in range(min(len(found.rows), MOST_ROWS)))
    cells = "".join(f"<th{'' if h in found.axes or h == 'state' else ' class=n'}>{escape(h)}</th>" for h in head)
    return f'<div class="scroll"><table class="full"><thead><tr>{cells}</tr></thead><tbody>{rows}</tbody></table></div>'


def _row(found: Sweep, i: int) -> str:
    row = found.rows[i]
    values = "".join(f"<td>{escape(value)}</td>" for _, value in found.points[i])
    if row["state"] == IMPOSSIBLE:
        return f'<tr><td class="n">{i + 1}</td>{values}<td colspan="6">impossible: {escape(row["reason"])}</td></tr>'
    ttft, tpot = worst(found, i, "ttft_p95_s"), worst(found, i, "tpot_p95_s")
    figures = [usd(row["usd_per_mtok"]), short(row["output_tokens_s"]), f"{row['tokens_per_j']:.3g}"]
    figures += ["–" if ttft is None else f"{ttft:.3g}", "–" if tpot is None else f"{tpot * 1e3:.3g}"]
    cells = "".join(f'<td class="n">{said}</td>' for said in figures)
    best = ' class="sum"' if i == found.best else ""
    state = "→ best" if i == found.best else row["reason"] or row["state"]
    return f'<tr{best}><td class="n">{i + 1}</td>{values}{cells}<td>{escape(state)}</td></tr>'
