"""Runs of an agent that is fitted to a recording: drawn from tables of quantiles, see `fit`.

Which answers the run's user sees is not recorded: the last call's output stands for them (assumed), as it does where
the recording itself is metered. A run is never given up, and no call fails: the recording has neither.
"""

from __future__ import annotations

from dataclasses import dataclass
from fractions import Fraction
from functools import lru_cache
from typing import Any

import numpy as np

from tokenworks.catalog import loader
from tokenworks.errors import CatalogError
from tokenworks.workload.agents.calls import Calls, joined_calls
from tokenworks.workload.agents.grow import run_rng
from tokenworks.workload.agents.normal import share_below
from tokenworks.workload.agents.recording import BLOCK_TOKENS, Floats, Ints
from tokenworks.workload.agents.template import KIND, Phase

TOOL, ANSWER, FINAL, SUB_AGENT = range(4)
PHASES = (
    Phase("tool", uses="tool"),
    Phase("answer"),
    Phase("final", seen=True),
    Phase("sub-agent", team="sub-agents", uses="tool"),
)
LEAST_INPUT = BLOCK_TOKENS  # tokens of a prompt, however much a table takes away


class Quantiles:
    """A distribution by its quantiles, straight between them on a logarithmic scale that goes through 0."""

    def __init__(self, shares: Floats, values: Floats):
        self.shares, self.logs = shares, np.sign(values) * np.log1p(np.abs(values))

    def at(self, share: Floats) -> Floats:
        log = np.interp(share, self.shares, self.logs)
        return np.asarray(np.sign(log) * np.expm1(np.abs(log)))


@dataclass(frozen=True)
class Agent:
    """Tables of a lead or of its sub-agents."""

    calls: Quantiles
    first_input: Quantiles
    growth: Quantiles
    output: Quantiles


class Fitted:
    """A fitted agent, ready to be drawn from."""

    def __init__(self, table: dict[str, Any]):
        self.shares = np.array(table["shares"], np.float64)
        self.lead, self.sub = self._agent(table["main"]), self._agent(table["sub_agents"])
        pauses, reuse, compaction = table["pauses"], table["reuse"], table["compaction"]
        self.after_tool, self.after_answer = self._of(pauses["after_tool_s"]), self._of(pauses["after_answer_s"])
        self.answers = float(pauses["answers"][0])
        self.lost, self.lost_compacted = self._of(reuse["lost"]), self._of(reuse["lost_when_compacted"])
        self.partly = float(reuse["partly"][0])
        self.classes, self.chance = np.array(compaction["from"]), np.array(compaction["chance"])
        self.left = self._of(compaction["left"])
        self.subs = np.cumsum(table["subs_by_session"])
        self.root = np.linalg.cholesky(np.array(table["correlation"]))
        self.weights = float(table["session_weight_growth"]), float(table["session_weight_output"])
        self.together = float(table["growth_by_output"])

    def _of(self, values: list[float]) -> Quantiles:
        return Quantiles(self.shares, np.array(values, np.float64))

    def _agent(self, table: dict[str, list[float]]) -> Agent:
        return Agent(*(self._of(table[key]) for key in ("calls", "first_input", "growth", "output")))


@dataclass(frozen=True)
class _Drawn:
    """The calls of one agent."""

    inputs: Ints
    kept: Ints
    output: Ints
    pause_s: Floats
    answers: np.typing.NDArray[np.bool_]

    def __len__(self) -> int:
        return len(self.inputs)


def fitted_ids() -> tuple[str, ...]:
    """Agents of the catalogue that are fitted."""
    return tuple(name for name in loader.ids(KIND) if "fitted" in loader.load(KIND, name).extra)


@lru_cache(maxsize=8)
def load_fitted(name: str) -> Fitted:
    entry = loader.load(KIND, name)
    if "fitted" not in entry.extra:
        raise CatalogError(f"agents/{entry.id} is not fitted to a recording")
    return Fitted(entry.extra["fitted"])


def fitted_means(name: str) -> tuple[Fraction, Fraction]:
    """(total, visible) tokens of a recorded session in the mean: the sums that it is fitted to. Generated runs come near
    them; how near stands in the entry."""
    entry = loader.load(KIND, name)
    total = int(entry["recorded_input"]) + int(entry["recorded_output"])
    return Fraction(total, int(entry["recorded_sessions"])), Fraction(
        int(entry["recorded_last_output"]), int(entry["recorded_sessions"])
    )


def grow_fitted(fitted: Fitted, seed: int, runs: range, number: int = 0) -> Calls:
    """The calls of some runs, at least one."""
    return joined_calls([fitted_run(fitted, run_rng(seed, number, run), run) for run in runs])


