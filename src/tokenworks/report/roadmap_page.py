"""The page of a roadmap: systems and capacity over demand, dollars by cause, what to do when. Right in light and dark."""

from __future__ import annotations

from collections.abc import Sequence
from html import escape

from tokenworks.plan.fleet.result import RoadmapResult
from tokenworks.report.axes import BOTTOM, HEIGHT, LEFT, RIGHT, TOP, WIDTH, label, nice_ticks, text
from tokenworks.report.figures import per_second, seconds, short, unit
from tokenworks.report.page_charts import figure
from tokenworks.report.page_style import SCRIPT, STYLE
from tokenworks.report.roadmap_text import moves, verdict
from tokenworks.report.svg import names_at_ends, wrap

COLOURS = 7
STYLE_MORE = "svg .step{stroke:none}svg .asked{fill:none;stroke:var(--fg);stroke-width:1.6;stroke-dasharray:5 3}"


def roadmap_page(found: RoadmapResult) -> str:
    """The whole page."""
    body = "".join(
        (
            _head(found),
            _section("What stands when", _systems(found)),
            _section("Capacity over demand", _capacity(found)),
            _section("What is paid when", _dollars(found)),
            _section("What to do", _table(found)),
            _section("What was rehearsed", _seen(found)),
        )
    )
    return (
        '<!doctype html><html lang="en"><head><meta charset="utf-8">'
        '<meta name="viewport" content="width=device-width, initial-scale=1">'
        f"<title>{escape(found.name)}: roadmap – Tokenworks</title><style>{STYLE}{STYLE_MORE}</style></head>"
        f"<body><main>{body}</main><script>{SCRIPT}</script></body></html>"
    )


def _section(title: str, body: str) -> str:
    return f"<section><h2>{escape(title)}</h2>{body}</section>"


def _head(found: RoadmapResult) -> str:
    last = found.steps[-1]
    peak = max(step.power_w for step in found.steps)
    spent = sum(sum(step.usd.values()) for step in found.steps)
    cards = (
        ("cost today", f"${short(found.npv_usd)}", f"discounted at {found.discount:.0%} a year"),
        ("spent", f"${short(spent)}", f"${short(found.value_usd)} is left at the end"),
        ("$/Mtok output", f"{last.usd_per_mtok:.3g}", f"{found.steps[0].usd_per_mtok:.3g} at the start"),
        ("systems at the end", f"{sum(last.there.values()):,}", f"{sum(found.steps[0].there.values()):,} at the start"),
        ("highest power", unit(peak, "W"), "at the meter"),
    )
    made = "".join(
        f'<div class="card"><span>{escape(a)}</span><b>{escape(b)}</b><small>{escape(c)}</small></div>'
        for a, b, c in cards
    )
    return (
        f'<header><button id="mode" type="button">light / dark</button><h1>{escape(found.name)}: roadmap</h1>'
        f'<p class="note">{len(found.steps)} {escape(found.period)}s of {escape(found.demand)}</p>'
        f'<p class="verdict good" role="status">{escape(verdict(found))}</p><div class="cards">{made}</div></header>'
    )


def _systems(found: RoadmapResult) -> str:
    names = found.systems()
    layers = [(name, [float(step.there.get(name, 0)) for step in found.steps]) for name in names]
    return figure("Systems that stand in each period", columns(found, layers, []))


def _capacity(found: RoadmapResult) -> str:
    services = tuple(found.steps[0].demand_s)
    layers = [(name, [step.capacity_s[name] for step in found.steps]) for name in services]
    asked = [sum(step.demand_s.values()) for step in found.steps]
    return figure(
        "Requests per second that run at the planned headroom; dashed: asked for", columns(found, layers, asked)
    )


def _dollars(found: RoadmapResult) -> str:
    causes = [c for c in found.steps[0].usd if any(step.usd[c] > 0 for step in found.steps)]
    layers = [(cause, [max(0.0, step.usd[cause]) for step in found.steps]) for cause in causes]
    return figure("Dollars of the day by cause; sales are not drawn", columns(found, layers, []))


