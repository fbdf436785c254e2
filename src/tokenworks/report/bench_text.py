"""A bench as text of at most 80 columns."""

from __future__ import annotations

import textwrap
from collections.abc import Iterator

from tokenworks.report.figures import percent, seconds, short
from tokenworks.serve.bench.bench import BenchResult
from tokenworks.serve.bench.measures import Counting, Figures
from tokenworks.serve.bench.statistic import Statistic

WIDTH = 80
SHOWN = (50, 90, 95, 99)


def bench_text(result: BenchResult) -> str:
    """The answer first, then latencies, rates, errors, and how far the figures can be trusted."""
    lines = [headline(result), result.demand.said, f"prompts: {result.lengths}", "", *latency_lines(result.figures), ""]
    lines += [f"{name:12}{said}" for name, said in facts(result)]
    return "\n".join(line for whole in lines for line in _wrapped(whole)) + "\n"


def headline(result: BenchResult) -> str:
    f = result.figures
    mark = "✗ INTERRUPTED: " if result.interrupted else "⚠ " if f.failed else "✓ "
    lost = f", {f.failed:,} failed" if f.failed else ""
    return (
        f"{mark}{result.model} at {result.url} answered {f.done:,} of {f.done + f.failed:,} requests{lost}: "
        f"{short(f.output_tokens_s)} output tokens/s, TTFT p95 {seconds(f.ttft.p(95))}, TPOT p95 {seconds(f.tpot.p(95))}"
    )


def metrics(f: Figures) -> tuple[tuple[str, Statistic], ...]:
    return ("TTFT", f.ttft), ("TPOT", f.tpot), ("ITL", f.itl), ("E2E", f.e2e)


def latency_lines(f: Figures) -> Iterator[str]:
    yield f"{'':14}{'mean':>11}" + "".join(f"{f'p{share}':>11}" for share in SHOWN) + f"{'max':>11}"
    for name, found in metrics(f):
        yield f"{name:14}" + "".join(f"{seconds(v):>11}" for v in shown(found))
    for name, found in (("input tokens", f.input_tokens), ("output tokens", f.output_tokens)):
        yield f"{name:14}" + "".join(f"{v:>11,.0f}" for v in shown(found))


def shown(found: Statistic) -> tuple[float, ...]:
    return (found.mean, *(found.p(share) for share in SHOWN), found.most)


def facts(result: BenchResult) -> Iterator[tuple[str, str]]:
    """What stands below the latencies, as (name, words)."""
    f, objectives = result.figures, result.settings.objectives
    yield (
        "rates",
        f"{f.requests_s:,.4g} req/s, {f.output_tokens_s:,.4g} output and {f.input_tokens_s:,.4g} input tokens/s",
    )
    if objectives:
        limits = [
            f"{name} ≤ {seconds(limit)}"
            for name, limit in (("TTFT", objectives.ttft_s), ("TPOT", objectives.tpot_s), ("E2E", objectives.e2e_s))
            if limit is not None
        ]
        yield (
            "goodput",
            f"{f.good / f.span_s:,.4g} req/s, {percent(f.good / (f.done + f.failed))} kept {', '.join(limits)}",
        )
    for failure in f.failures:
        yield "failed", f"{failure.count:,} × {failure.kind}" + (f": {failure.said[:120]}" if failure.said else "")
    yield "tokens", tokens_said(f.counting)
    if f.cached_share == f.cached_share:
        yield "cached", f"{percent(f.cached_share)} of the input, as the server says"
    yield "measured", _measured(result)
    yield "generator", generator_said(result)


def tokens_said(c: Counting) -> str:
    """Who counted, and whether it fits what was seen."""
    if not c.told:
        return "the server sends no usage: a chunk counts as a token (an estimate)"
    said = f"counted by the server; {c.tokens / max(1, c.chunks):.3g} tokens a chunk"
    if c.untold:
        said += f"; {c.untold:,} answers came without usage: there a chunk counts as a token"
    if c.odd:
        said += f"; in {c.odd:,} answers more chunks came than tokens were counted: the usage is wrong there"
    return said


def _measured(result: BenchResult) -> str:
    f = result.figures
    rest = [
        f"{f.warmup:,} of the warm-up left out" if f.warmup else "",
        f"{result.unfinished:,} unfinished" if result.unfinished else "",
        f"{result.never_sent:,} never sent" if result.never_sent else "",
    ]
    return ", ".join([f"{seconds(f.span_s)}, latencies from when a request was due", *filter(None, rest)])


def generator_said(result: BenchResult) -> str:
    f = result.figures
    lag = seconds(f.lag.p(99)) if f.lag.count else "–"
    return (
        f"behind its schedule p99 {seconds(f.lateness.p(99))}, its loop p99 {lag} late, {percent(result.cpu_share)} of "
        f"a core, {result.connections:,} connection{'s' * (result.connections != 1)}"
    )


def _wrapped(line: str) -> list[str]:
    indent = " " * 12 if line[:12].strip() and line[11:12] == " " else ""
    return textwrap.wrap(line, WIDTH, subsequent_indent=indent, drop_whitespace=True) if len(line) > WIDTH else [line]