def fitted_run(fitted: Fitted, rng: np.random.Generator, run: int) -> Calls:
    """One run: the lead's calls, and sub-agents between two of them."""
    score = fitted.root @ rng.standard_normal(4)
    lead = _agent(fitted, fitted.lead, rng, score)
    count = int(np.searchsorted(fitted.subs, rng.random() * fitted.subs[-1], side="right")) if len(lead) > 1 else 0
    places = np.sort(rng.integers(1, max(2, len(lead)), count))  # the lead's call that waits for each
    subs = [_agent(fitted, fitted.sub, rng, rng.standard_normal(4)) for _ in range(count)]
    return _calls(run, lead, subs, places)


def _agent(fitted: Fitted, tables: Agent, rng: np.random.Generator, score: Floats) -> _Drawn:
    share = share_below(score)
    n = max(1, round(float(tables.calls.at(share[:1])[0])))
    first = float(tables.first_input.at(share[1:2])[0])
    output_score = _calls_scores(score[3], fitted.weights[1], rng, n)
    rest = np.sqrt(1 - fitted.together**2)
    own = fitted.together * output_score + rest * rng.standard_normal(n)
    # what answers and growth share between calls leaves the session's own part of growth as it is
    weight = fitted.weights[0]
    growth_score = weight * score[2] + np.sqrt(1 - weight**2) * own
    output = np.maximum(1, np.rint(tables.output.at(share_below(output_score)))).astype(np.int64)
    growth = np.rint(tables.growth.at(share_below(growth_score)))
    inputs, compacted = _inputs(fitted, rng, first, growth)
    answers = rng.random(n) < fitted.answers
    return _Drawn(inputs, _kept(fitted, rng, inputs, compacted), output, _pauses(fitted, rng, answers), answers)


def _calls_scores(session: float, weight: float, rng: np.random.Generator, n: int) -> Floats:
    return np.asarray(weight * session + np.sqrt(1 - weight**2) * rng.standard_normal(n))


def _inputs(
    fitted: Fitted, rng: np.random.Generator, first: float, growth: Floats
) -> tuple[Ints, np.typing.NDArray[np.bool_]]:
    """Prompts call by call; growth[i] is what call i adds to the next prompt."""
    lots, left = rng.random(len(growth)), fitted.left.at(rng.random(len(growth)))
    inputs, compacted = np.empty(len(growth)), np.zeros(len(growth), np.bool_)
    prompt = first
    for i in range(len(growth)):
        inputs[i] = prompt
        if lots[i] < fitted.chance[np.searchsorted(fitted.classes, prompt, side="right") - 1]:
            prompt *= left[i]
            compacted[i + 1 : i + 2] = True
        else:
            prompt += growth[i]
        prompt = max(LEAST_INPUT, prompt)
    return np.rint(inputs).astype(np.int64), compacted


def _kept(fitted: Fitted, rng: np.random.Generator, inputs: Ints, compacted: np.typing.NDArray[np.bool_]) -> Ints:
    """Tokens of the prompt before that a prompt begins with, in whole blocks; none for the first."""
    n = len(inputs)
    share = np.where(rng.random(n) < fitted.partly, fitted.lost.at(rng.random(n)), 0.0)
    share = np.where(compacted, fitted.lost_compacted.at(rng.random(n)), share)
    before = np.concatenate([[0], inputs[:-1]])
    most = np.minimum(before, inputs) // BLOCK_TOKENS
    return np.floor(most * (1 - np.clip(share, 0, 1))).astype(np.int64) * BLOCK_TOKENS


def _pauses(fitted: Fitted, rng: np.random.Generator, answers: np.typing.NDArray[np.bool_]) -> Floats:
    """Before each call, by what the one before was; none before the first."""
    share = rng.random(len(answers))
    after = np.where(answers, fitted.after_answer.at(share), fitted.after_tool.at(share))
    return np.concatenate([[0.0], after[:-1]])


def _calls(run: int, lead: _Drawn, subs: list[_Drawn], places: Ints) -> Calls:
    """One agent after the other, sub-agents where the lead waits for them."""
    parts, agent, phase, before = list[_Drawn](), list[int](), list[Ints](), list[list[int]]()
    edges = [0, *places.tolist(), len(lead)]
    waits, row = list[int](), 0
    kinds = np.where(lead.answers, ANSWER, TOOL)
    kinds[-1] = FINAL
    for k, (start, stop) in enumerate(zip(edges[:-1], edges[1:], strict=True)):
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


def _some(drawn: _Drawn, start: int, stop: int) -> _Drawn:
    part = slice(start, stop)
    return _Drawn(drawn.inputs[part], drawn.kept[part], drawn.output[part], drawn.pause_s[part], drawn.answers[part])


def _columns(run: int, parts: list[_Drawn], agent: list[int], phase: list[Ints], before: list[list[int]]) -> Calls:
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
