"""A roadmap as a result: what to do in every period, what it costs, and what each way to serve was seen to do."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np

from tokenworks.economics.capital import straight_line_usd_s
from tokenworks.plan.fleet.file import month_text
from tokenworks.plan.fleet.make import Made


@dataclass(frozen=True)
class Step:
    """One period. Counts of systems are by name; dollars are those of the day."""

    month: str
    demand_s: dict[str, float]  # requests per second by service
    capacity_s: dict[str, float]  # of the units that run, at the planned headroom
    there: dict[str, int]
    bought: dict[str, int]  # or contracts begun
    sold: dict[str, int]
    running: dict[str, int]  # units by configuration
    power_w: float  # at the meter; rented systems' is not the site's
    usd: dict[str, float]
    usd_per_mtok: float  # of this period: hardware by what it lost in value


@dataclass(frozen=True)
class Seen:
    """A way to serve, rehearsed in the twin."""

    service: str
    system: str
    configuration: str
    units: int
    rate_s: float
    ttft_p95_s: float
    tpot_p95_s: float
    believed: float  # share of the wide pass's rate that rehearsals confirmed


@dataclass(frozen=True)
class RoadmapResult:
    name: str
    demand: str
    period: str
    steps: tuple[Step, ...]
    seen: tuple[Seen, ...]
    npv_usd: float
    bound_usd: float
    value_usd: float  # of what is owned at the end
    discount: float
    rounds: int
    notes: tuple[str, ...]

    @property
    def gap(self) -> float:
        return max(0.0, 1 - self.bound_usd / self.npv_usd) if self.npv_usd > 0 else 0.0

    def systems(self) -> tuple[str, ...]:
        """Kinds of systems that are ever there."""
        return tuple(dict.fromkeys(name for step in self.steps for name in step.there))


def result_of(made: Made) -> RoadmapResult:
    problem, schedule = made.problem, made.schedule
    return RoadmapResult(
        made.roadmap.name,
        made.demand.name,
        made.roadmap.period,
        tuple(_step(made, t) for t in range(problem.periods)),
        tuple(_seen(made, i) for i in range(len(made.checks))),
        schedule.npv_usd,
        schedule.bound_usd,
        schedule.value_usd,
        made.roadmap.discount,
        made.rounds,
        made.notes,
    )


def _step(made: Made, t: int) -> Step:
    p, s = made.problem, made.schedule
    names = [k.name for k in p.kinds]
    counts = lambda column: {n: int(c) for n, c in zip(names, column, strict=True) if c}  # noqa: E731
    capacity = dict.fromkeys(p.services, 0.0)
    running: dict[str, int] = {}
    tokens_s = 0.0
    for o, offer in enumerate(p.offers):
        capacity[p.services[offer.service]] += offer.rate_s * int(s.units[o, t])
        if s.units[o, t]:
            running[f"{p.services[offer.service]}: {names[offer.kind]}, {offer.name}"] = int(s.units[o, t])
    demand = {name: float(p.demand_s[i, t]) for i, name in enumerate(p.services)}
    for i, space in enumerate(made.market.spaces):
        tokens_s += demand[p.services[i]] * space.asked.output_tokens
    usd = {cause: float(values[t]) for cause, values in s.usd.items()}
    return Step(
        month_text(made.roadmap.month_of(t)),
        demand,
        capacity,
        counts(s.there[:, t]),
        counts(s.bought[:, t]),
        counts(s.sold[:, t]),
        running,
        float(s.power_w[t]),
        usd,
        _cost_usd(made, t, usd) / (tokens_s * p.period_s) * 1e6 if tokens_s else 0.0,
    )


def _cost_usd(made: Made, t: int, usd: dict[str, float]) -> float:
    """A period's running cost with the straight-line loss of value of the systems that stand."""
    lost = sum(
        _lost_usd(made, k, t) * int(made.schedule.there[k, t])
        for k, kind in enumerate(made.problem.kinds)
        if kind.owned
    )
    return lost + sum(v for cause, v in usd.items() if cause not in ("hardware", "resale"))


def _lost_usd(made: Made, kind: int, t: int) -> float:
    """Of one system in a period, by the mean price of all that came so far; those that were there count as bought first."""
    of, facts = made.problem.kinds[kind], made.market.prices[kind].facts
    came = made.schedule.bought[kind, : t + 1].astype(float)
    came[0] += sum(count for _, count in of.have)
    if not came.any():
        return 0.0
    price = float(np.average(of.price_usd[: t + 1], weights=came))
    return straight_line_usd_s(price, facts.residual_share, facts.life_s) * made.problem.period_s


def _seen(made: Made, number: int) -> Seen:
    check = made.checks[number]
    offer, way = made.problem.offers[check.way], made.ways[check.way]
    return Seen(
        made.problem.services[offer.service],
        made.problem.kinds[offer.kind].name,
        offer.name,
        check.units,
        check.rate_s,
        check.ttft_p95_s,
        check.tpot_p95_s,
        made.believed.get((way.service, way.row), 1.0),
    )
