"""Numbers as people read them, and the words of the verdict; shared by every report."""

from __future__ import annotations

import math
from collections.abc import Callable
from dataclasses import dataclass

from tokenworks.events.results import Interval, RunResult, ServiceResult, WhatIf


def short(value: float) -> str:
    """Three significant digits with k, M, G.

    >>> short(231693), short(999.7), short(0.0437), short(1e6), short(1140)
    ('232 k', '1 k', '0.0437', '1 M', '1.14 k')
    """
    if not math.isfinite(value):
        return "–"
    for factor, mark in ((1e12, " T"), (1e9, " G"), (1e6, " M"), (1e3, " k")):
        if abs(value) >= factor * 0.9995:
            return f"{value / factor:.3g}{mark}"
    if value == 0 or abs(value) >= 100:
        return f"{value:.0f}"
    return f"{value:.3g}"


def unit(value: float, name: str) -> str:
    """A short number with its unit: 96_200 W → "96.2 kW", 250 W → "250 W"."""
    said = short(value)
    return said + name if said[-1].isalpha() else f"{said} {name}"


def per_second(value: float) -> str:
    """A rate as people say it.

    >>> per_second(1113.4), per_second(0.25)
    ('1,113', '0.25')
    """
    return f"{value:,.0f}" if value >= 1000 else short(value)


def seconds(value: float) -> str:
    """A duration in the unit that suits it.

    >>> seconds(0.0315), seconds(1.5), seconds(600)
    ('31.5 ms', '1.5 s', '10 min')
    """
    if not math.isfinite(value):
        return "–"
    if value >= 120:
        return f"{value / 60:.3g} min"
    return f"{value:.3g} s" if value >= 0.9995 else f"{value * 1e3:.3g} ms"


def triple(values: tuple[float, float, float]) -> str:
    """Three rising durations in one unit, that of the last.

    >>> triple((0.0513, 0.126, 0.174)), triple((0.21, 0.783, 1.35))
    ('51.3/126/174 ms', '0.21/0.783/1.35 s')
    """
    last = values[-1]
    unit_s, mark = (60.0, "min") if last >= 120 else (1.0, "s") if last >= 0.9995 else (1e-3, "ms")
    return "/".join(f"{v / unit_s:.3g}" if math.isfinite(v) else "–" for v in values) + f" {mark}"


def usd(value: float) -> str:
    """Dollars and cents, or three significant digits of a small sum.

    >>> usd(1234.5), usd(0.0218), usd(0.14)
    ('$1,234.50', '$0.0218', '$0.140')
    """
    if not math.isfinite(value):
        return "–"
    if value >= 1 or value == 0:
        return f"${value:,.2f}"
    digits = min(12, 2 - math.floor(math.log10(abs(value))))
    return f"${value:.{digits}f}"


def percent(value: float) -> str:
    """A share; near the ends with the digit that keeps it from reading as all or nothing.

    >>> percent(0.5), percent(0.9997), percent(0.004), percent(1.0)
    ('50%', '>99.9%', '0.4%', '100%')
    """
    if not math.isfinite(value):
        return "–"
    if 0.9995 < value < 1:
        return ">99.9%"
    if 0.995 <= value < 1 or 0 < value < 0.01:
        return f"{value:.1%}" if value >= 0.0005 else "<0.1%"
    return f"{value:.0%}"


def band(interval: Interval, write: Callable[[float], str] = short) -> str:
    """The 80% interval, or nothing where it is a point.

    >>> band(Interval(266e3, 202e3, 302e3)), band(Interval(0.14, 0.12, 0.18), usd), band(Interval(1, 1, 1))
    ('202–302 k', '$0.120–0.180', '')
    """
    if interval.low == interval.high or not math.isfinite(interval.low + interval.high):
        return ""
    low, high = write(interval.low), write(interval.high)
    if low[0] == high[0] == "$":
        high = high[1:]
    _, space, name = high.rpartition(" ")
    return f"{low.removesuffix(space + name) if space else low}–{high}"


@dataclass(frozen=True)
class Figure:
    """One of the figures that lead every report."""

    label: str
    value: str
    interval: str  # 80%; empty where none is known
    note: str


def six_figures(result: RunResult) -> list[Figure]:
    """What the owner asks first."""
    money = result.money
    scopes = f"IT {short(result.tokens_per_j_it)}, site {short(result.tokens_per_j_facility)}"
    offered = sum(s.arrived for s in result.services) / result.horizon_s
    return [
        Figure(
            "output tokens/s",
            short(result.output_tokens_s.value),
            band(result.output_tokens_s) or "set by demand",
            f"{per_second(offered)} req/s",
        ),
        Figure("tokens/s/user", short(result.tokens_s_user.value), band(result.tokens_s_user), "mean"),
        Figure(
            "$/Mtok output",
            usd(result.usd_per_mtok.value),
            band(result.usd_per_mtok, usd) or "by rent, demand",
            f"blended {usd(money.usd_per_mtok_blended)}",
        ),
        Figure("tokens/J board", short(result.tokens_per_j.value), band(result.tokens_per_j), scopes),
        _power(result),
        Figure(
            "GPU time busy",
            percent(result.utilisation),
            f"{result.gpus:,} GPU{'s' * (result.gpus != 1)}",
            f"idle {usd(money.idle_usd)}",
        ),
    ]


