"""What the requests of a sample ask of an engine in the mean, by what is drawn from it: prompts, steps, keys, cache."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np

from tokenworks.physics.step import Machine
from tokenworks.plan.ask import Array, Ask

LEVELS = 32  # of prompts, in which integrals over their lengths are taken


@dataclass(frozen=True)
class Traffic:
    """Means over the requests of a sample; those over decode steps weigh each request by its steps."""

    prompts: Array  # (n,) sorted tokens to compute
    levels: Array  # (LEVELS,) quantiles of them
    prompt: float  # mean of them
    prompt_square: float  # mean square
    output: float  # mean output tokens
    steps: float  # mean decode steps of a request: all but the first token, ``tokens_per_step`` at once
    pairs: Array  # (3,) query–key pairs of a prompt, by context class (physics.worker_model)
    keys: Array  # (3,) keys that a sequence reads in a decode step, by context class
    held: float  # mean tokens in the cache of a running sequence
    held_sd: float  # their standard deviation over running sequences
    moved: float  # mean prompt tokens whose cache a prefill worker hands on


def traffic(ask: Ask, limits: tuple[int, int], tokens_per_step: float, reserves: bool) -> Traffic:
    """Of a sample for engines with these key limits. ``reserves``: the cache is held for the whole answer from the start."""
    known, prompt = ask.known, ask.input_tokens.astype(float)
    later = ask.output_tokens - 1.0  # tokens after the first
    steps = later / tokens_per_step
    pairs, keys = np.zeros(3), np.zeros(3)
    for k, limit in enumerate((0, *limits)):
        if limit or k == 0:
            pairs[k] = keys_of(known, prompt, limit).mean()
            keys[k] = keys_of(known + prompt, later, limit).sum() / max(1.0, later.sum())
    mean, square = _held(prompt, later, reserves)
    weight = (steps + 1.0) / (steps + 1.0).sum()
    held = float(weight @ mean)
    spread = float(np.sqrt(max(0.0, weight @ square - held**2)))
    middles = (np.arange(LEVELS) + 0.5) / LEVELS
    return Traffic(
        prompts=np.sort(prompt),
        levels=np.quantile(prompt, middles),
        prompt=float(prompt.mean()),
        prompt_square=float((prompt**2).mean()),
        output=float(ask.output_tokens.mean()),
        steps=float(steps.mean()),
        pairs=pairs,
        keys=keys,
        held=held,
        held_sd=spread,
        moved=float((known + prompt).mean()),
    )


def keys_of(start: Array, count: Array, limit: int) -> Array:
    """Keys that ``count`` tokens from position ``start`` attend to, each itself included; limit 0 = no limit."""
    whole = count * start + count * (count + 1) / 2
    if not limit:
        return np.asarray(whole)
    below = np.clip(limit - start, 0.0, count)
    return np.asarray(below * start + below * (below + 1) / 2 + (count - below) * limit)


def _held(prompt: Array, later: Array, reserves: bool) -> tuple[Array, Array]:
    """(mean, mean square) of a request's tokens in the cache while it runs: they grow evenly, or stand from the start."""
    if reserves:
        return prompt + later + 1.0, (prompt + later + 1.0) ** 2
    return prompt + later / 2, prompt**2 + prompt * later + later**2 / 3


class Traffics:
    """Traffic of a sample for machines, made once for those with equal rules."""

    def __init__(self, ask: Ask):
        self._ask, self._known = ask, dict[tuple[tuple[int, int], float, bool], Traffic]()

    def of(self, machine: Machine) -> Traffic:
        d = machine.deployment
        key = machine.part.attention.limits, d.tokens_per_step, d.reserve_output
        if key not in self._known:
            self._known[key] = traffic(self._ask, *key)
        return self._known[key]

    @property
    def distinct(self) -> tuple[Traffic, ...]:
        return tuple(self._known.values())
