"""Generated runs as usage events, and their tools as cost events: what a ledger records of agents.

Amounts of tools are not known here (None): prices of tools belong to whoever pays for them.
"""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass
from typing import Any

from tokenworks.events.ledger_events import MICRO, CostEvent, UsageEvent
from tokenworks.workload.agents.calls import Calls
from tokenworks.workload.agents.recording import BLOCK_TOKENS, Ints
from tokenworks.workload.agents.template import Phase
from tokenworks.workload.streams import TICKS_PER_S


@dataclass(frozen=True)
class Naming:
    """What the events of some runs are called."""

    source: str  # together with the run's number it must be unique for ever
    agent: str
    model: str
    service: str = ""
    tenants: int = 1
    first_us: int = 1_767_225_600 * MICRO  # tick 0: 2026-01-01 00:00 UTC


def usage_events(
    calls: Calls, phases: tuple[Phase, ...], sent: Ints, ends: Ints, naming: Naming, cache_read: Ints | None = None
) -> Iterator[UsageEvent | CostEvent]:
    """One usage event per answer, and before it one cost event where a tool ran. ``sent`` and ``ends`` in ticks, −1 where
    a call was never sent or had no answer: then there is nothing to record. ``cache_read``: what the engine says; else
    what a cache that forgets nothing would hold."""
    read = calls.cache_read(BLOCK_TOKENS) if cache_read is None else cache_read
    seconds = (calls.tool_s * MICRO).round().astype(int)
    for row in range(len(calls)):
        if ends[row] < 0:
            continue
        phase = phases[int(calls.phase[row])]
        common = _common(calls, row, naming, int(ends[row]))
        if phase.uses and seconds[row]:
            at_us = naming.first_us + int(sent[row]) * MICRO // TICKS_PER_S
            yield CostEvent(
                **{**common, "id": f"{common['id']}/tool", "time_us": at_us},
                meter=f"{phase.uses}_second", quantity_micro=int(seconds[row]), unit="second", amount_micro=None,
            )  # fmt: skip
        yield UsageEvent(
            **common,
            service=naming.service,
            model=naming.model,
            purpose=phase.purpose,
            attempt=int(calls.attempt[row]),
            input_fresh=int(calls.input_tokens[row] - read[row]),
            cache_read=int(read[row]),
            output_visible=int(calls.visible[row]),
            output_reasoning=int(calls.reasoning[row]),
            output_tool=int(calls.tool[row]),
            final=bool(calls.seen[row]),
            failed=bool(calls.failed[row]),
            duration_us=int(ends[row] - sent[row]) * MICRO // TICKS_PER_S,
        )


def _common(calls: Calls, row: int, naming: Naming, end: int) -> dict[str, Any]:
    run, agent = int(calls.run[row]), int(calls.agent[row])
    root = f"{naming.agent}-{run}"
    return {
        "source": naming.source,
        "id": f"{root}/{agent}/{calls.step[row]}/{calls.attempt[row]}",
        "time_us": naming.first_us + end * MICRO // TICKS_PER_S,
        "tenant": f"tenant-{run % naming.tenants:02d}",
        "root_run": root,
        "run": f"{root}/agent-{agent}" if agent else root,
        "parent_run": root if agent else "",
        "agent": f"{naming.agent} sub-agent" if agent else naming.agent,
        "step": int(calls.step[row]),
    }
