"""The HTML report: one self-contained page, no network, right in light and dark, on paper and on a phone."""

from __future__ import annotations

from html import escape

from tokenworks.events.results import RunResult, ServiceResult, Share
from tokenworks.report import svg
from tokenworks.report.figures import seconds, short, six_figures, usd, verdict
from tokenworks.report.page_style import SCRIPT, STYLE


def page(result: RunResult) -> str:
    """The whole page."""
    sections = [
        _head(result),
        _section(
            "What happened when",
            _timelines(result),
            "Move over a chart, or focus it and use the arrow keys: all charts show the same moment.",
        ),
        _section(
            "How long requests took",
            _latencies(result),
            "Dashed lines are the services' objectives for the 95th percentile.",
        ),
        _section("Services", _services(result)),
        _section("Where a joule goes", _energy(result)),
        _section("Where a dollar goes", _money(result)),
        _section("What this rests on", _assumptions(result)),
        _section("How sure is this", _sure(result)),
    ]
    body = "\n".join(sections)
    return (
        f'<!doctype html><html lang="en"><head><meta charset="utf-8">'
        f'<meta name="viewport" content="width=device-width, initial-scale=1"><title>{escape(result.factory)} – Tokenworks</title>'
        f"<style>{STYLE}</style></head><body><main>{body}</main><script>{SCRIPT}</script></body></html>"
    )


def _section(title: str, body: str, note: str = "") -> str:
    said = f'<p class="note">{escape(note)}</p>' if note else ""
    return f"<section><h2>{escape(title)}</h2>{said}{body}</section>"


def _head(result: RunResult) -> str:
    state = "bad" if result.overloaded or result.interrupted else "good"
    cards = "".join(
        f'<div class="card"><span>{escape(name)}</span><b>{escape(value)}</b><small>{escape(note)}</small></div>'
        for name, value, note in six_figures(result)
    )
    return (
        f'<header><button id="mode" title="light or dark" aria-label="switch light and dark">◐</button><h1>{escape(result.factory)}</h1>'
        f'<p class="note">{escape(result.title)}; {result.horizon_s:.0f} s of factory time, seed {result.seed}</p>'
        f'<p class="verdict {state}">{escape(verdict(result))}</p><div class="cards">{cards}</div>'
        f'<p class="note">{escape(result.trace_note)}</p></header>'
    )


def _legend(names: list[str]) -> str:
    items = "".join(f'<li><i class="key c{i}"></i>{escape(name)}</li>' for i, name in enumerate(names))
    return f'<ul class="legend">{items}</ul>'


def _timelines(result: RunResult) -> str:
    t, names = result.timeline, [s.name for s in result.services]
    series = lambda values: [svg.Series(n, t.time_s, values[i], i) for i, n in enumerate(names)]  # noqa: E731
    charts = [
        (
            "Output tokens per second",
            svg.timeline("Output tokens per second", "tokens/s", series(t.output_tokens_s)),
        ),
        ("Requests waiting", svg.timeline("Requests waiting", "requests", series(t.waiting))),
        ("KV cache in use", svg.timeline("KV cache in use", "%", series(t.kv_use * 100))),
        ("Power", _power(result)),
    ]
    drawn = "".join(f"<figure><figcaption>{escape(title)}</figcaption>{chart}</figure>" for title, chart in charts)
    return _legend(names) + f'<div class="charts">{drawn}</div><p id="moment" class="note" aria-live="polite"></p>'


def _power(result: RunResult) -> str:
    t = result.timeline
    board = t.board_w.sum(axis=0)
    lines = [
        svg.Series("facility", t.time_s, t.facility_w / 1e3, 2),
        svg.Series("IT", t.time_s, t.it_w / 1e3, 1),
        svg.Series("GPU boards", t.time_s, board / 1e3, 0),
    ]
    budget = result.power_budget_w / 1e3
    return svg.timeline(
        "Power: facility, IT, GPU boards", "kW", lines, budget, f"budget ({result.power_scope})", named=True
    )


def _latencies(result: RunResult) -> str:
    figures = []
    for key, title in (
        ("ttft", "Time to first token"),
        ("tpot", "Time per output token"),
        ("e2e", "End to end"),
    ):
        curves = [
            (s.name, getattr(s, key).bin_edges_s, getattr(s, key).bin_counts, i) for i, s in enumerate(result.services)
        ]
        limits = [(getattr(s, f"slo_{key}_s", 0.0), i) for i, s in enumerate(result.services)]
        chart = svg.cdf(title, curves, [(v, i) for v, i in limits if v])
        figures.append(f"<figure><figcaption>{title}</figcaption>{chart}</figure>")
    return _legend([s.name for s in result.services]) + f'<div class="charts">{"".join(figures)}</div>'


