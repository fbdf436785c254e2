"""Tools of agents in a rehearsal: cost events beside the usage events of the same runs."""

from __future__ import annotations

from collections.abc import Iterator

import numpy as np

from tokenworks.events.ledger_events import CostEvent
from tokenworks.events.requests import Requests
from tokenworks.rehearsal.agents import AgentDemand
from tokenworks.rehearsal.events import TICKS_PER_US, RunKey
from tokenworks.twin.cell import Departed

WHOSE = ("root_run", "run", "parent_run", "agent")


def tool_costs(key: RunKey, source: str, demand: AgentDemand, some: Departed) -> Iterator[CostEvent]:
    """One event per tool that ran before a call was sent, at the moment of sending: seconds; what they cost nobody knows yet
    (None). ``(source, number of the request)`` names it."""
    columns, requests = demand.columns, demand.requests
    for row in np.flatnonzero(columns["meter"][some.number] != ""):
        number = int(some.number[row])
        yield CostEvent(
            source=source,
            id=str(number),
            time_us=key.start_us + int(some.log.arrival[row]) // TICKS_PER_US,
            tenant=_tenant(key, requests, number),
            step=int(columns["step"][number]),
            meter=columns["meter"][number],
            quantity_micro=int(columns["tool_us"][number]),
            unit="second",
            amount_micro=None,
            **{name: columns[name][number] for name in WHOSE},
        )


def _tenant(key: RunKey, requests: Requests, number: int) -> str:
    tenant = int(requests.tenant[number])
    return key.tenants[tenant] if tenant >= 0 else ""
