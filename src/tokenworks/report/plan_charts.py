"""Charts of a plan as inline SVG: configurations as dots that say everything when pointed at, capacity over demand, tornado."""

from __future__ import annotations

import math
from collections.abc import Callable, Sequence
from html import escape

from tokenworks.plan.result import Option, Plan, Point
from tokenworks.report.axes import label, log_ticks, nice_ticks, text
from tokenworks.report.figures import short
from tokenworks.report.plan_words import objective
from tokenworks.report.svg import COLOURS, tone, wrap

WIDTH, HEIGHT = 720, 400
LEFT, RIGHT, TOP, BOTTOM = 62, 18, 14, 40


def systems_in(points: Sequence[Point]) -> list[str]:
    """Series without how they are paid and served: one colour each."""
    return list(dict.fromkeys(_system(p) for p in points))


def _system(p: Point) -> str:
    return p.series.split(",")[0]


def edge(points: Sequence[Point], value: Callable[[Point], float], up: bool) -> list[Point]:
    """Of every series the points that no other beats in tokens/s/user and in ``value`` (``up``: more is better)."""
    found: list[Point] = []
    best: dict[str, float] = {}
    for p in sorted(points, key=lambda p: -p.tokens_s_user):
        worth = value(p) if up else -value(p)
        if worth > best.get(p.series, -math.inf):
            best[p.series] = worth
            found.append(p)
    return found


def dots(title: str, points: Sequence[Point], value: Callable[[Point], float], colours: Sequence[str]) -> str:
    """Tokens/s/user across, ``value`` up, both logarithmic. Squares: prefill and decode apart; hollow: rented; faint: some
    limit is broken."""
    if not points:
        return wrap(text(80, 60, "no configuration"), title, HEIGHT)
    xs, ys = [p.tokens_s_user for p in points], [value(p) for p in points]
    (x0, x1), (y0, y1) = ((min(v) / 1.1, max(v) * 1.1) for v in (xs, ys))
    px = lambda v: LEFT + math.log(v / x0) / math.log(x1 / x0) * (WIDTH - LEFT - RIGHT)  # noqa: E731
    py = lambda v: HEIGHT - BOTTOM - math.log(v / y0) / math.log(y1 / y0) * (HEIGHT - TOP - BOTTOM)  # noqa: E731
    body = _grid(log_ticks(x0, x1), log_ticks(y0, y1), px, py)
    for p, x, y in zip(points, xs, ys, strict=True):
        body += _dot(p, px(x), py(y), colours.index(_system(p)))
    body += text((LEFT + WIDTH - RIGHT) / 2, HEIGHT - 6, "tokens/s/user", "tick", "middle")
    return wrap(body, title, HEIGHT)


def _grid(x: Sequence[float], y: Sequence[float], px: Callable[[float], float], py: Callable[[float], float]) -> str:
    parts = []
    for v in y:
        parts.append(f'<line class="grid" x1="{LEFT}" x2="{WIDTH - RIGHT}" y1="{py(v):.1f}" y2="{py(v):.1f}"/>')
        parts.append(text(LEFT - 6, py(v) + 4, label(v), anchor="end"))
    for v in x:
        parts.append(f'<line class="grid" x1="{px(v):.1f}" x2="{px(v):.1f}" y1="{TOP}" y2="{HEIGHT - BOTTOM}"/>')
        parts.append(text(px(v), HEIGHT - BOTTOM + 16, label(v), "tick", "middle"))
    return "".join(parts)


def _dot(p: Point, x: float, y: float, colour: int) -> str:
    rented, apart = ", rented" in p.series, "disaggregated" in p.series
    kind = f"dot {tone(colour).split()[0]}{' hollow' if rented else ''}{'' if p.kept else ' faint'}"
    said = (
        f"{p.text}\n{p.tokens_s_user:.3g} tokens/s/user, {short(p.tokens_s_mw)} tokens/s/MW, ${p.usd_per_mtok:.3g}/Mtok"
        f"{'' if p.kept else chr(10) + 'breaks a limit'}"
    )
    mark = (
        f'<rect class="{kind}" x="{x - 3.6:.1f}" y="{y - 3.6:.1f}" width="7.2" height="7.2" tabindex="0">'
        if apart
        else f'<circle class="{kind}" cx="{x:.1f}" cy="{y:.1f}" r="4" tabindex="0">'
    )
    return f"{mark}<title>{escape(said)}</title></{'rect' if apart else 'circle'}>"