_COLUMNS = (
    "service", "GPUs", "requests", "in SLO", "TTFT p50", "p95", "p99", "TPOT p50", "p95", "p99", "waiting", "batch",
    "KV", "busy", "cached", "preempted", "rejected", "timed out", "sustains",
)  # fmt: skip


def _services(result: RunResult) -> str:
    head = "".join(f"<th>{c}</th>" for c in _COLUMNS)
    rows = "".join(f"<tr>{''.join(f'<td>{escape(c)}</td>' for c in _cells(s))}</tr>" for s in result.services)
    return f'<div class="scroll"><table><thead><tr>{head}</tr></thead><tbody>{rows}</tbody></table></div>'


def _cells(s: ServiceResult) -> list[str]:
    lat = [seconds(v) for part in (s.ttft, s.tpot) for v in (part.p50_s, part.p95_s, part.p99_s)]
    good = f"{s.within_slo / s.finished:.1%}" if s.finished else "–"
    cached = f"{s.cached_tokens / s.input_tokens:.0%}" if s.input_tokens else "–"
    lost = s.rejected_queue_full + s.rejected_too_long
    counts = [
        f"{s.preemptions:,}",
        f"{lost:,}",
        f"{s.timed_out:,}",
        f"{short(s.sustainable_requests_s)} req/s",
    ]
    return [
        s.name, f"{s.gpus}", f"{s.arrived:,}", good, *lat, short(s.mean_waiting), short(s.mean_batch), f"{s.kv_use:.0%}",
        f"{s.busy_share:.0%}", cached, *counts,
    ]  # fmt: skip


def _energy(result: RunResult) -> str:
    parts = {p.label: p for p in result.energy.parts}
    children = lambda name: [p for p in result.energy.parts if p.parent == name]  # noqa: E731
    columns: list[list[tuple[str, float, str, int]]] = [[("grid", result.energy.facility_j, "", 5)]]
    columns.append([(p.label, p.value, "grid", _tone(p)) for p in reversed(children("facility"))])
    columns.append([(p.label, p.value, "IT", _tone(p)) for p in reversed(children("IT"))])
    columns.append([(p.label, p.value, "GPU boards", _tone(p)) for p in children("GPU boards")])
    text = (
        f"{short(result.energy.facility_j / 3.6e6)}kWh at the meter; tokens per joule: board {short(result.tokens_per_j.value)}, "
        f"IT {short(result.tokens_per_j_it)}, facility {short(result.tokens_per_j_facility)}; carbon {short(result.carbon_kg)} kg, water {short(result.water_l)} l"
    )
    assert "IT" in parts
    return f'<figure class="wide">{svg.sankey("Energy from the grid to tokens", columns)}</figure><p class="note">{escape(text)}</p>'


def _tone(part: Share) -> int:
    useful = {"IT": 0, "GPU boards": 0, "prefill": 1, "decode": 2}
    return useful.get(part.label, 5)


def _money(result: RunResult) -> str:
    parts = [
        (p.label, p.value, f"{usd(p.value)} ({p.value / (result.money.total_usd or 1):.0%})")
        for p in result.money.parts
    ]
    m = result.money
    rows = [
        ("per million output tokens", m.usd_per_mtok_output),
        ("per million tokens, blended", m.usd_per_mtok_blended),
        ("per million input tokens (prefill's share)", m.usd_per_mtok_input),
    ]
    table = "".join(f"<tr><td>{name}</td><td>{usd(value)}</td></tr>" for name, value in rows)
    shares = "".join(
        f"<tr><td>{escape(s.name)}</td><td>{usd(v)}</td></tr>"
        for s, v in zip(result.services, m.by_service_usd, strict=True)
    )
    chart = svg.waterfall("Cost of the run", parts)
    return f'<figure class="wide">{chart}</figure><table class="small"><tbody>{table}{shares}</tbody></table>'


def _assumptions(result: RunResult) -> str:
    rows = "".join(
        f"<tr><td>{escape(a.what)}</td><td>{escape(a.value)}</td><td>{escape(a.status)}</td><td>{escape(a.date)}</td><td>{escape(a.source)}</td></tr>"
        for a in result.assumptions
    )
    head = "<tr><th>fact</th><th>value</th><th>status</th><th>date</th><th>source</th></tr>"
    return f'<div class="scroll"><table><thead>{head}</thead><tbody>{rows}</tbody></table></div>'


def _sure(result: RunResult) -> str:
    said = result.accuracy_note or "No interval is shown for this run: its mode or metric has no tested residuals."
    return f"<p>{escape(said)}</p>"
