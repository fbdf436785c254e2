"""Rows of the search and rehearsed layouts in words and as the plan's own records."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import replace

import numpy as np

from tokenworks.physics.deployment import Deployment
from tokenworks.plan.build import Layout, counts_of, layout, routing_of
from tokenworks.plan.limits import shared_needs
from tokenworks.plan.market import Market, Picks, one_row
from tokenworks.plan.result import Measured, Option, Setup, Systems
from tokenworks.plan.robust import errors_of, held_share
from tokenworks.plan.spares import spares_of
from tokenworks.plan.trial import TOLERANCE, Trial, margins_of
from tokenworks.plan.where import placement


def degrees(d: Deployment) -> str:
    """Degrees of parallelism, and the clock where it is not the full one.

    >>> from types import SimpleNamespace
    >>> one = SimpleNamespace(tp=1, pp=1, dp=1, ep=1, clock=0.88)
    >>> degrees(SimpleNamespace(tp=1, pp=1, dp=4, ep=4, clock=1.0)), degrees(one)
    ('dp 4, ep 4', '1 GPU, clock 88%')
    """
    parts = [f"{key} {getattr(d, key)}" for key in ("tp", "pp", "dp", "ep") if getattr(d, key) > 1]
    return ", ".join((parts or ["1 GPU"]) + ([f"clock {d.clock:.0%}"] if d.clock < 1 else []))


def setup(market: Market, one: Layout) -> Setup:
    kind, d = market.prices[one.kind].kind, one.main
    return Setup(
        service=market.spaces[one.service].asked.service.name,
        model=d.model,
        mode=one.mode,
        engine=d.engine,
        weights=d.weights,
        kv=d.kv,
        system=kind.system,
        pay=kind.pay,
        degrees=degrees(d),
        prefill_degrees=degrees(one.prefill) if one.prefill else "",
        workers=one.workers,
        prefill_workers=one.prefill_workers,
        max_seqs=one.max_seqs,
        gpus=one.gpus,
        capacity_s=one.capacity_s,
        rate_s=one.rate_s,
        worker_gpus=d.gpus,
        prefill_worker_gpus=one.prefill.gpus if one.prefill else 0,
        slowed=any(d.clock < 1 for d in one.deployments),
    )


def _standing(market: Market, one: Layout, systems: int) -> Setup:
    """A setup with where it stands among so many systems."""
    where = placement(market.prices[one.kind].kind.system, systems, one)
    return replace(setup(market, one), settings=settings_of(market, one), placement=where)


def settings_of(market: Market, one: Layout) -> str:
    """Settings beside degrees and batch, in a line."""
    asked, d, first = market.spaces[one.service].asked, one.main, one.prefill or one.main
    parts = [f"token budget {first.token_budget:,}", f"routing {routing_of(asked, one)}"]
    if d.draft_tokens:
        parts.append(f"speculation {d.draft_tokens} drafted, {d.tokens_per_step:.3g} a step")
    if asked.cached:
        parts.append(
            "prefix cache" + "".join(f" with {t.capacity_gb:,.0f} GB of {t.name} memory a worker" for t in d.tiers)
        )
    return ", ".join(parts)


def text_of(market: Market, picks: Picks, row: int, counts: bool = True) -> str:
    """A fleet of the wide pass in a line; ``counts``: with numbers of workers."""
    setups = [setup(market, layout(market, i, int(picks.rows[row, i]))) for i in range(len(market.tables))]
    if not counts:
        return "; ".join(
            f"{s.system} {s.pay} {s.engine} {s.weights} {s.kv} {s.degrees} {s.prefill_degrees}" for s in setups
        )
    return "; ".join(f"{s.service}: {s.text}" if len(setups) > 1 else s.text for s in setups)


def systems_of(market: Market, layouts: Sequence[Layout]) -> tuple[Systems, ...]:
    wanted = market.demand.limits.availability
    found = []
    for number, count in counts_of(market, layouts).items():
        kind = market.prices[number].kind
        needed = np.ceil(sum(one.systems(kind.gpus) for one in layouts if one.kind == number) - 1e-9)
        more = int(spares_of(np.array([needed]), kind.gpus, wanted.share if wanted else None)[0])
        found.append(Systems(kind.system, kind.pay, count, more, min(kind.have, count), count * kind.gpus))
    return tuple(found)


def option(market: Market, trial: Trial, predicted: dict[str, float]) -> Option:
    """A rehearsed fleet as the plan shows it."""
    result, figures = trial.result, trial.figures
    band = result.usd_per_mtok
    ratio = (band.low / band.value, band.high / band.value) if band.value else (1.0, 1.0)
    counts = counts_of(market, trial.layouts)
    return Option(
        setups=tuple(_standing(market, one, counts[one.kind]) for one in trial.layouts),
        systems=systems_of(market, trial.layouts),
        figures=figures,
        predicted=predicted,
        limits=(*_latencies(market, trial), *_shared(market, figures)),
        missed=trial.missed,
        held_share=_held(market, trial),
        usd_per_mtok_low=figures["usd_per_mtok"] * ratio[0],
        usd_per_mtok_high=figures["usd_per_mtok"] * ratio[1],
        attempts=trial.attempts,
        requests=sum(s.arrived for s in result.services),
        confirmed=trial.confirmed,
        yaml=trial.factory.to_yaml(),
    )


def _latencies(market: Market, trial: Trial) -> list[Measured]:
    found = []
    missed = {what for what, _, _ in trial.missed}
    for one, s in zip(trial.layouts, trial.result.services, strict=True):
        ask, errors = market.spaces[one.service].asked.ask, errors_of(one.deployments)
        pairs = (
            ("TTFT p95", s.ttft.p95_s, ask.ttft_s, errors.ttft),
            ("TPOT p95", s.tpot.p95_s, ask.tpot_s, errors.tpot),
            ("E2E p95", s.e2e.p95_s, ask.e2e_s, (0.0, 0.0)),  # no interval was tested for it
        )
        for name, value, limit, (low, high) in pairs:
            if limit or name != "E2E p95":
                ends = value * float(np.exp(low)), value * float(np.exp(high))
                found.append(
                    Measured(f"{s.name}: {name}", "s", value, limit or 0.0, *ends, f"{s.name}: {name}" not in missed)
                )
        use, limit = one.rate_s / one.capacity_s, 1 - market.demand.headroom
        held = use <= limit * (1 + TOLERANCE)
        found.append(Measured(f"{s.name}: load of capacity", "share", use, limit, use, use, held))
    return found


def _shared(market: Market, figures: dict[str, float]) -> list[Measured]:
    columns = one_row(figures)
    return [
        Measured(n.name, n.unit, float(n.needs[0]), n.limit, float(n.needs[0]), float(n.needs[0]), bool(n.kept[0]))
        for n in shared_needs(market.demand, columns)
    ]


def _held(market: Market, trial: Trial) -> float:
    """The least share of draws in which a service holds."""
    shares = []
    for one, s in zip(trial.layouts, trial.result.services, strict=True):
        ask = market.spaces[one.service].asked.ask
        pairs = (
            ("ttft", s.ttft.p95_s, ask.ttft_s),
            ("tpot", s.tpot.p95_s, ask.tpot_s),
            ("tpot", s.e2e.p95_s, ask.e2e_s),
        )
        real = one.capacity_s / (_slowing(market, one))
        shares.append(
            held_share(errors_of(one.deployments), [(m, v, limit) for m, v, limit in pairs if limit], one.rate_s / real)
        )
    return min(shares)


def _slowing(market: Market, one: Layout) -> float:
    """What a robust plan took off the capacity: the draws put it back."""
    return margins_of(market, one).throughput
