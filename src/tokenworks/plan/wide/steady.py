"""The wide pass: what a replica of every shape does at every batch, in closed form."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING

import numpy as np
from numpy.typing import NDArray

from tokenworks.errors import InputError
from tokenworks.plan.ask import Array, Ask
from tokenworks.plan.wide import counting as c
from tokenworks.plan.wide.rows import Ints, Rows, rows
from tokenworks.plan.wide.steps import BASE, INGRESS_S, MOVE_S, STEP_S, WATTS
from tokenworks.plan.wide.times import Times, times

if TYPE_CHECKING:
    from tokenworks.plan.shapes import Shape

Mask = NDArray[np.bool_]


@dataclass(frozen=True)
class Wide:
    """One row = one configuration: a shape at a mean number of requests on each attention rank, in steady state.

    A row is an operating point. A replica that is flooded runs at its largest batch; one with less to do runs at the
    smaller batch whose ``requests_s`` is its load, with that row's latencies. All figures are means over requests, none
    a percentile. TTFT holds what is between a caller and the first token but for a queue before a full batch; of decode
    replicas it is the KV transfer that TPOT holds too. Only rows whose batch fits the cache are given, and one of each shape.
    """

    shape: Ints  # (n,) which of the shapes, ascending
    batch: Ints  # requests on each attention rank (prefill: waiting or computed)
    gpus: Ints  # of the replica
    requests_s: Array  # that the replica completes (prefill: prompts; decode: answers)
    output_tokens_s: Array
    ttft_s: Array
    tpot_s: Array  # per output token after the first; 0 where there is none
    board_w: Array  # mean of all boards of the replica
    kv_share: Array  # of the KV cache that the batch needs; > 1 = does not fit
    idle_w: Array  # of all boards of the replica while it has nothing to do

    def __len__(self) -> int:
        return len(self.shape)


def wide(shapes: Sequence[Shape], ask: Ask) -> Wide:
    """Every shape at every batch. Raises InputError where there is no shape."""
    if not shapes:
        raise InputError("the search has no kind of replica to look at")
    laid = rows(shapes, ask)
    found = steady(laid, times(laid), shapes)
    order = np.argsort(laid.shape, kind="stable")
    return Wide(**{name: getattr(found, name)[order] for name in Wide.__dataclass_fields__})


def steady(laid: Rows, of: Times, shapes: Sequence[Shape]) -> Wide:
    """Rates and latencies from counts of steps and their times.

    Throughput: p requests a step over the mean step, for every rank. Mean step: (1 − f)·decode + f·mixed where prompts are
    computed beside decode (f: share of steps with prompts), decode + f·prefill where they are computed alone (f: prefill
    steps per decode step). TPOT is that mean as a decoding sequence sees it. TTFT: the rest of the running step, E[t²] /
    2E[t], the steps of prompts ahead, the own prompt's. Prefill alone: Little's law, b over the rate.
    """
    counts, settings, known = laid.counts, laid.settings, of.constants
    role, ranks = settings[:, c.ROLE], settings[:, c.RANKS]
    output = laid.asked[0].output
    steps = settings[:, c.STEPS]
    apart = (settings[:, c.ALONE] == 1.0) & (role == c.SERVE) & (steps > 0)
    mean_s, seen_s = _mean(counts[:, c.MIXED], of, apart), _mean(counts[:, c.SEEN], of, apart)
    requests_s = ranks * counts[:, c.RATE] / mean_s
    joules = np.where(apart, 1.0, 1.0 - counts[:, c.MIXED]) * of.decode_j + counts[:, c.MIXED] * of.mixed_j
    per_token = steps / max(1e-12, output - 1.0)  # decode steps of an output token after the first
    only = (role == c.PREFILL) | (steps <= 0)
    first, move_s = _ttft(laid, of, mean_s, apart), _move_s(laid, known)
    first = np.where(only, settings[:, c.BATCH] * mean_s / counts[:, c.RATE] + known[:, INGRESS_S], first)
    tpot = per_token * seen_s
    moved = role == c.DECODE
    busy = counts[:, c.BUSY]
    static_w, idle_w = known[:, BASE] * known[:, WATTS], _idle_w(laid)
    return Wide(
        shape=laid.shape,
        batch=laid.batch.astype(np.int64),
        gpus=np.array([s.deployment.gpus for s in shapes])[laid.shape],
        requests_s=requests_s,
        output_tokens_s=requests_s * np.where(only, 1.0, np.where(moved, output - 1.0, output)),
        ttft_s=np.where(moved, move_s, first),
        tpot_s=np.where(only, 0.0, np.where(moved, tpot + (move_s + seen_s / 2) / max(1.0, output - 1.0), tpot)),
        board_w=busy * (joules / mean_s + static_w) + (1.0 - busy) * idle_w,
        kv_share=laid.kv_share,
        idle_w=idle_w,
    )


def _mean(share: Array, of: Times, apart: Mask) -> Array:
    """Mean step; of replicas that prefill alone per decode step."""
    return np.where(apart, of.decode_s + share * of.mixed_s, (1.0 - share) * of.decode_s + share * of.mixed_s)


def _ttft(laid: Rows, of: Times, mean_s: Array, apart: Mask) -> Array:
    """Rest of the step in which a request comes, steps until it is looked at, prompts ahead, its own.

    A step's time varies with the prompts in it, a Poisson number of random lengths, and one's own step is longer than
    the mean one with prompts: it holds oneself and the Poisson others.
    """
    counts, settings, share = laid.counts, laid.settings, laid.counts[:, c.MIXED]
    asked = laid.asked[0]
    pure = np.where(apart, 1.0, 1.0 - share)
    square = pure * of.decode_s**2 + share * of.mixed_s**2
    per_token = np.maximum(0.0, of.mixed_s - of.decode_s) / np.maximum(counts[:, c.CHUNK], 1.0)
    one = counts[:, c.OWN] < 1.5
    square = np.maximum(square, one * (mean_s**2 + per_token**2 * counts[:, c.RATE] * asked.prompt_square))
    looked = (settings[:, c.INTERVAL] - 1.0) / 2.0 + settings[:, c.PLANS]
    with_me = asked.prompt / counts[:, c.OWN] + counts[:, c.RATE] * asked.prompt
    more = np.maximum(0.0, np.minimum(with_me, settings[:, c.BUDGET]) - counts[:, c.CHUNK]) * per_token
    own = counts[:, c.OWN] * (of.mixed_s + one * more)
    rest = np.where(apart & ~one, _behind_prompts(laid, of, mean_s), square / (2.0 * mean_s))
    return rest + looked * mean_s + counts[:, c.AHEAD] * of.mixed_s + own + of.constants[:, INGRESS_S]


def _behind_prompts(laid: Rows, of: Times, mean_s: Array) -> Array:
    """Wait where prompts of many steps are computed alone, one after the other: M/G/1 (Pollaczek and Khinchine), ρ the
    share of time in prompts, and half a decode step where there is none."""
    counts, asked = laid.counts, laid.asked[0]
    used = np.minimum(0.98, counts[:, c.MIXED] * of.mixed_s / mean_s)
    squared = asked.prompt_square / asked.prompt**2 / 2.0
    return squared * used / (1.0 - used) * counts[:, c.OWN] * of.mixed_s + (1.0 - used) * of.decode_s / 2.0


def _move_s(laid: Rows, known: Array) -> Array:
    """Seconds in which a prompt's cache goes from a prefill to a decode replica."""
    return known[:, STEP_S] + laid.asked[0].moved * known[:, MOVE_S]


def _idle_w(laid: Rows) -> Array:
    idle = np.array([m.chip.idle_w * m.deployment.gpus for m in laid.machines])
    return np.repeat(idle, np.diff(laid.start))
