"""Whose the calls of agents are, and which tools ran before them, by the names of the ledger's events.

Amounts of tools are not known here: prices of tools belong to whoever pays for them.
"""

from __future__ import annotations

from typing import Any, TypeAlias

import numpy as np
from numpy.typing import NDArray

from tokenworks.events.ledger_events import MICRO
from tokenworks.workload.agents.calls import Calls
from tokenworks.workload.agents.template import Phase

Columns: TypeAlias = dict[str, NDArray[Any]]


def names_of(calls: Calls, phases: tuple[Phase, ...], agent: str, prefix: str) -> Columns:
    """By call: root_run, run, parent_run, agent, purpose, step, attempt, final. ``prefix`` tells the runs of one workload from
    those of another."""
    purposes, teams = (np.array([getattr(p, name) for p in phases], object) for name in ("purpose", "team"))
    root = np.array([f"{prefix}{agent}-{run}" for run in calls.run], object)
    sub = calls.agent > 0
    below = np.array([f"{r}/{a}" for r, a in zip(root, calls.agent, strict=True)], object)
    named = np.array([f"{agent}/{team or 'sub-agent'}" for team in teams], object)
    return {
        "root_run": root, "run": np.where(sub, below, root), "parent_run": np.where(sub, root, ""),
        "agent": np.where(sub, named[calls.phase], agent), "purpose": np.where(calls.seen, "final", purposes[calls.phase]),
        "step": calls.step.astype(np.int32), "attempt": calls.attempt.astype(np.int32), "final": calls.seen,
    }  # fmt: skip


def tools_of(calls: Calls, phases: tuple[Phase, ...]) -> Columns:
    """By call: the meter of the tool that ran before it ("": none) and the microseconds that it took."""
    meters = np.array([f"{phase.uses}_second" if phase.uses else "" for phase in phases], object)
    took_us = np.round(calls.tool_s * MICRO).astype(np.int64)
    return {"meter": np.where(took_us > 0, meters[calls.phase], ""), "tool_us": took_us}
