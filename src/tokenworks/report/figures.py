"""Numbers as people read them, shared by every report."""

from __future__ import annotations

import math

from tokenworks.events.results import Interval, RunResult


def short(value: float) -> str:
    """Three significant digits with k, M, G: 231693 → "232 k"."""
    if not math.isfinite(value):
        return "–"
    for factor, mark in ((1e12, " T"), (1e9, " G"), (1e6, " M"), (1e3, " k")):
        if abs(value) >= factor * 0.9995:
            return f"{value / factor:.3g}{mark}"
    if value == 0 or abs(value) >= 100:
        return f"{value:.0f}"
    return f"{value:.3g}"


def seconds(value: float) -> str:
    """A duration in the unit that suits it."""
    if not math.isfinite(value):
        return "–"
    if value >= 120:
        return f"{value / 60:.3g} min"
    return f"{value:.3g} s" if value >= 1 else f"{value * 1e3:.3g} ms"


def usd(value: float) -> str:
    if not math.isfinite(value):
        return "–"
    return f"${value:,.2f}" if value >= 1 else f"${value:.3g}"


def band(interval: Interval, write: object = None) -> str:
    """The 80% interval, or nothing where it is a point."""
    form = write if callable(write) else short
    return "" if interval.low == interval.high else f"{form(interval.low)}–{form(interval.high)}"


def six_figures(result: RunResult) -> list[tuple[str, str, str]]:
    """(label, value, interval) of the six figures that lead every report."""
    power = f"{short(result.mean_power_w)}W"
    budget = f"of {short(result.power_budget_w)}W {result.power_scope}" if result.power_budget_w else result.power_scope
    scopes = f"IT {short(result.tokens_per_j_it)}, facility {short(result.tokens_per_j_facility)}"
    return [
        ("output tokens/s", short(result.output_tokens_s.value), band(result.output_tokens_s)),
        ("tokens/s/user", short(result.tokens_s_user.value), band(result.tokens_s_user)),
        (
            "$/Mtok output",
            usd(result.usd_per_mtok.value),
            band(result.usd_per_mtok, usd) or f"blended {usd(result.money.usd_per_mtok_blended)}",
        ),
        ("tokens/J board", short(result.tokens_per_j.value), band(result.tokens_per_j) or scopes),
        ("power", power, budget),
        ("GPUs busy", f"{result.utilisation:.0%}", f"{result.gpus} GPUs"),
    ]


def verdict(result: RunResult) -> str:
    """One sentence: does the factory do what is asked of it."""
    if result.interrupted:
        return "Interrupted: what follows covers only part of the run."
    if result.overloaded:
        late = [s for s in result.services if s.saturated]
        names = ", ".join(
            f"{s.name} (sustains {short(s.sustainable_requests_s)} req/s, offered {short(s.arrived / result.horizon_s)})"
            for s in late
        )
        return f"OVERLOADED: {names}. Queues grow without end; latencies below are not a steady state."
    parts = []
    for s in result.services:
        objectives = [("TTFT", s.ttft.p95_s, s.slo_ttft_s), ("TPOT", s.tpot.p95_s, s.slo_tpot_s)]
        said = [
            f"{name} p95 {seconds(v)} (SLO {seconds(o)} {'✓' if v <= o else '✗'})" for name, v, o in objectives if o
        ]
        parts.append(
            f"{s.name}: {', '.join(said) or 'no SLO'}; bottleneck {s.bottleneck}; headroom {headroom(result, s.name):.0%}"
        )
    return "Sustains the load. " + ". ".join(parts) + "."


def headroom(result: RunResult, service: str) -> float:
    """Share of the sustainable rate that is not used."""
    s = next(s for s in result.services if s.name == service)
    offered = s.arrived / result.horizon_s
    return max(0.0, 1 - offered / s.sustainable_requests_s) if s.sustainable_requests_s else 0.0
