"""80% intervals of a run's figures: tested errors of throughput, latency and energy, carried to rates, watts, dollars."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import replace

from tokenworks.accuracy.certainty import CLOSED, OPEN, Evidence, evidence
from tokenworks.accuracy.experiments import DISAGGREGATED, SPECULATING
from tokenworks.events.results import Interval, Money, RunResult, ServiceResult
from tokenworks.physics.fleet import Replicas
from tokenworks.rehearsal.plant import Plant
from tokenworks.spec.demand import COUNTED
from tokenworks.spec.factory import Factory

ELECTRIC = ("energy", "demand charge")  # causes of cost that follow the joules


def with_bands(made: Plant, result: RunResult) -> RunResult:
    """The result with the intervals of everything that leads the report."""
    each = [evidence_of(made.factory, [r]) for r in made.replicas]
    services = tuple(_service(s, known) for s, known in zip(result.services, each, strict=True))
    result = replace(result, services=services)
    tokens = _tokens(result)
    board = evidence_of(made.factory, made.replicas).band("energy", 1.0)
    outside = _outside(result, board)
    drawn = board if result.power_scope == "board" else outside
    return replace(
        result,
        output_tokens_s=tokens,
        usd_per_mtok=_price(result.money, tokens, outside),
        mean_power_band=scaled(result.mean_power_w, drawn),
        tokens_per_j_it_band=inverse(result.tokens_per_j_it, outside),
        tokens_per_j_facility_band=inverse(result.tokens_per_j_facility, outside),
    )


def evidence_of(factory: Factory, replicas: Sequence[Replicas]) -> Evidence:
    """What was measured like these services of the factory, under the loads that they get."""
    loads = [load for r in replicas for load in _loads(factory, r)]
    return evidence([group.deployment for r in replicas for group in r.groups], loads)


def _loads(factory: Factory, replicas: Replicas) -> list[str]:
    """How the service is loaded; pools of their own and drafts were measured in closed loops alone."""
    if len(replicas.groups) > 1:
        return [DISAGGREGATED]
    if replicas.deployment.draft_tokens:
        return [SPECULATING]
    kinds = [w.arrivals.kind if w.arrivals else "" for w in factory.workload if w.service == replicas.service.name]
    return [{"closed-loop": CLOSED}.get(kind, kind) if kind in COUNTED else OPEN for kind in kinds] or [CLOSED]


def scaled(value: float, factor: Interval) -> Interval:
    return Interval(value, value * factor.low, value * factor.high)


def inverse(value: float, factor: Interval) -> Interval:
    return Interval(value, value / factor.high, value / factor.low)


def _service(s: ServiceResult, known: Evidence) -> ServiceResult:
    return replace(
        s,
        ttft_p95=known.band("ttft", s.ttft.p95_s),
        tpot_p95=known.band("tpot", s.tpot.p95_s),
        sustainable=known.band("throughput", s.sustainable_requests_s),
    )


def _tokens(result: RunResult) -> Interval:
    """Output follows demand up to what a service sustains; an overloaded one makes what it can."""
    low = high = 0.0
    for s in result.services:
        rate, able = s.output_tokens / result.horizon_s, s.sustainable
        offered = s.arrived / result.horizon_s
        if able is None or not able.value or not offered:
            shares = (1.0, 1.0)
        elif s.saturated:
            shares = (able.low / able.value, min(able.high, max(offered, able.value)) / able.value)
        else:
            shares = (min(1.0, able.low / offered), 1.0)
        low, high = low + rate * shares[0], high + rate * shares[1]
    return Interval(result.output_tokens_s.value, low, high)


def _outside(result: RunResult, board: Interval) -> Interval:
    """Factors of IT and facility joules, where the boards' are off by these: fans, supplies and cooling follow the
    boards, hosts and switches do not."""
    energy = result.energy
    inside = energy.it_j - sum(p.value for p in energy.parts if p.label == "fans and power supplies")
    share = energy.board_j / inside if inside else 0.0
    return Interval(1.0, 1 + (board.low - 1) * share, 1 + (board.high - 1) * share)


def _price(money: Money, tokens: Interval, energy: Interval) -> Interval:
    """Dollars per million output tokens: electricity follows the joules, everything else is paid anyway."""
    electric = sum(p.value for p in money.parts if p.label in ELECTRIC)
    at = lambda factor, made: (  # noqa: E731
        money.usd_per_mtok_output
        * (1 + (factor - 1) * electric / (money.total_usd or 1.0))
        * (tokens.value / made if made else 1.0)
    )
    return Interval(money.usd_per_mtok_output, at(energy.low, tokens.high), at(energy.high, tokens.low))
