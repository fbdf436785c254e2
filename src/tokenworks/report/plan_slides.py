"""Charts of a plan as SVG files for slides: one picture a file, nothing outside it, right on white and on dark ground."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from html import escape
from pathlib import Path

from tokenworks.plan.result import Option, Plan, Point
from tokenworks.report import plan_charts as charts
from tokenworks.report import plan_words as words
from tokenworks.report.axes import WIDTH, text
from tokenworks.report.figures import percent, usd
from tokenworks.report.png import to_png
from tokenworks.report.slide_style import SLIDE_STYLE
from tokenworks.report.svg import COLOURS, wrap

HEAD, KEY = 30, 22  # pixels of a title and of a row of the legend


def slides(plan: Plan) -> dict[str, str]:
    """SVG texts by file name."""
    found = {}
    if plan.points:
        names = charts.systems_in(plan.points)
        for name, head, value, up in (
            ("tokens-per-megawatt", "Output tokens/s per MW at the meter", charts.mega, True),
            ("dollars-per-mtok", "$ per million output tokens", charts.price, False),
        ):
            found[f"{name}.svg"] = _dots(plan.points, names, head, value, up)
    if plan.best is not None:
        found["waterfall.svg"] = alone(waterfall(plan.best), "Dollars an hour by cause")
        said = "Requests per second that each rehearsed fleet could carry; dashed: asked for"
        found["capacity.svg"] = alone(charts.capacity(plan.tried), said)
        if drawn := charts.tornado(plan):
            found["tornado.svg"] = alone(drawn, f"{words.OBJECTIVES[plan.objectives[0]]}, one input changed at a time")
    return found


def svg_slides(plan: Plan) -> dict[str, bytes]:
    """SVG files by name."""
    return {name: drawn.encode() for name, drawn in slides(plan).items()}


def png_slides(plan: Plan) -> dict[str, bytes]:
    """The same as PNG. Raises InputError without the extra ``png``."""
    return {f"{Path(name).stem}.png": to_png(drawn) for name, drawn in slides(plan).items()}


def alone(chart: str, title: str, keys: Sequence[str] = ()) -> str:
    """An inline chart as a file of its own: size, style, title and legend inside."""
    head, _, body = chart.partition(">")
    height = float(head.split('viewBox="')[1].split('"')[0].split()[3])
    rows, top = _keys(keys)
    whole = HEAD + top + height
    return (
        f'<svg xmlns="http://www.w3.org/2000/svg" viewBox="0 0 {WIDTH} {whole:g}" width="{WIDTH}" height="{whole:g}" role="img">'
        f"{SLIDE_STYLE}{text(4, 19, title, 'head')}{rows}"
        f'<g transform="translate(0 {HEAD + top})">{body.removesuffix("</svg>")}</g></svg>\n'
    )


def _keys(keys: Sequence[str]) -> tuple[str, int]:
    """A legend in rows of three, the signs of the dots below; and its height."""
    if not keys:
        return "", 0
    body, third = "", WIDTH // 3
    for i, name in enumerate(keys):
        x, y = 6 + i % 3 * third, HEAD + 14 + i // 3 * KEY
        body += f'<circle class="dot c{i % COLOURS}" cx="{x + 4}" cy="{y - 5}" r="5"/>' + text(x + 14, y, name, "name")
    below = HEAD + 14 + -(-len(keys) // 3) * KEY
    signs = "squares: prefill and decode apart; hollow: rented; faint: breaks a limit"
    return body + text(6, below, signs, "tick"), below + 10 - HEAD


def _dots(points: Sequence[Point], names: Sequence[str], head: str, value: Callable[[Point], float], up: bool) -> str:
    shown = charts.edge(points, value, up)
    return alone(charts.dots(head, shown, value, names), head, names)


def waterfall(best: Option) -> str:
    """Causes of an hour's dollars, each bar where the one before ended."""
    row, left, width = 30, 210, 330
    total = best.figures["usd_h"] or 1.0
    bars = [(name, best.figures[key]) for key, name in words.CAUSES.items() if best.figures[key] > 0]
    body, start = "", 0.0
    for i, (name, value, tone) in enumerate(
        [*((n, v, 0) for n, v in bars), ("all, an hour", best.figures["usd_h"], 5)]
    ):
        y, begin = 6 + i * row, 0.0 if tone else start
        x, wide = left + begin / total * width, max(1.5, value / total * width)
        body += text(left - 10, y + 16, name, "name", "end")
        body += f'<rect class="bar c{tone}" x="{x:.1f}" y="{y + 2}" width="{wide:.1f}" height="20"/>'
        body += text(left + width + 12, y + 16, f"{usd(value)}/h, {percent(value / total)}", "name")
        start += value
    return wrap(body, f"Dollars an hour: {escape(best.text)}", 10 + row * (len(bars) + 1))
