"""The drawn calls of a lead and its sub-agents as columns."""

from __future__ import annotations

from dataclasses import dataclass
from itertools import pairwise

import numpy as np

from tokenworks.workload.agents.calls import Calls
from tokenworks.workload.agents.recording import Floats, Ints
from tokenworks.workload.agents.template import Phase

TOOL, ANSWER, FINAL, SUB_AGENT = range(4)
PHASES = (
    Phase("tool", uses="tool"),
    Phase("answer"),
    Phase("final", seen=True),
    Phase("sub-agent", team="sub-agents", uses="tool"),
)


@dataclass(frozen=True)
class Drawn:
    """The calls of one agent."""

    inputs: Ints
    kept: Ints
    output: Ints
    pause_s: Floats
    answers: np.typing.NDArray[np.bool_]

    def __len__(self) -> int:
        return len(self.inputs)


def as_calls(run: int, lead: Drawn, subs: list[Drawn], places: Ints) -> Calls:
    """One agent after the other, sub-agents where the lead waits for them: before its calls ``places``, ascending."""
    parts, agent, phase, before = list[Drawn](), list[int](), list[Ints](), list[list[int]]()
    edges = [0, *places.tolist(), len(lead)]
    waits, row = list[int](), 0
    kinds = np.where(lead.answers, ANSWER, TOOL)
    kinds[-1] = FINAL
    for k, (start, stop) in enumerate(pairwise(edges)):
        if stop > start:
            parts.append(_some(lead, start, stop))
            agent.append(0)
            phase.append(kinds[start:stop])
            before += [waits, *([row + i] for i in range(stop - start - 1))]
            row += stop - start
            fork = row - 1
            waits = [fork]
        if k < len(subs):
            sub = subs[k]
            parts.append(sub)
            agent.append(k + 1)
            phase.append(np.full(len(sub), SUB_AGENT))
            before += [[fork], *([row + i] for i in range(len(sub) - 1))]
            row += len(sub)
            waits = [*waits, row - 1]
    return _columns(run, parts, agent, phase, before)


def _some(drawn: Drawn, start: int, stop: int) -> Drawn:
    part = slice(start, stop)
    return Drawn(drawn.inputs[part], drawn.kept[part], drawn.output[part], drawn.pause_s[part], drawn.answers[part])


def _columns(run: int, parts: list[Drawn], agent: list[int], phase: list[Ints], before: list[list[int]]) -> Calls:
    sizes = [len(part) for part in parts]
    agents, kinds = np.repeat(agent, sizes), np.concatenate(phase)
    output, pause = np.concatenate([p.output for p in parts]), np.concatenate([p.pause_s for p in parts])
    seen, person = kinds == FINAL, np.concatenate([[False], kinds[:-1] == ANSWER]) & (agents == 0)
    steps = np.zeros(len(agents), np.int64)
    for one in set(agent):
        steps[agents == one] = np.arange(1, (agents == one).sum() + 1)
    none, n = np.zeros(len(agents), np.int64), len(agents)
    return Calls(
        run=np.full(n, run, np.int64), agent=agents, step=steps, attempt=none + 1, phase=kinds,
        input_tokens=np.concatenate([p.inputs for p in parts]), kept=np.concatenate([p.kept for p in parts]),
        visible=output, reasoning=none, tool=none,
        tool_s=np.where(person, 0.0, pause), think_s=np.where(person, pause, 0.0),
        failed=np.zeros(n, np.bool_), seen=seen,
        before_start=np.cumsum([0, *map(len, before)]).astype(np.int64),
        before=np.array([b for some in before for b in some], np.int64),
    )  # fmt: skip
