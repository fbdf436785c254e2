"""Charts of the HTML report: linked timelines, latency curves, energy flow; each with its figures as a table."""

from __future__ import annotations

from collections.abc import Sequence
from html import escape

import numpy as np
from numpy.typing import NDArray

from tokenworks.events.results import Interval, RunResult, Share
from tokenworks.report import svg
from tokenworks.report.bars import leaves
from tokenworks.report.figures import percent, seconds, short, sure, unit
from tokenworks.report.sankey import sankey

Floats = NDArray[np.float64]
TONES = {"IT": "c0", "GPU boards": "c0", "prefill": "c1", "decode": "c2", "idle": "c6"}
LATENCIES = (("ttft", "Time to first token"), ("tpot", "Time per output token"), ("e2e", "End to end"))


def figure(caption: str, chart: str, read: bool = False) -> str:
    """A chart with its caption; ``read`` leaves room for what the cursor points at."""
    value = '<output class="read"></output>' if read else ""
    return f"<figure><figcaption>{escape(caption)}{value}</figcaption>{chart}</figure>"


def details(summary: str, head: Sequence[str], rows: Sequence[Sequence[str]]) -> str:
    """Figures of a chart as a table that opens on demand; the first column is words."""
    cell = lambda tag, i, said: f"<{tag}{' class=n' if i else ''}>{escape(said)}</{tag}>"  # noqa: E731
    top = "".join(cell("th", i, said) for i, said in enumerate(head))
    body = "".join(f"<tr>{''.join(cell('td', i, said) for i, said in enumerate(row))}</tr>" for row in rows)
    table = f'<div class="scroll"><table><thead><tr>{top}</tr></thead><tbody>{body}</tbody></table></div>'
    return f"<details><summary>{escape(summary)}</summary>{table}</details>"


def legend(names: Sequence[str]) -> str:
    items = "".join(f'<li><i class="key {svg.tone(i)}"></i>{escape(name)}</li>' for i, name in enumerate(names))
    return f'<ul class="legend">{items}</ul>'


def timelines(result: RunResult) -> str:
    """Tokens, queue, KV use by service; power by scope."""
    t, names = result.timeline, [s.name for s in result.services]
    charts = (
        ("Output tokens per second", t.output_tokens_s),
        ("Requests waiting", t.waiting),
        ("KV cache in use, %", t.kv_use * 100),
    )
    drawn = [
        figure(title, svg.timeline(title, _series(names, t.time_s, values)), read=True) for title, values in charts
    ]
    drawn.append(figure("Power by purpose, kW", _power(result), read=True))
    rows = [
        (title, *(f"{short(v.min())} / {short(v.mean())} / {short(v.max())}" for v in values))
        for title, values in charts
    ]
    return (
        legend(names)
        + f'<div class="charts">{"".join(drawn)}</div>'
        + details("least / mean / most as a table", ("", *names), rows)
    )


def _series(names: Sequence[str], time_s: Floats, values: Floats) -> list[svg.Series]:
    return [svg.Series(name, time_s, values[i], i) for i, name in enumerate(names)]


def _power(result: RunResult) -> str:
    """Layers from the boards to the meter; the budget holds for the layers of its scope."""
    t = result.timeline
    prefill, decode, static, idle = t.board_parts_w
    boards = t.board_parts_w.sum(axis=0)
    found = (
        ("idle", idle, 6),
        ("static", static, 5),
        ("decode", decode, 2),
        ("prefill", prefill, 1),
        ("rest of IT", t.it_w - boards, 0),
        ("site", t.facility_w - t.it_w, 3),
    )
    shown = [svg.Series(name, t.time_s, watts / 1e3, colour) for name, watts, colour in found if watts.max() > 0]
    scope = {"board": "boards", "it": "IT", "facility": "facility"}[result.power_scope]
    return svg.layers("Power from the boards to the meter", shown, _limits(result), f"{scope} limit")


def _limits(result: RunResult) -> list[svg.Stretch]:
    """(from, to, kW) of the budgets, over the time that the chart shows."""
    last = float(result.timeline.time_s[-1])
    ends = [at_s for at_s, _ in result.power_budgets[1:]] + [last]
    held = [(at_s, min(end, last), watts) for (at_s, watts), end in zip(result.power_budgets, ends, strict=True)]
    return [(at_s, end, watts / 1e3) for at_s, end, watts in held if watts and at_s < end]


def latencies(result: RunResult) -> str:
    """Cumulative shares of TTFT, TPOT and end-to-end time."""
    names = [s.name for s in result.services]
    drawn = []
    for key, title in LATENCIES:
        found = [getattr(s, key) for s in result.services]
        curves = [
            svg.Series(n, x.bin_edges_s, x.bin_counts, i) for i, (n, x) in enumerate(zip(names, found, strict=True))
        ]
        limits = [(getattr(s, f"slo_{key}_s", 0.0), i) for i, s in enumerate(result.services)]
        drawn.append(
            figure(f"{title}, share of requests", svg.cdf(title, curves, [pair for pair in limits if pair[0]]))
        )
    return legend(names) + f'<div class="charts">{"".join(drawn)}</div>' + _quantiles(result)


def _quantiles(result: RunResult) -> str:
    rows = []
    for s in result.services:
        for key, title in LATENCIES:
            x = getattr(s, key)
            values = (x.mean_s, x.p50_s, x.p90_s, x.p95_s, x.p99_s, x.max_s)
            rows.append((f"{s.name}: {title.lower()}", *(seconds(v) for v in values)))
    return details("quantiles as a table", ("", "mean", "p50", "p90", "p95", "p99", "longest"), rows)


def _sure(figure: Interval | float) -> str:
    """A figure with its 80% interval."""
    return f"{short(figure.value)} ({sure(figure)})" if isinstance(figure, Interval) else short(figure)


def _provisioned(result: RunResult) -> str:
    """What nameplates ask for against what is drawn."""
    if not result.planned_w:
        return ""
    return (
        f" Nameplates ask for {unit(result.nameplate_w, 'W')}; {result.planned_percentile:g}% of the time at most "
        f"{unit(result.planned_w, 'W')} are drawn: a planned watt carries {result.nameplate_w / result.planned_w:.2f} "
        "watts of nameplate."
    )


def energy_flow(result: RunResult) -> str:
    """From the grid to prefill, decode and idle."""
    energy = result.energy
    root = Share("facility", energy.facility_j)
    chart = sankey("Energy from the grid to tokens", root, energy.parts, TONES)
    rows = [
        (p.label, unit(p.value / 3600, "Wh"), percent(p.value / (energy.facility_j or 1.0)))
        for p in leaves(energy.parts)
    ]
    pue = energy.facility_j / energy.it_j if energy.it_j else float("nan")
    it, site = result.tokens_per_j_it_band, result.tokens_per_j_facility_band
    said = (
        f"{unit(energy.facility_j / 3600, 'Wh')} at the meter, PUE {pue:.3f}. Output tokens per joule: boards "
        f"{_sure(result.tokens_per_j)}, IT {_sure(it or result.tokens_per_j_it)}, facility "
        f"{_sure(site or result.tokens_per_j_facility)}. Carbon {unit(result.carbon_kg * 1000, 'g')}, water "
        f"{short(result.water_l)} l, power of the budget stranded {unit(result.stranded_w, 'W')}."
        + _provisioned(result)
    )
    return (
        f'<figure class="wide"><div class="scroll">{chart}</div></figure><p class="note">{escape(said)}</p>'
        + details("as a table", ("", "energy", "share"), rows)
    )
