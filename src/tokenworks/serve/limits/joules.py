"""The most joules that a call can cost at an emulated worker, whoever shares its steps.

A call pays for its part of every step that it takes part in (docs/decisions/0011, `twin.live_energy`): the keys that it reads; by
sequence what any step with a prefill costs; by token the rest. Each part is bounded by the dearest batch for it:

    token     max over T of (joule_mixed[T] − joule_mixed[1]) / T, and the like of joule_shared_mixed
    sampling  joule_seqs[1] for each rank, and by token max over o > 1 of (joule_seqs[o] − joule_seqs[1]) / (o − 1): a step with o
              samples has o − 1 other tokens at least, so of their cost a chunk of c tokens pays for c at most
    sequence  all of ranks · joule_mixed[1] + joule_shared_mixed[1] for a prefill, half of it for a decode sequence beside one
    decode    max over n of joule_decode[n] / n, and the like of joule_shared_decode

A prefill of P tokens takes part in 2 + P / room steps at most: `room` is what decode sequences leave of the token budget, and
only in one step less is left by prefills before it. Every output token but the first is one decode step at most. Prefills
that are repeated after a preemption, and what callers who left have used, nobody pays.
"""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import dataclass

import numpy as np

from tokenworks.physics.worker_model import FINE, IntArray, WorkerModel
from tokenworks.serve.limits.bound import Bounded


@dataclass(frozen=True)
class WorkerJoules:
    """Of one worker model, in fine microjoules: of a token and a step of a prefill, of a step of a decode sequence; ``pair`` and
    ``context``: of a key, as (price, limit); ``room``: tokens of a prompt in a step, at least, 0: all of them."""

    token: int
    fill_step: int
    decode_step: int
    pair: tuple[tuple[int, int], ...]
    context: tuple[tuple[int, int], ...]
    room: int

    @classmethod
    def of(cls, model: WorkerModel) -> WorkerJoules:
        table = model.levels[0]
        fixed = model.ranks * int(table.joule_mixed[1]) + int(table.joule_shared_mixed[1])
        first, others = _sampling(table.joule_seqs)
        token = _per_token(table.joule_mixed) + _per_token(table.joule_shared_mixed) + others
        samples = model.ranks * first
        decode = _each(table.joule_decode) + _each(table.joule_shared_decode)
        beside = 0 if model.prefill_alone else fixed // 2 + 1 + token + samples
        # of divisions less than a fine unit for each token and sequence of a step stays, and is paid in the next one
        carried = 2 * model.ranks * (model.token_budget + model.max_seqs + model.kv_blocks * model.block_tokens)
        room = max(1, model.token_budget - (0 if model.prefill_alone else model.max_seqs - 1))
        limits = [(k, limit) for k, limit in enumerate((0, *model.limits)) if k == 0 or limit]
        return cls(
            token, fixed + samples + carried, max(decode, beside) + carried,
            tuple((int(table.joule_pair[k]), limit) for k, limit in limits),
            tuple((int(table.joule_context[k]), limit) for k, limit in limits),
            room if model.chunked_prefill else 0,
        )  # fmt: skip

    def prompts_uj(self, tokens: int, prompts: int) -> int:
        """Of prompts with so many tokens together."""
        steps = min(tokens, 2 * prompts + tokens // self.room) if self.room else prompts
        fine = steps * self.fill_step + tokens * self.token
        fine += sum(price * _pairs(tokens, limit) for price, limit in self.pair)
        return -(-fine // FINE) + prompts  # and what others left of a microjoule

    def output_uj(self, context: int) -> int:
        """Of one output token, where so many keys are read at most."""
        keys = sum(price * (min(context, limit) if limit else context) for price, limit in self.context)
        return -(-(self.decode_step + keys) // FINE)


def _per_token(table: IntArray) -> int:
    """Most that a token adds to a step of one; beyond its end a table goes on with its last difference."""
    more = table[1:] - table[1]
    return max(0, int(table[-1]) - int(table[-2]), int((-(-more // np.arange(1, len(table)))).max()))


def _sampling(table: IntArray) -> tuple[int, int]:
    """(of one sequence, most that each other one adds)."""
    more = table[2:] - table[1]
    return int(table[1]), max(0, int((-(-more // np.arange(1, len(table) - 1))).max(initial=0)))


def _each(table: IntArray) -> int:
    """Most for one of those that share an entry."""
    return max(0, int((-(-table[1:] // np.arange(1, len(table)))).max(initial=0)))


def _pairs(tokens: int, limit: int) -> int:
    """Keys that the tokens of a prompt read; one long prompt reads more than several short ones."""
    below = min(tokens, limit) if limit else tokens
    return below * (below + 1) // 2 + (tokens - below) * limit


class ServiceJoules:
    """Of a service: the dearest of its workers."""

    def __init__(self, models: Iterable[WorkerModel]):
        self._workers = [WorkerJoules.of(model) for model in models]

    def most_uj(self, bounded: Bounded) -> tuple[int, int]:
        """(of the prompts, of each output token)."""
        context = bounded.inputs + bounded.outputs
        return (
            max(worker.prompts_uj(bounded.inputs, bounded.prompts) for worker in self._workers),
            max(worker.output_uj(context) for worker in self._workers),
        )