def columns(found: RoadmapResult, layers: Sequence[tuple[str, list[float]]], asked: Sequence[float]) -> str:
    """Stacked columns by period with a dashed line, each with its figures on hovering."""
    sums = [sum(values[t] for _, values in layers) for t in range(len(found.steps))]
    top = max([*sums, *asked, 1e-9]) * 1.06
    room = (WIDTH - LEFT - RIGHT) / len(found.steps)
    y = lambda value: HEIGHT - BOTTOM - value / top * (HEIGHT - TOP - BOTTOM)  # noqa: E731
    body = "".join(
        f'<line class="grid" x1="{LEFT}" x2="{WIDTH - RIGHT}" y1="{y(v):.1f}" y2="{y(v):.1f}"/>'
        + text(LEFT - 6, y(v) + 4, label(v), anchor="end")
        for v in nice_ticks(0.0, top, 4)
    )
    every = -(-len(found.steps) // 6)
    for t, step in enumerate(found.steps):
        left, below = LEFT + t * room + room * 0.12, 0.0
        for i, (name, values) in enumerate(layers):
            tall = y(below) - y(below + values[t])
            said = f"{step.month}: {name} {label(values[t])}"
            body += (
                f'<rect class="area step c{i % COLOURS}" x="{left:.1f}" y="{y(below + values[t]):.1f}" width="{room * 0.76:.1f}" '
                f'height="{tall:.1f}"><title>{escape(said)}</title></rect>'
            )
            below += values[t]
        if t % every == 0:
            body += text(LEFT + (t + 0.5) * room, HEIGHT - 6, step.month, "tick", "middle")
    if asked:
        points = " ".join(f"{LEFT + (t + 0.5) * room:.1f},{y(v):.1f}" for t, v in enumerate(asked))
        body += f'<polyline class="asked" points="{points}"/>'
    return wrap(body + names_at_ends(_ends(layers, y)), "by period")


def _ends(layers: Sequence[tuple[str, list[float]]], y: object) -> list[tuple[str, float, str]]:
    """Names at the right, at the middle of the last period's part."""
    assert callable(y)
    found, below = [], 0.0
    for i, (name, values) in enumerate(layers):
        found.append((name, float(y(below + values[-1] / 2)), f"t{i % COLOURS}"))
        below += values[-1]
    return found


def _table(found: RoadmapResult) -> str:
    rows = "".join(
        f"<tr><td>{step.month}</td><td>{per_second(sum(step.demand_s.values()))}</td><td>{escape(moves(step) or '–')}</td>"
        f"<td>{sum(step.there.values()):,}</td><td>{unit(step.power_w, 'W')}</td><td>${short(sum(step.usd.values()))}</td>"
        f"<td>{step.usd_per_mtok:.3g}</td></tr>"
        for step in found.steps
    )
    heads = "".join(f"<th>{h}</th>" for h in ("from", "req/s", "what to do", "systems", "power", "spent", "$/Mtok"))
    return f'<div class="scroll"><table class="full"><tr>{heads}</tr>{rows}</table></div>'


def _seen(found: RoadmapResult) -> str:
    rows = "".join(
        f"<tr><td>{escape(s.service)}</td><td>{escape(s.system)}</td><td>{escape(s.configuration)}</td><td>{s.units:,}</td>"
        f"<td>{per_second(s.rate_s)}</td><td>{seconds(s.ttft_p95_s)}</td><td>{seconds(s.tpot_p95_s)}</td><td>{s.believed:.0%}</td></tr>"
        for s in found.seen
    )
    named = ("service", "system", "configuration", "units", "req/s", "TTFT p95", "TPOT p95", "of the wide pass")
    heads = "".join(f"<th>{h}</th>" for h in named)
    return f'<div class="scroll"><table class="full"><tr>{heads}</tr>{rows}</table></div>'
