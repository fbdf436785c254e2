"""A bench as one page: latency curves, rates over time, the table, how far it can be trusted."""

from __future__ import annotations

from html import escape

import numpy as np

from tokenworks.report import svg
from tokenworks.report.bench_text import SHOWN, facts, headline, metrics, shown
from tokenworks.report.figures import percent, seconds, short
from tokenworks.report.page_charts import figure
from tokenworks.report.page_frame import frame, section
from tokenworks.serve.bench.answer import Answer
from tokenworks.serve.bench.bench import BenchResult

Floats = np.typing.NDArray[np.float64]
BUCKETS = 60
BINS = 160  # of a latency curve


def bench_page(result: BenchResult) -> str:
    """The whole page."""
    tone = "bad" if result.interrupted else "warn" if result.figures.failed else "good"
    rows = "".join(f"<tr><td class=w>{escape(name)}</td><td>{escape(said)}</td></tr>" for name, said in facts(result))
    about = f"{result.demand.said}; prompts: {result.lengths}; {result.started[:19]} UTC"
    body = (
        _cards(result)
        + section(
            "How long requests took",
            f'<div class="charts">{_curves(result)}</div>{_table(result)}',
            "Latencies count from when a request was due, not from when it was sent.",
        )
        + section(
            "What happened when",
            f'<div class="charts">{_timelines(result)}</div>',
            "Move over a chart, or focus it and use the arrow keys.",
        )
        + section("How far this can be trusted", f'<div class="scroll"><table>{rows}</table></div>')
    )
    return frame(f"Bench of {result.model}", headline(result), tone, body, about)


def _cards(result: BenchResult) -> str:
    f = result.figures
    cards = [
        ("output tokens/s", short(f.output_tokens_s), f"{f.requests_s:,.3g} req/s"),
        ("TTFT p95", seconds(f.ttft.p(95)), f"p50 {seconds(f.ttft.p(50))}"),
        ("TPOT p95", seconds(f.tpot.p(95)), f"p50 {seconds(f.tpot.p(50))}"),
        ("E2E p95", seconds(f.e2e.p(95)), f"p50 {seconds(f.e2e.p(50))}"),
        ("answered", percent(f.done / (f.done + f.failed)), f"{f.failed:,} of {f.done + f.failed:,} failed"),
    ]
    if result.settings.objectives:
        cards.append(("goodput", f"{f.good / f.span_s:,.3g} req/s", percent(f.good / (f.done + f.failed))))
    drawn = "".join(
        f'<div class="card"><span>{escape(a)}</span><b>{escape(b)}</b><small>{escape(c)}</small></div>'
        for a, b, c in cards
    )
    return f'<div class="cards">{drawn}</div>'


def _done(result: BenchResult) -> list[Answer]:
    return [a for a in result.answers if not a.error and a.at_s >= result.settings.warmup_s]


def _curves(result: BenchResult) -> str:
    done, limits = _done(result), result.settings.objectives
    drawn = []
    for name, title, limit in (
        ("ttft_s", "Time to first token", limits.ttft_s),
        ("tpot_s", "Time per output token", limits.tpot_s),
        ("e2e_s", "End to end", limits.e2e_s),
    ):
        values = np.array([getattr(a, name) for a in done])
        values = np.maximum(values[~np.isnan(values)], 1e-5)
        curves = [_binned(title, values)] if len(values) else []
        drawn.append(figure(title, svg.cdf(title, curves, [(limit, 0)] if limit else [])))
    return "".join(drawn)


def _binned(title: str, values: Floats) -> svg.Series:
    edges = np.geomspace(values.min() * 0.999, values.max() * 1.001, BINS + 1)
    counts, _ = np.histogram(values, edges)
    return svg.Series(title, edges, counts.astype(float), 0)


def _table(result: BenchResult) -> str:
    head = "".join(f'<th class="n">{name}</th>' for name in ("mean", *(f"p{s}" for s in SHOWN), "max"))
    rows = "".join(
        f"<tr><td>{name}</td>" + "".join(f'<td class="n">{seconds(v)}</td>' for v in shown(found)) + "</tr>"
        for name, found in metrics(result.figures)
    )
    return f'<div class="scroll"><table><thead><tr><th></th>{head}</tr></thead><tbody>{rows}</tbody></table></div>'


def _timelines(result: BenchResult) -> str:
    answers = result.answers
    end_s = max(max(a.end_s for a in answers), 1e-3)
    edges = np.linspace(0.0, end_s, BUCKETS + 1)
    width = end_s / BUCKETS
    count = lambda times: np.histogram(times, edges)[0].astype(float)  # noqa: E731
    due, ended = count([a.at_s for a in answers]), count([a.end_s for a in answers])
    failed = count([a.end_s for a in answers if a.error])
    stamps = [np.frombuffer(a.stamps_s, np.float64) for a in answers if a.chunks]
    weights = [np.full(a.chunks, a.tokens / a.chunks) for a in answers if a.chunks]
    tokens = np.histogram(np.concatenate(stamps), edges, weights=np.concatenate(weights))[0] / width
    line = lambda name, y, colour: svg.Series(name, edges[:-1], y, colour)  # noqa: E731
    charts = (
        ("Output tokens per second", [line("tokens/s", tokens, 0)]),
        ("Requests in flight", [line("in flight", np.cumsum(due - ended), 1)]),
        (
            "Requests per second",
            [line("due", due / width, 0), line("ended", ended / width, 2), line("failed", failed / width, 3)],
        ),
    )
    return "".join(figure(title, svg.timeline(title, series), read=True) for title, series in charts)
