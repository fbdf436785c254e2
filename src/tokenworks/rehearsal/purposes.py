"""What the steps of a service were for: computing prompts, reading them again, making answers.

A step's table says what each part of it takes: prompt tokens, decoding sequences, and pairs of a token that attends and
one that is held in KV memory. Such a pair needs both, so each pays half (the Shapley value of a pair): a prompt is paid
for when it is computed and again, in part, whenever it is read, whether it was computed or came from a prefix cache.
Marginal costs, scaled to the joules that the twin counted, or to its busy time without the time of reloads from KV
tiers, which the twin counts by itself and cached input pays.
"""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from tokenworks.physics.worker_model import StepTable, WorkerModel

Floats = NDArray[np.float64]
PREFILL, PROMPT, CACHED, DECODE = range(4)


@dataclass(frozen=True)
class Context:
    """Mean keys that a token attends to, by context class (3,): what the prices of reading are weighed with.

    Every request of a service is taken to have the service's share of cached prompt tokens.
    """

    own: Floats  # per computed prompt token: of its own computed prompt
    cross: Floats  # per computed prompt token: of the cached prefix
    prompt: Floats  # per decoded token: of the computed prompt
    cached: Floats  # per decoded token: of the cached prefix
    answer: Floats  # per decoded token: of the answer so far


@dataclass(frozen=True)
class Counts:
    """What the workers of one model did."""

    prompt_tokens: float  # computed
    decode_tokens: float
    batch: float  # mean sequences of a decode step, all ranks


def context(inputs: Floats, outputs: Floats, cached_share: float, limits: tuple[int, int]) -> Context:
    """Means over requests with these lengths in tokens."""
    made, kept = inputs * (1 - cached_share), inputs * cached_share
    prompts, answers = max(1.0, float(made.sum())), max(1.0, float(outputs.sum()))
    at_prefill, at_decode = kept + made / 2, inputs + outputs / 2
    rows = []
    for limit in (0, *limits):
        f, d = _seen(at_prefill, limit), _seen(at_decode, limit)
        rows.append(
            (
                (f * made * made / 2).sum() / prompts,
                (f * made * kept).sum() / prompts,
                (d * outputs * made).sum() / answers,
                (d * outputs * kept).sum() / answers,
                (d * outputs * outputs / 2).sum() / answers,
            )
        )
    return Context(*np.array(rows, float).T)


def _seen(keys: Floats, limit: int) -> Floats:
    """Share of so many keys that a window of this length sees; 0: all."""
    return np.minimum(1.0, limit / np.maximum(1.0, keys)) if limit else np.ones_like(keys)


def time_shares(model: WorkerModel, counts: Counts, seen: Context) -> Floats:
    """Shares of busy time by PREFILL, PROMPT, CACHED, DECODE, on the line that binds."""
    table = model.levels[0]
    lines = range(len(table.decode))
    return _shares(max((_work(model, _line(table, x), counts, seen) for x in lines), key=np.sum))


def joule_shares(model: WorkerModel, counts: Counts, seen: Context) -> Floats:
    """Shares of dynamic joules, likewise."""
    t = model.levels[0]
    tables = (t.joule_mixed, t.joule_shared_mixed, t.joule_decode, t.joule_shared_decode, t.joule_pair, t.joule_context)
    return _shares(_work(model, tables, counts, seen))


Tables = tuple[NDArray[np.int64], ...]  # mixed, shared mixed, decode, shared decode, pair, context


def _line(t: StepTable, x: int) -> Tables:
    return t.mixed[x], t.shared_mixed[x], t.decode[x], t.shared_decode[x], t.pair[x], t.context[x]


def _work(model: WorkerModel, tables: Tables, counts: Counts, seen: Context) -> Floats:
    """Work of all tokens by purpose, in the unit of the tables."""
    mixed, shared_mixed, decode, shared_decode, pair, context_ = tables
    full = len(mixed) - 1
    per_prompt = float(mixed[full] + shared_mixed[-1]) / full
    batch = int(np.clip(round(counts.batch / model.ranks), 1, len(decode) - 1))
    every = min(batch * model.ranks, len(shared_decode) - 1)
    per_decode = float(decode[batch] + shared_decode[every]) / batch
    own, cross = float(seen.own @ pair), float(seen.cross @ pair) / 2
    prompt, cached = float(seen.prompt @ context_) / 2, float(seen.cached @ context_) / 2
    work = np.zeros(4)
    work[PREFILL] = counts.prompt_tokens * (per_prompt + own + cross)
    work[PROMPT] = counts.decode_tokens * prompt
    work[CACHED] = counts.prompt_tokens * cross + counts.decode_tokens * cached
    work[DECODE] = counts.decode_tokens * (per_decode + float(seen.answer @ context_) + prompt + cached)
    return work


def _shares(work: Floats) -> Floats:
    """Shares of the whole; no work counts as decode."""
    total = float(work.sum())
    return work / total if total else np.eye(4)[DECODE]
