"""Runs of an agent that is fitted to a recording: drawn from tables of quantiles, see `fit`.

Which answers the run's user sees is not recorded: the last call's output stands for them (assumed), as it does where
the recording itself is metered. A run is never given up, and no call fails: the recording has neither.
"""

from __future__ import annotations

import numpy as np

from tokenworks.workload.agents.calls import Calls, joined_calls
from tokenworks.workload.agents.fit import COMPACTED
from tokenworks.workload.agents.fitted_rows import Drawn, as_calls
from tokenworks.workload.agents.grow import run_rng
from tokenworks.workload.agents.normal import share_below
from tokenworks.workload.agents.recording import BLOCK_TOKENS, Floats, Ints
from tokenworks.workload.agents.tables import Agent, Fitted

LEAST_INPUT = BLOCK_TOKENS  # tokens of a prompt, however much a table takes away


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
    return as_calls(run, lead, subs, places)


def _agent(fitted: Fitted, tables: Agent, rng: np.random.Generator, score: Floats) -> Drawn:
    share = share_below(score)
    n = max(1, round(float(tables.calls.at(share[:1])[0])))
    first = float(tables.first_input.at(share[1:2])[0])
    output_score = _calls_scores(score[3] - fitted.by_call[1], fitted.weights[1], rng, n)
    rest = np.sqrt(1 - fitted.together**2)
    own = fitted.together * output_score + rest * rng.standard_normal(n)
    # what answers and growth share between calls leaves the session's own part of growth as it is
    weight = fitted.weights[0]
    early = fitted.early[np.searchsorted(fitted.early_from, np.arange(n), side="right") - 1]
    growth_score = weight * (score[2] - fitted.by_call[0]) + np.sqrt(1 - weight**2) * own + early
    output = np.maximum(1, np.rint(tables.output.at(share_below(output_score)))).astype(np.int64)
    growth = np.rint(tables.growth.at(share_below(growth_score)))
    if tables is fitted.lead:
        growth[:1] = np.rint(fitted.second[int(first >= fitted.below)].at(rng.random(1)))
    inputs, compacted = _inputs(fitted, rng, first, growth)
    answers = rng.random(n) < fitted.answers
    return Drawn(inputs, _kept(fitted, rng, inputs, compacted), output, _pauses(fitted, rng, answers), answers)


def _calls_scores(session: float, weight: float, rng: np.random.Generator, n: int) -> Floats:
    return np.asarray(weight * session + np.sqrt(1 - weight**2) * rng.standard_normal(n))


def _inputs(
    fitted: Fitted, rng: np.random.Generator, first: float, growth: Floats
) -> tuple[Ints, np.typing.NDArray[np.bool_]]:
    """Prompts call by call; growth[i] is what call i adds to the next prompt."""
    lots, left = rng.random(len(growth)), fitted.left.at(rng.random(len(growth)))
    inputs, compacted = np.empty(len(growth)), np.zeros(len(growth), np.bool_)
    prompt = first
    beyond = rng.random() < fitted.beyond[np.searchsorted(fitted.classes, first, side="right") - 1]
    chance, limit = fitted.chances[int(beyond)], np.inf if beyond else fitted.limit
    for i in range(len(growth)):
        inputs[i] = prompt
        due = chance[np.searchsorted(fitted.classes, prompt, side="right") - 1]
        if lots[i] < due or prompt + growth[i] > limit:
            prompt *= left[i]
            compacted[i + 1 : i + 2] = True
        else:
            prompt += max(growth[i], (COMPACTED - 1) * prompt)  # what shrinks more is a compaction
        prompt = max(LEAST_INPUT, prompt)
    return np.rint(inputs).astype(np.int64), compacted


def _kept(fitted: Fitted, rng: np.random.Generator, inputs: Ints, compacted: np.typing.NDArray[np.bool_]) -> Ints:
    """Tokens of the prompt before that a prompt begins with, in whole blocks; none for the first."""
    n = len(inputs)
    share = np.where(rng.random(n) < fitted.partly, fitted.lost.at(rng.random(n)), 0.0)
    share = np.where(compacted, fitted.lost_compacted.at(rng.random(n)), share)
    before = np.concatenate([[0], inputs[:-1]])
    most = np.minimum(before, inputs) // BLOCK_TOKENS
    blocks = np.floor(most * (1 - np.clip(share, 0, 1))).astype(np.int64)
    return np.asarray(blocks * BLOCK_TOKENS)


def _pauses(fitted: Fitted, rng: np.random.Generator, answers: np.typing.NDArray[np.bool_]) -> Floats:
    """Before each call, by what the one before was; none before the first."""
    share = rng.random(len(answers))
    after = np.where(answers, fitted.after_answer.at(share), fitted.after_tool.at(share))
    return np.asarray(np.rint(np.concatenate([[0.0], after[:-1]])))  # the recording has whole seconds
