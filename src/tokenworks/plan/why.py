"""Why this answer: what holds it back, what would change it, what a little more of each limit would give.

All by the wide pass, relative to its own answer: a change is compared with what the wide pass said before it, so that its
error is on both sides.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator
from dataclasses import replace

import numpy as np

from tokenworks.plan.candidates import NONE
from tokenworks.plan.choose import Search, search
from tokenworks.plan.cost import changed
from tokenworks.plan.demand import Demand
from tokenworks.plan.describe import text_of
from tokenworks.plan.limits import Need
from tokenworks.plan.market import MAXIMISED, Market, Picks
from tokenworks.plan.result import Change, Sensitivity
from tokenworks.plan.robust import errors_of
from tokenworks.spec.service import Slo

KEPT = 600  # configurations that a what-if looks at
SWING = 0.3  # of the price of electricity
LOADS = 0.2
HARDWARE = 0.2
NEAR = 0.8  # of a limit: near enough to hold the objective back
GAIN = 0.005


def reduced(market: Market, picks: Picks) -> Market:
    """With the configurations alone that the best fleets use, and the best of every kind of system: enough for small changes
    of prices and load."""
    spaces = []
    for i, space in enumerate(market.spaces):
        t, rows = market.tables[i], picks.rows[:, i]
        kinds = t.kind[rows]
        heads = np.concatenate([np.flatnonzero(kinds == k)[:40] for k in np.unique(kinds)])
        chosen = np.unique(np.concatenate([rows[:KEPT], rows[heads]]))
        keep = np.unique(np.concatenate([t.main[chosen], t.prefill[chosen][t.prefill[chosen] != NONE]]))
        spaces.append(replace(space, wide=space.wide.take(keep)))
    return replace(market, spaces=tuple(spaces)).laid()


def first(market: Market, found: Search) -> float:
    """The first objective of the best fleet; NaN where there is none."""
    return float(found.picks.columns[market.demand.objectives[0]][0]) if found.feasible else float("nan")


def gain_of(demand: Demand, before: float, after: float) -> float:
    """Share by which the first objective gets better; below 0: worse."""
    if not np.isfinite(before + after) or before == 0 or after == 0:
        return 0.0
    return after / before - 1 if demand.objectives[0] in MAXIMISED else 1 - after / before


def tornado(market: Market, picks: Picks) -> tuple[Sensitivity, ...]:
    """Electricity, load, price of hardware and the model's own error, one at a time; the widest first."""
    small = reduced(market, picks)
    base = _answer(small)
    found = [
        _bar(small, base, f"electricity ±{SWING:.0%}", lambda f: _priced(small, energy=f), (1 - SWING, 1 + SWING)),
        _bar(
            small,
            base,
            f"GPU price or rent ±{HARDWARE:.0%}",
            lambda f: _priced(small, hardware=f),
            (1 - HARDWARE, 1 + HARDWARE),
        ),
        _bar(small, base, f"demand ±{LOADS:.0%}", lambda f: _loaded(small, f), (1 - LOADS, 1 + LOADS)),
    ]
    low, high = model_error(market, picks)
    found.append(_bar(small, base, "throughput of the model, 80%", lambda f: _slowed(small, f), (low, high)))
    return tuple(sorted((bar for bar in found if _width(bar) < -1e-9), key=_width))


def _width(bar: Sensitivity) -> float:
    """Widest first; those with an end at which nothing is left before all."""
    return -np.inf if bar.low is None or bar.high is None else -abs(bar.high - bar.low)


def model_error(market: Market, picks: Picks) -> tuple[float, float]:
    """Factors of throughput between which 80% of measurements like the answer lay (of its least known service)."""
    ends = []
    for i, space in enumerate(market.spaces):
        t, row = market.tables[i], picks.rows[0, i]
        used = [t.main[row]] + ([t.prefill[row]] if t.prefill[row] != NONE else [])
        low, high = errors_of(tuple(space.shapes[space.wide.shape[r]].deployment for r in used)).throughput
        ends.append((float(np.exp(low)), float(np.exp(high))))
    return min(low for low, _ in ends), max(high for _, high in ends)


def _answer(market: Market) -> tuple[float, str]:
    found = search(market)
    return first(market, found), text_of(market, found.picks, 0, counts=False) if found.feasible else ""


