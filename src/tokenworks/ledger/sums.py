"""What one event adds to the roll-ups. Unknown amounts count as unknown, never as 0."""

from __future__ import annotations

from operator import neg
from typing import TypeAlias

from tokenworks.events.ledger_events import BUCKETS, AnyEvent, CostEvent, UsageEvent

Sums: TypeAlias = tuple[int, ...]

USAGE_CELL = ("tenant", "root_run", "model", "hour")
USAGE_SUMS = ("events", *BUCKETS, "energy_uj", "cost_micro_usd", "unmeasured", "unpowered", "uncosted")
COST_CELL = ("tenant", "meter", "hour", "unit", "currency")
COST_SUMS = ("events", "quantity_micro", "amount_micro", "uncosted")


def usage_sums(event: UsageEvent) -> Sums:
    """Events, tokens by bucket, µJ, micro-dollars; events that lack a bucket, energy, cost."""
    sums = (
        1, event.input_fresh, event.cache_read, event.cache_write, event.output_visible, event.output_reasoning,
        event.output_tool, event.energy_uj, event.cost_micro_usd, 0, 0, 0,
    )  # fmt: skip
    return _with_unknown(event) if None in sums else sums  # type: ignore[return-value]


def _with_unknown(event: UsageEvent) -> Sums:
    fresh, read, write = event.input_fresh, event.cache_read, event.cache_write
    visible, reasoning, tool = event.output_visible, event.output_reasoning, event.output_tool
    energy, cost = event.energy_uj, event.cost_micro_usd
    unmeasured = None in (fresh, read, write, visible, reasoning, tool)
    return (
        1, fresh or 0, read or 0, write or 0, visible or 0, reasoning or 0, tool or 0, energy or 0, cost or 0,
        int(unmeasured), int(energy is None), int(cost is None),
    )  # fmt: skip


def cost_sums(event: CostEvent) -> Sums:
    """Events, micro-units, micro-units of the currency; events whose amount nobody knows."""
    return (1, event.quantity_micro, event.amount_micro or 0, int(event.amount_micro is None))


def sums_of(event: AnyEvent) -> Sums:
    if isinstance(event, UsageEvent):
        return usage_sums(event)
    return cost_sums(event) if isinstance(event, CostEvent) else ()


def negated(sums: Sums) -> Sums:
    return tuple(map(neg, sums))
