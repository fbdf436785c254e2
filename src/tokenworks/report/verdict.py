"""The words of the verdict: does the factory do what is asked of it, what limits it, and how sure that is."""

from __future__ import annotations

import math

from tokenworks.events.results import Interval, RunResult, ServiceResult
from tokenworks.rehearsal.objectives import missed, objectives, unknown
from tokenworks.report.figures import band, per_second, percent, seconds, span, unit


def state(result: RunResult) -> str:
    """good, warn (an objective is missed) or bad (overloaded, cut short)."""
    if result.overloaded or result.interrupted:
        return "bad"
    over_budget = bool(result.power_budget_w) and result.peak_power_w > result.power_budget_w
    return "warn" if over_budget or any(missed(s) or unknown(s) for s in result.services) else "good"


def verdict(result: RunResult) -> str:
    """One sentence, the answer first: does the factory do what is asked of it."""
    if result.interrupted:
        return "✗ INTERRUPTED: what follows covers only the part of the run that was done."
    if result.overloaded:
        return f"✗ OVERLOADED: {'; '.join(_overload(result, s) for s in result.services if s.saturated)}."
    late = [f"{' and '.join(missed(s))} of {s.name}" for s in result.services if missed(s)]
    if late:
        return f"⚠ Sustains the load but misses its objective: {', '.join(late)}; {_limit(result)}."
    silent = [s.name for s in result.services if unknown(s)]
    if silent:
        return f"⚠ No finished request of {', '.join(silent)} was measured: is the horizon longer than the warm-up?"
    if result.power_budget_w and result.peak_power_w > result.power_budget_w:
        return f"⚠ Sustains the load but its peak, {unit(result.peak_power_w, 'W')}, is above the power budget."
    within = " within every objective" if any(objectives(s) for s in result.services) else ""
    return f"✓ Sustains the load{within}; {_limit(result)}."


def _limit(result: RunResult) -> str:
    """The service with the least headroom, what limits it, and how much is left."""
    least = min(result.services, key=lambda s: headroom(s, result.horizon_s))
    name = f"{least.name}, " if len(result.services) > 1 else ""
    limit = f"bottleneck: {name}{least.bottleneck}; " if least.bottleneck else ""
    return f"{limit}headroom {_headroom(least, result.horizon_s)}"


def _headroom(s: ServiceResult, horizon_s: float) -> str:
    """Headroom with its 80% interval; a negative end says that it may not sustain the load."""
    said = percent(headroom(s, horizon_s))
    if not s.sustainable or not s.sustainable.low:
        return said
    offered = s.arrived / horizon_s
    low, high = (1 - offered / rate for rate in (s.sustainable.low, s.sustainable.high))
    return f"{said} (80%: {low:.0%} to {high:.0%})".replace("-", "−")


def _overload(result: RunResult, service: ServiceResult) -> str:
    offered = service.arrived / result.horizon_s
    return (
        f"{service.name} sustains {per_second(service.sustainable_requests_s)} req/s, offered {per_second(offered)}; "
        "its queue grows without end and its latencies are no steady state"
    )


def service_lines(result: RunResult) -> list[tuple[str, str]]:
    """(service, objectives met or missed, bottleneck, headroom) for the lines under the verdict."""
    lines = []
    for s in result.services:
        said = _overloaded(s, result.horizon_s) if s.saturated else _steady(s, result.horizon_s)
        if s.bottleneck:
            said.append(f"limit: {s.bottleneck}")
        lines.append((s.name, "; ".join(said)))
    return lines


def _steady(s: ServiceResult, horizon_s: float) -> list[str]:
    sure = {"TTFT": s.ttft_p95, "TPOT": s.tpot_p95}
    said = [_objective(*goal, sure[goal[0]]) for goal in objectives(s)]
    said = said or [f"{_known('TTFT', s.ttft.p95_s, s.ttft_p95)}; {_known('TPOT', s.tpot.p95_s, s.tpot_p95)} (no SLO)"]
    return [*said, f"headroom {_headroom(s, horizon_s)}"]


def _overloaded(s: ServiceResult, horizon_s: float) -> list[str]:
    """An overloaded service has no steady latency to hold against an objective."""
    able = f"{per_second(s.sustainable_requests_s)} req/s"
    sure = f" (80%: {band(s.sustainable, per_second)})" if s.sustainable else ""
    waits = f"TTFT p95 {seconds(s.ttft.p95_s)} so far and rising"
    return [f"✗ offered {per_second(s.arrived / horizon_s)} req/s, sustains {able}{sure}", waits]


def _objective(name: str, measured: float, objective: float, sure: Interval | None) -> str:
    """An objective with the 80% interval of what is held against it; "likely" where the interval holds both answers."""
    if math.isnan(measured):
        return f"{name} p95 not measured (SLO {seconds(objective)})"
    sign, mark = ("≤", "✓") if measured <= objective else (">", "✗")
    likely = "likely " if sure and sure.low <= objective < sure.high else ""
    return f"{_known(name, measured, sure)}{',' if sure else ''} {sign} {seconds(objective)} {likely}{mark}"


def _known(name: str, measured: float, sure: Interval | None) -> str:
    """A 95th percentile with its 80% interval, where one is known."""
    said = f"{name} p95 {seconds(measured)}"
    return f"{said}, 80%: {span(sure)}" if sure and not math.isnan(measured) else said


def headroom(service: ServiceResult, horizon_s: float) -> float:
    """Share of the sustainable rate that is not used; 0 where the rate is not known."""
    if not service.sustainable_requests_s:
        return 0.0
    return max(0.0, 1 - service.arrived / horizon_s / service.sustainable_requests_s)
