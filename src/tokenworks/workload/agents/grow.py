"""Runs of a template: the same one for the same (seed, workload, run), whatever else is drawn.

A prompt is the shared head, everything that was said in the agent's context before (answers without their reasoning),
and what is new. Sizes are means times independent log-normal factors of mean 1, rounded up or down by chance so that
their mean stays exact: totals are linear in the sizes, so a run's mean total is that of the means.
"""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np

from tokenworks.workload.agents.calls import Calls, joined_calls
from tokenworks.workload.agents.layout import Layout
from tokenworks.workload.agents.recording import Floats, Ints

AGENTS = 100  # of a workload's generators: the one that runs of agents spring from


def run_rng(seed: int, number: int, run: int) -> np.random.Generator:
    """The generator of one run of workload ``number``."""
    return np.random.Generator(np.random.Philox(np.random.SeedSequence(seed, spawn_key=(number, AGENTS, run))))


def grow(layout: Layout, seed: int, runs: range, number: int = 0) -> Calls:
    """The calls of some runs, at least one."""
    return joined_calls([grow_run(layout, run_rng(seed, number, run), run) for run in runs])


def grow_run(layout: Layout, rng: np.random.Generator, run: int) -> Calls:
    """One run."""
    size, pause = _sizes(layout, rng), _pauses(layout, rng)
    retried = (rng.random(len(layout)) < float(layout.template.retry)) & ~layout.failed
    made = _made(layout, rng)
    inputs, kept = contexts(layout, size)
    return _attempts(layout, run, _Drawn(size, pause, inputs, kept, retried), made)


@dataclass(frozen=True)
class _Drawn:
    size: Ints  # 4 × calls
    pause: Floats  # 2 × calls
    inputs: Ints
    kept: Ints
    retried: np.typing.NDArray[np.bool_]


def _sizes(layout: Layout, rng: np.random.Generator) -> Ints:
    t = layout.template
    # a run's tasks are large or small (what comes in), and its answers long or short (what goes out)
    of_run = factors(rng, t.run_sigma, (2,))[[0, 1, 1, 1], None]
    mean = layout.size * of_run * factors(rng, t.call_sigma, layout.size.shape)
    return np.floor(mean + rng.random(mean.shape)).astype(np.int64)


def _pauses(layout: Layout, rng: np.random.Generator) -> Floats:
    return np.asarray(layout.pause_s * factors(rng, layout.template.time_sigma, layout.pause_s.shape))


def factors(rng: np.random.Generator, sigma: float, shape: tuple[int, ...]) -> Floats:
    """Log-normal with mean 1."""
    return np.exp(sigma * rng.standard_normal(shape) - sigma * sigma / 2)


def _made(layout: Layout, rng: np.random.Generator) -> int:
    """How many of its calls a run makes: all, or up to anywhere where it is given up."""
    given_up, place = rng.random() < float(layout.template.abandoned), rng.integers(1, len(layout) + 1)
    return int(place) if given_up else len(layout)


def contexts(layout: Layout, size: Ints) -> tuple[Ints, Ints]:
    """(input tokens of each call, of them those that an earlier prompt of the same agent began with)."""
    new, visible, _, tool = size
    new = new.copy()
    np.add.at(new, layout.takes, visible[layout.gives])
    inputs, kept = np.empty_like(new), np.empty_like(new)
    for agent in range(int(layout.agent.max()) + 1):
        rows = np.flatnonzero(layout.agent == agent)
        grows = np.where(layout.failed[rows], 0, new[rows] + visible[rows] + tool[rows])
        head = layout.shared[rows[0]] + np.concatenate([[0], np.cumsum(grows)[:-1]])
        inputs[rows] = head + new[rows]
        stays = np.where(layout.failed[rows], 0, inputs[rows])
        kept[rows] = np.concatenate([[layout.shared[rows[0]]], np.maximum.accumulate(stays)[:-1]])
        kept[rows] = np.maximum(kept[rows], layout.shared[rows[0]])
    return inputs, kept


def _attempts(layout: Layout, run: int, drawn: _Drawn, made: int) -> Calls:
    """Rows of the first ``made`` calls: a call that is retried has two, the first of which failed."""
    counts = 1 + drawn.retried[:made]
    row = np.repeat(np.arange(made), counts)
    last = np.cumsum(counts) - 1
    again = np.concatenate([[False], row[1:] == row[:-1]])
    first_of_two = np.concatenate([again[1:], [False]])
    before = [[i - 1] if again[i] else [int(last[b]) for b in layout.before[r]] for i, r in enumerate(row.tolist())]
    return Calls(
        run=np.full(len(row), run, np.int64),
        agent=layout.agent[row],
        step=layout.step[row],
        attempt=1 + again.astype(np.int64),
        phase=layout.phase[row],
        input_tokens=drawn.inputs[row],
        kept=np.where(again, drawn.inputs[row], drawn.kept[row]),
        visible=drawn.size[1][row],
        reasoning=drawn.size[2][row],
        tool=drawn.size[3][row],
        tool_s=np.where(again, 0.0, drawn.pause[0][row]),
        think_s=np.where(again, 0.0, drawn.pause[1][row]),
        failed=layout.failed[row] | first_of_two,
        seen=layout.seen[row] & ~first_of_two,
        before_start=np.cumsum([0, *(len(b) for b in before)]).astype(np.int64),
        before=np.array([b for some in before for b in some], np.int64),
    )
