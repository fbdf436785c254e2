"""Time to the first token of a replica at a steady batch: its mean, and its 95th percentile from mean and variance.

The mean is the rest of the step in which a request comes, E[t²] / 2E[t]; the steps until it is looked at; the prompts ahead;
its own prompt. A step's time varies with the prompts in it, a Poisson number of random lengths, and one's own step is longer
than the mean one with prompts: it holds oneself and the Poisson others. A prefill replica: Little's law.

The percentile is that of a log-normal with the mean and the variance of these parts taken as independent: the rest of a step
varies as much as it lasts; a wait behind others, w in the mean over all and exponential for the share ρ that waits at all,
has w² (2 / ρ − 1); the own prompt varies as prompts do, the others of its step as a Poisson number of them. It knows nothing
of batches that fill and empty together with the queue of prompts, and is low by a quarter in the median of replicas at 70%.
"""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from tokenworks.plan.ask import Array
from tokenworks.plan.wide import counting as c
from tokenworks.plan.wide.rows import Rows
from tokenworks.plan.wide.steps import INGRESS_S
from tokenworks.plan.wide.times import Times

Mask = NDArray[np.bool_]
NORMAL_95 = 1.6449  # quantile of the standard normal
LEAST_WAITING = 0.2  # share of requests that wait, below which the variance of their wait is not taken larger


@dataclass(frozen=True)
class _Parts:
    """Seconds, means over requests; and what share of them waits behind others."""

    rest: Array
    looked: Array
    ahead: Array
    own: Array
    by_length: Array  # of ``own``, what is proportional to the prompt
    waiting: Array
    others: Array  # variance of what other prompts in the same step add


def first_token(laid: Rows, of: Times, mean_s: Array, apart: Mask, only: Mask) -> tuple[Array, Array]:
    """(mean, 95th percentile) of each row in seconds. apart: prompts are computed between decode steps; only: the replica
    does nothing else; mean_s: of a step (apart: of a decode step with its share of prompts)."""
    parts, asked = _parts(laid, of, mean_s, apart), laid.asked[0]
    mean = parts.rest + parts.looked + parts.ahead + parts.own
    squared = max(0.0, asked.prompt_square / asked.prompt**2 - 1.0)
    variance = parts.rest**2 + parts.looked**2 / 3.0 + squared * parts.by_length**2 + parts.others
    variance = variance + parts.ahead**2 * (2.0 / np.maximum(parts.waiting, LEAST_WAITING) - 1.0)
    inside = laid.settings[:, c.BATCH] * mean_s / laid.counts[:, c.RATE]
    alone = np.minimum(inside, laid.counts[:, c.OWN] * of.mixed_s)
    used = np.maximum(laid.counts[:, c.BUSY], LEAST_WAITING)
    behind = squared * alone**2 + (inside - alone) ** 2 * (2.0 / used - 1.0)
    mean, variance = np.where(only, inside, mean), np.where(only, behind, variance)
    ingress = of.constants[:, INGRESS_S]
    return mean + ingress, _log_normal_95(mean, variance) + ingress


def _log_normal_95(mean: Array, variance: Array) -> Array:
    spread = np.log1p(variance / mean**2)
    return np.asarray(mean * np.exp(NORMAL_95 * np.sqrt(spread) - spread / 2.0))


def _parts(laid: Rows, of: Times, mean_s: Array, apart: Mask) -> _Parts:
    counts, settings, share = laid.counts, laid.settings, laid.counts[:, c.MIXED]
    asked = laid.asked[0]
    per_token = np.maximum(0.0, of.mixed_s - of.decode_s) / np.maximum(counts[:, c.CHUNK], 1.0)
    one = counts[:, c.OWN] < 1.5
    behind = apart & ~one
    used = np.minimum(0.98, share * of.mixed_s / mean_s)
    queued = _behind_prompts(laid, of, used)
    with_me = asked.prompt / counts[:, c.OWN] + counts[:, c.RATE] * asked.prompt
    more = np.maximum(0.0, np.minimum(with_me, settings[:, c.BUDGET]) - counts[:, c.CHUNK]) * per_token
    own = counts[:, c.OWN] * (of.mixed_s + one * more)
    return _Parts(
        rest=np.where(behind, (1.0 - used) * of.decode_s / 2.0, _rest(laid, of, mean_s, apart, per_token * one)),
        looked=((settings[:, c.INTERVAL] - 1.0) / 2.0 + settings[:, c.PLANS]) * mean_s,
        ahead=np.where(behind, queued, counts[:, c.AHEAD] * of.mixed_s),
        own=own,
        by_length=np.where(one, np.minimum(own, per_token * asked.prompt), own),
        waiting=np.where(behind, used, np.minimum(1.0, share)),
        others=one * per_token**2 * counts[:, c.RATE] * settings[:, c.RANKS] * asked.prompt_square,
    )


def _rest(laid: Rows, of: Times, mean_s: Array, apart: Mask, per_token: Array) -> Array:
    """E[t²] / 2E[t], from steps with and without prompts, or from tokens where steps hold whole prompts (per_token > 0)."""
    share = laid.counts[:, c.MIXED]
    square = np.where(apart, 1.0, 1.0 - share) * of.decode_s**2 + share * of.mixed_s**2
    of_tokens = mean_s**2 + per_token**2 * laid.counts[:, c.RATE] * laid.asked[0].prompt_square
    return np.asarray(np.where(per_token > 0, np.maximum(square, of_tokens), square) / (2.0 * mean_s))


def _behind_prompts(laid: Rows, of: Times, used: Array) -> Array:
    """Wait where prompts of many steps are computed alone, one after the other: M/G/1 (Pollaczek and Khinchine)."""
    squared = laid.asked[0].prompt_square / laid.asked[0].prompt ** 2 / 2.0
    return squared * used / (1.0 - used) * laid.counts[:, c.OWN] * of.mixed_s
