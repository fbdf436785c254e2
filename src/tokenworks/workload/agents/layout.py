"""A template laid out: one row per call of a run, in the order in which its calls are listed.

A team's sub-agents stand one after the other, though they work side by side: each begins when the lead's call before
them has ended, and the lead goes on when all of them have ended, with their last visible outputs in its prompt.
"""

from __future__ import annotations

from dataclasses import dataclass
from functools import lru_cache
from itertools import groupby

import numpy as np

from tokenworks.workload.agents.recording import Floats, Ints
from tokenworks.workload.agents.template import Phase, Template, load_template

LEAD = 0


@dataclass(frozen=True)
class Layout:
    """Columns by call; tokens and seconds are means."""

    template: Template
    phase: Ints  # index into the template's phases
    agent: Ints  # 0: the lead; sub-agents from 1
    step: Ints  # of the agent, from 1
    size: Floats  # 4 × calls: new, visible, reasoning, tool
    pause_s: Floats  # 2 × calls: tool, think
    shared: Ints  # tokens at the head of its agent's prompts
    failed: np.typing.NDArray[np.bool_]
    seen: np.typing.NDArray[np.bool_]
    gives: Ints  # calls whose visible output comes into the lead's prompt …
    takes: Ints  # … at this call
    before: tuple[tuple[int, ...], ...]  # calls that must have ended first

    def __len__(self) -> int:
        return len(self.phase)


@dataclass(frozen=True)
class _Row:
    phase: int
    agent: int
    step: int
    before: tuple[int, ...]


@lru_cache(maxsize=64)
def layout_of(name: str) -> Layout:
    """The layout of a template of the catalogue."""
    return laid_out(load_template(name))


def laid_out(template: Template) -> Layout:
    rows, gives, takes = list[_Row](), list[int](), list[int]()
    waits: tuple[int, ...] = ()
    lead_steps, agents = 0, 0
    for team, members in groupby(enumerate(template.phases), key=lambda pair: pair[1].team):
        phases = list(members)
        if not team:
            for number, phase in phases:
                for _ in range(phase.calls):
                    lead_steps += 1
                    if len(waits) > 1 or (waits and rows[waits[0]].agent != LEAD):
                        gives += waits
                        takes += [len(rows)] * len(waits)
                    rows.append(_Row(number, LEAD, lead_steps, waits))
                    waits = (len(rows) - 1,)
            continue
        count = phases[0][1].agents
        waits = tuple(_sub_agent(rows, phases, agents + k, waits) for k in range(1, count + 1))
        agents += count
    return _columns(template, rows, gives, takes)


def _sub_agent(rows: list[_Row], phases: list[tuple[int, Phase]], agent: int, waits: tuple[int, ...]) -> int:
    """Adds one sub-agent's calls; the place of its last one."""
    step = 0
    for number, phase in phases:
        for _ in range(phase.calls):
            step += 1
            rows.append(_Row(number, agent, step, waits))
            waits = (len(rows) - 1,)
    return waits[0]


def _columns(template: Template, rows: list[_Row], gives: list[int], takes: list[int]) -> Layout:
    phases = [template.phases[row.phase] for row in rows]
    size = np.array([[p.new, p.visible, p.reasoning, p.tool] for p in phases], np.float64).T
    agent = np.array([row.agent for row in rows], np.int64)
    return Layout(
        template,
        np.array([row.phase for row in rows], np.int64),
        agent,
        np.array([row.step for row in rows], np.int64),
        size,
        np.array([[p.tool_s, p.think_s] for p in phases]).T,
        np.where(agent == LEAD, template.shared, template.team_shared),
        np.array([p.failed for p in phases]),
        np.array([p.seen for p in phases]),
        np.array(gives, np.int64),
        np.array(takes, np.int64),
        tuple(row.before for row in rows),
    )