def _power(result: RunResult) -> Figure:
    """Mean power with its interval; peak and budget."""
    drawn = result.mean_power_band
    interval = band(drawn, lambda w: unit(w, "W")) if drawn else ""
    label = f"power, {scope_name(result.power_scope)}"
    return Figure(label, unit(result.mean_power_w, "W"), interval, share_of_budget(result))


def scope_name(scope: str) -> str:
    return {"board": "GPU boards", "it": "IT", "facility": "facility"}[scope]


def share_of_budget(result: RunResult) -> str:
    if not result.power_budget_w:
        return f"peak {unit(result.peak_power_w, 'W')}"
    return f"peak {percent(result.peak_power_w / result.power_budget_w)} of {unit(result.power_budget_w, 'W')}"


def objectives(service: ServiceResult) -> list[tuple[str, float, float]]:
    """(name, measured p95, objective) of the latencies that have one."""
    pairs = [
        ("TTFT", service.ttft.p95_s, service.slo_ttft_s),
        ("TPOT", service.tpot.p95_s, service.slo_tpot_s),
    ]
    return [pair for pair in pairs if pair[2] > 0]


def missed(service: ServiceResult) -> list[str]:
    """Objectives that the measured latencies break."""
    return [name for name, measured, objective in objectives(service) if measured > objective]


def unknown(service: ServiceResult) -> bool:
    """No request of the service was measured, so nothing is known of its objectives."""
    return any(math.isnan(measured) for _, measured, _ in objectives(service))


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
    return f"{said} ({low:.0%} to {high:.0%})".replace("-", "−")


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
    said = said or [f"TTFT p95 {seconds(s.ttft.p95_s)}, TPOT p95 {seconds(s.tpot.p95_s)} (no SLO)"]
    return [*said, f"headroom {_headroom(s, horizon_s)}"]


def _overloaded(s: ServiceResult, horizon_s: float) -> list[str]:
    """An overloaded service has no steady latency to hold against an objective."""
    able = f"{per_second(s.sustainable_requests_s)} req/s"
    sure = f" ({band(s.sustainable, per_second)})" if s.sustainable else ""
    waits = f"TTFT p95 {seconds(s.ttft.p95_s)} so far and rising"
    return [f"✗ offered {per_second(s.arrived / horizon_s)} req/s, sustains {able}{sure}", waits]


def _objective(name: str, measured: float, objective: float, sure: Interval | None) -> str:
    """An objective with the 80% interval of what is held against it; "likely" where the interval holds both answers."""
    if math.isnan(measured):
        return f"{name} p95 not measured (SLO {seconds(objective)})"
    sign, mark = ("≤", "✓") if measured <= objective else (">", "✗")
    if sure is None:
        return f"{name} p95 {seconds(measured)} {sign} {seconds(objective)} {mark}"
    likely = "likely " if sure.low <= objective < sure.high else ""
    return f"{name} p95 {seconds(measured)} ({span(sure)}) {sign} {seconds(objective)} {likely}{mark}"


def span(interval: Interval) -> str:
    """An interval of durations, in one unit.

    >>> span(Interval(0.5, 0.0412, 0.126)), span(Interval(1.0, 0.783, 1.35))
    ('41.2–126 ms', '0.783–1.35 s')
    """
    low, high = triple((interval.low, interval.high, interval.high)).split("/")[:2]
    return f"{low}–{high} {seconds(interval.high).split()[-1]}"


def headroom(service: ServiceResult, horizon_s: float) -> float:
    """Share of the sustainable rate that is not used; 0 where the rate is not known."""
    if not service.sustainable_requests_s:
        return 0.0
    return max(0.0, 1 - service.arrived / horizon_s / service.sustainable_requests_s)


def effects(changes: tuple[tuple[str, float], ...], most: int = 4) -> str:
    """Effects of a change: the first one always, of the others the largest: "$/Mtok +4%, TPOT p95 −18%"."""
    rest = sorted(range(1, len(changes)), key=lambda i: -abs(changes[i][1]))[: most - 1]
    kept = [i for i in range(len(changes)) if i == 0 or (i in rest and abs(changes[i][1]) >= 0.005)]
    said = (f"{changes[i][0]} {changes[i][1]:+.0%}" for i in kept)
    return ", ".join(said).replace("-", "−").replace("+0%", "±0%").replace("−0%", "±0%")


def tried(found: WhatIf) -> str:
    """A change, what it does, and what it breaks."""
    broken = f"; but {', '.join(found.broken)}" if found.broken else ""
    return f"{found.label}: {effects(found.effects)}{broken}"


def mark(found: WhatIf) -> str:
    """✓ helps and does what is asked, ⚠ helps but not enough, – does not help."""
    return "–" if not found.helps else "⚠" if found.broken else "✓"


NOT_TRIED = "Not asked for in this run: no change was tried."
KEY = "✓ helps, ⚠ helps but not enough, – does not help."


def advice_note(result: RunResult) -> str:
    """How changes were tried, with the key to their marks; or that none was."""
    return " ".join(filter(None, [result.advice_note or NOT_TRIED, KEY if result.advice else ""]))


def advice_title(result: RunResult) -> str:
    """What the list of changes is."""
    if not result.advice:
        return "What would help most"
    helpful = any(w.helps for w in result.advice)
    return "What would help most" if helpful else "What would help: nothing that was tried; the closest"