def _bar(
    market: Market, base: tuple[float, str], name: str, at: Callable[[float], Market], ends: tuple[float, float]
) -> Sensitivity:
    low, high = _answer(at(ends[0])), _answer(at(ends[1]))
    said = lambda factor: f"{factor - 1:+.0%}".replace("-", "−")  # noqa: E731
    values = [value if np.isfinite(value) else None for value, _ in (low, high)]
    return Sensitivity(name, values[0], values[1], said(ends[0]), said(ends[1]), low[1] == base[1], high[1] == base[1])


def _priced(market: Market, energy: float = 1.0, hardware: float = 1.0) -> Market:
    return replace(market, prices=tuple(changed(of, energy, hardware) for of in market.prices))


def _loaded(market: Market, factor: float) -> Market:
    spaces = tuple(replace(s, asked=replace(s.asked, rate_s=s.asked.rate_s * factor)) for s in market.spaces)
    return replace(market, spaces=spaces).laid()


def _slowed(market: Market, factor: float) -> Market:
    return replace(market, slower=tuple(s * factor for s in market.slower)).laid()


def binding(market: Market, needs: list[Need], before: float) -> tuple[Change, ...]:
    """Limits that the answer is near, and what a tenth more of each would give: the price of the limit."""
    found = []
    for need in needs:
        use = float(need.needs[0] / need.limit)
        if use >= NEAR and need.field:
            after = search(_moved(market, need, 1.1))
            value = first(market, after)
            said = (
                f"{use:.0%} used in the wide pass; 10% more gives {gain_of(market.demand, before, value):+.1%}".replace(
                    "-", "−"
                )
            )
            found.append(Change(need.name, value, gain_of(market.demand, before, value), said))
    return tuple(sorted(found, key=lambda c: -c.gain))


def changes(market: Market, before: float) -> tuple[Change, ...]:
    """What could be asked for instead, the most rewarding first."""
    found = []
    for name, other in _others(market):
        done = search(other)
        gain = gain_of(market.demand, before, first(market, done))
        if done.feasible and gain > GAIN:
            found.append(Change(name, first(market, done), gain, text_of(other, done.picks, 0)))
    return tuple(sorted(found, key=lambda c: -c.gain))


def _others(market: Market) -> Iterator[tuple[str, Market]]:
    demand = market.demand
    for space in market.spaces:
        s = space.asked.service
        for key, label, factor in (
            ("ttft_p95_s", "TTFT p95", 1.5),
            ("tpot_p95_s", "TPOT p95", 1.25),
            ("e2e_p95_s", "E2E p95", 1.25),
        ):
            limit = getattr(s.slo, key)
            if limit:
                yield (
                    f"{s.name}: {label} {_sec(limit)} → {_sec(limit * factor)}",
                    _with_slo(market, s.name, {key: limit * factor}),
                )
    if demand.headroom > 0.05 and not market.robust:  # its margins leave 5% where the model is wrong
        eased = demand.model_copy(update={"headroom": 0.05})
        yield f"headroom {demand.headroom:.0%} → 5%", replace(market, demand=eased).laid()


def _sec(value: float) -> str:
    return f"{value:.3g} s" if value >= 1 else f"{value * 1e3:.3g} ms"


def _with_slo(market: Market, service: str, update: dict[str, float]) -> Market:
    spaces = []
    for space in market.spaces:
        if space.asked.service.name == service:
            slo: Slo = space.asked.service.slo.model_copy(update=update)
            ask = replace(space.asked.ask, ttft_s=slo.ttft_p95_s, tpot_s=slo.tpot_p95_s, e2e_s=slo.e2e_p95_s)
            space = replace(space, asked=replace(space.asked, ask=ask))
        spaces.append(space)
    return replace(market, spaces=tuple(spaces))


def _moved(market: Market, need: Need, factor: float) -> Market:
    """With one limit moved."""
    part, _, key = need.field.rpartition(".")
    demand = market.demand
    if part.startswith("services."):
        return _with_slo(market, part.split(".")[1], {f"{key}_s": need.limit * factor})
    if key == "budget":
        site = demand.planned_site
        power = site.power.model_copy(update={"budget_w": site.power.budget_w * factor})
        limits = demand.limits.model_copy(update={"power": None})
        demand = demand.model_copy(update={"site": site.model_copy(update={"power": power}), "limits": limits})
    else:
        name = {"capex": "capex_usd", "usd_per_hour": "usd_h", "co2": "carbon_g_mtok"}.get(key, key)
        limit = need.limit * factor
        value = int(np.ceil(limit)) if name in ("gpus", "systems") else limit
        demand = demand.model_copy(update={"limits": demand.limits.model_copy(update={name: value})})
    return replace(market, demand=demand)
