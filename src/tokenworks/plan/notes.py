"""What a plan says beside its figures: what was left out, what it rests on."""

from __future__ import annotations

from tokenworks import catalog
from tokenworks.physics.fleet import fleet, site_note
from tokenworks.plan.market import Market
from tokenworks.plan.network import unknown
from tokenworks.plan.result import Option
from tokenworks.spec.loading import loads

CLOCKS = (
    "clock levels are those of `catalog clocks default`, a claim: no measurement that the model was fitted to runs below the "
    "full clock; intervals are those of the full clock"
)


def left_out(market: Market) -> tuple[tuple[str, int], ...]:
    """Kinds of replicas that cannot be, by reason, the most frequent first."""
    found: dict[str, int] = {}
    for space in market.spaces:
        for reason, count in space.left_out.items():
            found[reason] = found.get(reason, 0) + count
    return tuple(sorted(found.items(), key=lambda pair: -pair[1]))


def noted(market: Market, notes: tuple[str, ...], best: Option | None = None) -> tuple[str, ...]:
    """The notes so far, and those that follow from the demand and the answer."""
    demand = market.demand
    more = [
        f"{s.asked.service.name}: planned and rehearsed for its busiest time, {s.asked.peak:.3g} × the mean; dollars per token "
        "are those of the mean, watts those of the busiest time"
        for s in market.spaces
        if s.asked.peak > 1
    ]
    if best is not None:
        more += _network(best)
    if demand.calibration:
        more += _calibrated(market, demand.calibration, best)
    if best is not None and any(s.slowed for s in best.setups):
        more.append(CLOCKS)
    more += _taken_as_they_come(best)
    if market.robust:
        more.append("robust: limits hold in at least 90% of draws of the model's errors")
    return (*notes, *more)


def _taken_as_they_come(best: Option | None) -> list[str]:
    """What is assumed of attention-DP ranks of TensorRT-LLM."""
    setups = best.setups if best is not None else ()
    return [
        f"{s.service}: assumes that prompts are taken as they come (TensorRT-LLM's default): no balancing of prompts over "
        "attention-DP ranks (attention_dp_config), which published runs set to suit their load"
        for s in setups
        if catalog.load("engines", s.engine)["base"] == "tensorrt-llm" and "dp " in s.degrees + s.prefill_degrees
    ]


def _network(best: Option) -> list[str]:
    """What the network in the dollars and watts is made of, and where it is not known."""
    said = [
        "network: in dollars and watts are every host's way to callers, and the network between systems where workers or the "
        "pools of a service reach over them; the dollars of rented systems' networks are in their rent; storage has none"
    ]
    missing = {s.system: reason for s in best.systems if (reason := unknown(s.system))}
    return said + [f"network between {name}: not counted, as {reason}" for name, reason in missing.items()]


def _calibrated(market: Market, file: str, best: Option | None) -> list[str]:
    """Of how many kinds of replicas the site's own measurements speak, and what they say of the answer."""
    every = [s.deployment.site is not None for space in market.spaces for s in space.shapes]
    if not any(every):
        return [f"site calibration {file}: it speaks of no kind of replica that may be used; all are as shipped"]
    said = [
        f"site calibration {file}: speaks of {sum(every):,} of {len(every):,} kinds of replicas, in the wide pass and in the "
        "rehearsals; the others are as shipped"
    ]
    if best is not None:
        factory = loads(best.yaml, "the plan")
        said.append(site_note(factory, fleet(factory)))
    return said