def capacity(options: Sequence[Option]) -> str:
    """Requests per second: what is asked for, and what each rehearsed fleet could carry, of its first service."""
    row, left, width = 26, 250, 360
    height = 30 + row * len(options)
    asked = options[0].setups[0].rate_s
    most = max([asked, *(o.setups[0].capacity_s for o in options)]) * 1.08
    px = lambda v: left + v / most * width  # noqa: E731
    body = ""
    for i, o in enumerate(options):
        y, s = 8 + i * row, o.setups[0]
        name = f"{o.systems[0].count} × {s.system}{', apart' if s.prefill_workers else ''}"
        body += text(left - 8, y + 15, name, "name", "end")
        wide, kind = px(s.capacity_s) - left, tone(5 if i else 0)
        body += f'<rect class="bar {kind}" x="{left}" y="{y + 3}" width="{wide:.1f}" height="16"/>'
        body += text(px(s.capacity_s) + 6, y + 15, f"{short(s.capacity_s)} req/s")
    for v in nice_ticks(0, most, 5):
        body += text(px(v), height - 4, label(v), "tick", "middle")
    body += f'<line class="limit" x1="{px(asked):.1f}" x2="{px(asked):.1f}" y1="4" y2="{height - 18}"/>'
    return wrap(body, "Capacity over demand", height)


def tornado(plan: Plan) -> str:
    """Bars of the first objective around the answer's."""
    bars = [b for b in plan.tornado if b.low is not None and b.high is not None]
    if not bars or plan.best is None:
        return ""
    row, left, width = 34, 290, 330
    name = plan.objectives[0]
    middle = _middle(plan)
    low, high = (f([middle, *(v for b in bars for v in (b.low, b.high) if v is not None)]) for f in (min, max))
    span = (high - low) or 1.0
    px = lambda v: left + (v - low) / span * width  # noqa: E731
    body = ""
    for i, b in enumerate(bars):
        assert b.low is not None
        assert b.high is not None
        y = 8 + i * row
        body += text(left - 60, y + 16, b.name, "name", "end")
        for value, said, colour in ((b.low, b.low_said, 2), (b.high, b.high_said, 1)):
            a, z = sorted((px(value), px(middle)))
            hint = f"{b.name} {said}: {objective(name, value)}"
            at = f'x="{a:.1f}" y="{y + 3}" width="{max(1.0, z - a):.1f}" height="18"'
            body += f'<rect class="bar {tone(colour)}" {at}><title>{escape(hint)}</title></rect>'
        ends = sorted((b.low, b.high))
        body += text(px(ends[0]) - 5, y + 16, f"{ends[0]:.3g}", "tick", "end")
        body += text(max(px(ends[1]), px(middle)) + 5, y + 16, f"{ends[1]:.3g}", "tick")
    height = 14 + row * len(bars)
    body += f'<line class="limit" x1="{px(middle):.1f}" x2="{px(middle):.1f}" y1="2" y2="{height}"/>'
    return wrap(body, "What would change the answer", height)


def _middle(plan: Plan) -> float:
    """The answer by the wide pass, to which the bars belong."""
    assert plan.best is not None
    return plan.best.predicted[plan.objectives[0]]


def legend(systems: Sequence[str]) -> str:
    items = "".join(f'<li><i class="key c{i % COLOURS}"></i>{escape(name)}</li>' for i, name in enumerate(systems))
    signs = "".join(f"<li>{sign}</li>" for sign in ("■ prefill and decode apart", "○ hollow: rented", "faint: breaks a limit"))
    return f'<ul class="legend">{items}{signs}</ul>'
