"""Agents in a rehearsal: their calls wait for each other, and every call is metered as what it was for."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, replace
from typing import Any

import numpy as np
from numpy.typing import NDArray

from tokenworks.errors import InputError
from tokenworks.events.requests import Requests
from tokenworks.rehearsal.demand import Source
from tokenworks.rehearsal.plant import Plant, ticks
from tokenworks.spec.factory import Factory
from tokenworks.workload.agents.calls import Calls
from tokenworks.workload.agents.linked import linked_runs
from tokenworks.workload.agents.source import phases_of
from tokenworks.workload.agents.usage import names_of, tools_of
from tokenworks.workload.streams import joined


@dataclass(frozen=True)
class AgentDemand:
    """All requests of a run, those of agents linked, and the columns of their usage events that say whose they are."""

    requests: Requests
    columns: dict[str, NDArray[Any]]  # by request


def has_agents(factory: Factory) -> bool:
    return any(load.agents is not None for load in factory.workload)


def agent_demand(made: Plant, sources: Sequence[Source], rates_s: Sequence[float]) -> AgentDemand:
    """``sources`` and ``rates_s`` by workload; agents' are played call by call instead. Raises InputError for agents in
    several cells or beside a closed loop, and where nobody asks for anything."""
    factory = made.factory
    if factory.run.cells > 1:
        raise InputError("agents wait for their calls in one router domain: leave run.cells out")
    parts = [
        _part(made, number, source, rate) for number, (source, rate) in enumerate(zip(sources, rates_s, strict=True))
    ]
    kept = [part for part in parts if part is not None]
    if not kept:
        raise InputError("the workload sends no request within the horizon")
    requests = joined([part.requests for part in kept])
    columns = {name: np.concatenate([part.columns[name] for part in kept]) for name in kept[0].columns}
    return AgentDemand(requests, columns)


def _part(made: Plant, number: int, source: Source, rate_s: float) -> AgentDemand | None:
    factory = made.factory
    load = factory.workload[number]
    if load.agents is None:
        chunks = list(source())
        return AgentDemand(whole := joined(chunks), _plain(whole, number)) if chunks else None
    service = [s.name for s in factory.services].index(load.service)
    run = factory.run
    requests, calls = linked_runs(load, service, rate_s, run.horizon_s, run.seed, number)
    if not len(requests):
        return None
    patience = ticks(factory.services[service].timeout_s)
    requests = replace(requests, timeout=np.full(len(requests), patience))
    if load.sub_agents is not None:
        helper = [s.name for s in factory.services].index(load.sub_agents)
        requests = replace(requests, service=np.where(calls.agent > 0, helper, service).astype(np.int16))
    return AgentDemand(requests, _columns(calls, load.agents, number))


def _plain(requests: Requests, number: int) -> dict[str, NDArray[Any]]:
    """Requests outside any run are runs of one call: what the user saw is their answer."""
    count = len(requests)
    names = np.array([f"w{number}/{i}" for i in range(count)], object)
    text = lambda said: np.full(count, said, object)  # noqa: E731
    return {
        "root_run": names, "run": names, "parent_run": text(""), "agent": text(""), "purpose": text("final"),
        "step": np.ones(count, np.int32), "attempt": np.ones(count, np.int32), "final": np.ones(count, bool),
        "unused": np.zeros(count, bool), "reasoning": np.zeros(count, np.int64), "tool": np.zeros(count, np.int64),
        "meter": text(""), "tool_us": np.zeros(count, np.int64),
    }  # fmt: skip


def _columns(calls: Calls, agent: str, number: int) -> dict[str, NDArray[Any]]:
    """What the calls of an agent are; reasoning and tool are tokens of the whole answer."""
    phases = phases_of(agent)
    return {
        **names_of(calls, phases, agent, f"w{number}/"), **tools_of(calls, phases),
        "unused": calls.failed, "reasoning": calls.reasoning, "tool": calls.tool,
    }  # fmt: skip
