"""What one replica can carry while it keeps its objective, in closed form from its step costs."""

from __future__ import annotations

from typing import NamedTuple

import numpy as np
from numpy.typing import NDArray

Floats = NDArray[np.float64]
SERVE, PREFILL, DECODE = range(3)  # what a pool of replicas does


class Capacity(NamedTuple):
    """Step costs of one attention-DP rank in seconds. L lines (a step takes the longest), N batch sizes, 3 context classes."""

    decode_s: Floats  # (L, N + 1) a step of n sequences, without their keys
    key_s: Floats  # (L, 3) per key
    token_s: Floats  # (L,) per prompt token, in full chunks
    pair_s: Floats  # (L, 3) per query–key pair of a prompt
    limits: Floats  # (3,) most keys of a token by class; inf: none; 0: the class is unused
    kv_tokens: float  # that fit the cache
    ranks: int


class Load(NamedTuple):
    """Requests per second of a replica, and how many it then works on at a time."""

    requests_s: float
    batch: float


def prompt_s(one: Capacity, isl: float) -> float:
    """Seconds of a rank for a prompt of ``isl`` tokens."""
    most = np.minimum(one.limits, isl)
    pairs = most * isl - most * (most - 1) / 2  # Σ min(p, limit) over the tokens p = 1 … isl
    return float((one.token_s * isl + one.pair_s @ pairs).max())


def steps_s(one: Capacity, context: float) -> Floats:
    """(N,) seconds of a decode step of 1 … N sequences of ``context`` tokens each."""
    batch = np.arange(1, one.decode_s.shape[1])
    keys = one.key_s @ np.minimum(context, one.limits)
    found: Floats = (one.decode_s[:, 1:] + keys[:, None] * batch).max(axis=0)
    return found


def load_of(one: Capacity, role: int, isl: float, osl: float, tpot_s: float) -> Load:
    """The most that a replica carries with ``isl`` prompt and ``osl`` output tokens a request where a token may take
    ``tpot_s`` (0: no objective).

    A rank that works on n requests at a time gives each its prefill time and its part of osl steps:
    rate = 1 / (prefill + osl·step(n)/n), and between two tokens of one stand a step and n/osl prefills of others:
    TPOT = step(n) + n·prefill/osl. The n of the highest rate within the objective, the cache and the batch is taken.
    """
    fill = prompt_s(one, isl) if role != DECODE else 0.0
    if role == PREFILL or (role == SERVE and osl < 2):
        return Load(one.ranks / fill, float(one.ranks))
    steps = steps_s(one, isl + osl / 2)
    batch = np.arange(1, len(steps) + 1)
    rate, tpot = 1.0 / (fill + osl * steps / batch), steps + batch * fill / osl
    may = (batch * (isl + osl) <= one.kv_tokens) & ((tpot <= tpot_s) | (tpot_s <= 0))
    may[0] = True
    best = int(np.argmax(np.where(may, rate, 0.0)))
    return Load(one.ranks * float(rate[best]), float(one.ranks * batch[best]))
