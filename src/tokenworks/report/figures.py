"""Numbers as people read them, and the six that lead every report."""

from __future__ import annotations

import math
from collections.abc import Callable
from dataclasses import dataclass

from tokenworks.events.results import Interval, RunResult


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

    >>> usd(1234.5), usd(0.0218), usd(0.14), usd(-120)
    ('$1,234.50', '$0.0218', '$0.140', '−$120.00')
    """
    if not math.isfinite(value):
        return "–"
    if value < 0:
        return f"−{usd(-value)}"
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


def span(interval: Interval) -> str:
    """An interval of durations, in one unit.

    >>> span(Interval(0.5, 0.0412, 0.126)), span(Interval(1.0, 0.783, 1.35))
    ('41.2–126 ms', '0.783–1.35 s')
    """
    low, high = triple((interval.low, interval.high, interval.high)).split("/")[:2]
    return f"{low}–{high} {seconds(interval.high).split()[-1]}"


def sure(interval: Interval | None, write: Callable[[float], str] = short) -> str:
    """An 80% interval that says what it is, or nothing.

    >>> sure(Interval(266e3, 202e3, 302e3)), sure(None)
    ('80%: 202–302 k', '')
    """
    said = band(interval, write) if interval else ""
    return f"80%: {said}" if said else ""


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
            sure(result.output_tokens_s) or "set by demand",
            f"{per_second(offered)} req/s",
        ),
        Figure("tokens/s/user", short(result.tokens_s_user.value), sure(result.tokens_s_user), "mean"),
        Figure(
            "$/Mtok output",
            usd(result.usd_per_mtok.value),
            sure(result.usd_per_mtok, usd) or "by rent, demand",
            f"blended {usd(money.usd_per_mtok_blended)}",
        ),
        Figure("tokens/J board", short(result.tokens_per_j.value), sure(result.tokens_per_j), scopes),
        _power(result),
        Figure(
            "GPUs busy",
            percent(result.utilisation),
            f"{result.gpus:,} GPU{'s' * (result.gpus != 1)}",
            f"idle {usd(money.idle_usd)}",
        ),
    ]


def _power(result: RunResult) -> Figure:
    """Mean power with its interval; peak and budget."""
    drawn = result.mean_power_band
    interval = sure(drawn, lambda w: unit(w, "W"))
    label = f"power, {scope_name(result.power_scope)}"
    return Figure(label, unit(result.mean_power_w, "W"), interval, share_of_budget(result))


def scope_name(scope: str) -> str:
    return {"board": "GPU boards", "it": "IT", "facility": "facility"}[scope]


def share_of_budget(result: RunResult) -> str:
    if not result.power_budget_w:
        return f"peak {unit(result.peak_power_w, 'W')}"
    return f"peak {percent(result.peak_power_w / result.power_budget_w)} of {unit(result.power_budget_w, 'W')}"
