"""The table of services in the HTML report: one column per service, so that it fits paper and phones."""

from __future__ import annotations

import math
from collections.abc import Callable
from html import escape

from tokenworks.events.results import Interval, RunResult, ServiceResult
from tokenworks.report.figures import band, per_second, percent, short, span, triple, usd

Cell = Callable[[ServiceResult, RunResult], str]


def _offered(s: ServiceResult, r: RunResult) -> str:
    return f"{per_second(s.arrived / r.horizon_s)} req/s"


def _sustains(s: ServiceResult, r: RunResult) -> str:
    return f"{per_second(s.sustainable_requests_s)} req/s" if s.sustainable_requests_s else "–"


def _span(interval: Interval | None) -> str:
    return span(interval) if interval and math.isfinite(interval.high) else "–"


def _goodput(s: ServiceResult, r: RunResult) -> str:
    return f"{percent(s.within_slo / s.finished)} of finished" if s.finished else "–"


def _cached(s: ServiceResult, r: RunResult) -> str:
    return percent(s.cached_tokens / s.input_tokens) if s.input_tokens else "–"


def _price(s: ServiceResult, r: RunResult) -> str:
    paid = r.money.by_service_usd[r.services.index(s)]
    return usd(paid / s.output_tokens * 1e6) if s.output_tokens else "–"


ROWS: tuple[tuple[str, tuple[tuple[str, Cell], ...]], ...] = (
    (
        "Demand",
        (
            ("GPUs, workers", lambda s, _: f"{s.gpus:,}, {s.workers:,}"),
            ("arrived", lambda s, _: f"{s.arrived:,}"),
            ("finished", lambda s, _: f"{s.finished:,}"),
            ("offered", _offered),
            ("sustainable", _sustains),
            ("sustainable, 80%", lambda s, _: band(s.sustainable, per_second) if s.sustainable else "–"),
        ),
    ),
    (
        "Quality",
        (
            ("within every objective", _goodput),
            ("TTFT p50/95/99", lambda s, _: triple((s.ttft.p50_s, s.ttft.p95_s, s.ttft.p99_s))),
            ("TTFT p95, 80%", lambda s, _: _span(s.ttft_p95)),
            ("TPOT p50/95/99", lambda s, _: triple((s.tpot.p50_s, s.tpot.p95_s, s.tpot.p99_s))),
            ("TPOT p95, 80%", lambda s, _: _span(s.tpot_p95)),
            ("end to end p50/95/99", lambda s, _: triple((s.e2e.p50_s, s.e2e.p95_s, s.e2e.p99_s))),
        ),
    ),
    (
        "Tokens",
        (
            ("input", lambda s, _: short(s.input_tokens)),
            ("of it from a prefix cache", _cached),
            ("output", lambda s, _: short(s.output_tokens)),
            ("$/Mtok output, own GPUs", _price),
        ),
    ),
    (
        "Machine",
        (
            ("busy", lambda s, _: percent(s.busy_share)),
            ("sequences per step", lambda s, _: short(s.mean_batch)),
            ("KV cache in use", lambda s, _: percent(s.kv_use)),
            ("waiting, mean", lambda s, _: short(s.mean_waiting)),
            ("bottleneck", lambda s, _: s.bottleneck or "–"),
        ),
    ),
    (
        "Lost",
        (
            ("preempted", lambda s, _: f"{s.preemptions:,}"),
            ("rejected: queue full", lambda s, _: f"{s.rejected_queue_full:,}"),
            ("rejected: too long", lambda s, _: f"{s.rejected_too_long:,}"),
            ("timed out", lambda s, _: f"{s.timed_out:,}"),
            ("unfinished at the end", lambda s, _: f"{s.in_system:,}"),
        ),
    ),
)


def table(result: RunResult) -> str:
    """All services side by side."""
    head = "".join(f'<th class="n" scope="col">{escape(s.name)}</th>' for s in result.services)
    width = len(result.services) + 1
    body = []
    for group, rows in ROWS:
        body.append(f'<tr class="group"><th colspan="{width}" scope="colgroup">{group}</th></tr>')
        for name, cell in rows:
            cells = "".join(f'<td class="n">{escape(cell(s, result))}</td>' for s in result.services)
            body.append(f"<tr><td>{escape(name)}</td>{cells}</tr>")
    top = f"<thead><tr><th></th>{head}</tr></thead>"
    return f'<div class="scroll"><table>{top}<tbody>{"".join(body)}</tbody></table></div>'
