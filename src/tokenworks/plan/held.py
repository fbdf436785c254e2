"""How often a plan's objectives hold when its predictions are wrong as predictions were wrong before: whole rows of errors of
experiments that no fit had seen, one after the other."""

from __future__ import annotations

from collections.abc import Iterable
from math import exp

from tokenworks.accuracy.experiments import DISAGGREGATED
from tokenworks.accuracy.held_out import Error
from tokenworks.plan.result import Measured, Option

CLOSED = "closed"  # loops of which all three metrics are known; open ones tell no throughput


def share_held(plan: Option, errors: Iterable[Error], slowed: float = 1.0) -> float:
    """Share of the errors in which every service keeps its latency objectives and its load. A service meets those of its
    kind: disaggregated ones, or closed loops. ``slowed``: what a robust plan took off the capacity that it states.

    A plan of several services holds where all of them do, each with its own errors: as if drawn independently.
    """
    known, share = list(errors), 1.0
    for setup in plan.setups:
        mode = DISAGGREGATED if setup.mode == "disaggregated" else CLOSED
        own = [e for e in known if e.mode == mode]
        limits = {m.name.partition(": ")[2]: m for m in plan.limits if m.name.startswith(f"{setup.service}: ")}
        use = setup.rate_s / (setup.capacity_s / slowed)
        share *= sum(_held(limits, use, e) for e in own) / len(own)
    return share


def _held(limits: dict[str, Measured], use: float, e: Error) -> bool:
    """With latencies and capacity off by these errors. A later first token delays the last one."""
    ttft, tpot, whole = (limits.get(f"{name} p95") for name in ("TTFT", "TPOT", "E2E"))
    kept = use <= exp(e.throughput)
    for one, error in ((ttft, e.ttft), (tpot, e.tpot)):
        if one and one.limit:
            kept &= one.value * exp(error) <= one.limit
    if whole and whole.limit and ttft:
        kept &= ttft.value * exp(e.ttft) + max(0.0, whole.value - ttft.value) * exp(e.tpot) <= whole.limit
    return kept
