"""The wide pass: what a replica of every shape does at every batch, in closed form."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING

import numpy as np

from tokenworks.errors import InputError
from tokenworks.plan.ask import Array, Ask
from tokenworks.plan.machines import Machines
from tokenworks.plan.wide import counting as c
from tokenworks.plan.wide.first_token import Mask, first_token
from tokenworks.plan.wide.rows import Ints, Rows, rows
from tokenworks.plan.wide.steps import BASE, MOVE_S, NEAR_S, STEP_S, WATTS
from tokenworks.plan.wide.times import Times, times

if TYPE_CHECKING:
    from tokenworks.plan.shapes import Shape


@dataclass(frozen=True)
class Wide:
    """One row = one configuration: a shape at a mean number of requests on each attention rank, in steady state.

    A row is an operating point. A replica that is flooded runs at its largest batch; one with less to do runs at the
    smaller batch whose ``requests_s`` is its load, with that row's latencies. Figures are
    means over requests but for one. TTFT holds what is between a caller and the first token but for a queue before a full
    batch; of decode replicas it is the KV transfer that TPOT holds too. Only rows whose batch fits the cache are given, and
    one of each shape at least.
    """

    shape: Ints  # (n,) which of the shapes, ascending
    batch: Ints  # requests on each attention rank (prefill: waiting or computed)
    gpus: Ints  # of the replica
    requests_s: Array  # that the replica completes (prefill: prompts; decode: answers)
    output_tokens_s: Array
    ttft_s: Array
    tpot_s: Array  # per output token after the first; 0 where there is none
    near_tpot_s: Array  # where the cache comes to a decode replica by the links of a scale-up domain
    board_w: Array  # mean of all boards of the replica
    kv_share: Array  # of the KV cache that the batch needs; > 1 = does not fit
    idle_w: Array  # of all boards of the replica while it has nothing to do
    ttft_p95_s: Array  # rough and mostly low: `first_token`

    def __len__(self) -> int:
        return len(self.shape)

    def take(self, rows: Ints) -> Wide:
        """Some of the rows."""
        return Wide(**{name: getattr(self, name)[rows] for name in Wide.__dataclass_fields__})


def wide(shapes: Sequence[Shape], ask: Ask, machines: Machines | None = None) -> Wide:
    """Every shape at every batch. ``machines``: those that several calls share. Raises InputError where there is no shape."""
    if not shapes:
        raise InputError("the search has no kind of replica to look at")
    laid = rows(shapes, ask, machines or Machines())
    found = steady(laid, times(laid), shapes)
    order = np.argsort(laid.shape, kind="stable")
    return found.take(order)


def steady(laid: Rows, of: Times, shapes: Sequence[Shape]) -> Wide:
    """Rates and latencies from counts of steps and their times.

    Throughput: p requests a step over the mean step, for every rank. Mean step: (1 − f)·decode + f·mixed where prompts are
    computed beside decode (f: share of steps with prompts), decode + f·prefill where they are computed alone (f: prefill
    steps per decode step). TPOT is that mean as a decoding sequence sees it. TTFT: `first_token`.
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
    first, late = first_token(laid, of, mean_s, apart, only)
    move_s, near_s = (_move_s(laid, known, by) for by in (MOVE_S, NEAR_S))
    tpot = per_token * seen_s
    later = max(1.0, output - 1.0)
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
        tpot_s=np.where(only, 0.0, np.where(moved, tpot + (move_s + seen_s / 2) / later, tpot)),
        near_tpot_s=np.where(only, 0.0, np.where(moved, tpot + (near_s + seen_s / 2) / later, tpot)),
        board_w=busy * (joules / mean_s + static_w) + (1.0 - busy) * idle_w,
        kv_share=laid.kv_share,
        idle_w=idle_w,
        ttft_p95_s=np.where(moved, move_s, late),
    )


def _mean(share: Array, of: Times, apart: Mask) -> Array:
    """Mean step; of replicas that prefill alone per decode step."""
    return np.where(apart, of.decode_s + share * of.mixed_s, (1.0 - share) * of.decode_s + share * of.mixed_s)


def _move_s(laid: Rows, known: Array, by: int) -> Array:
    """Seconds in which a prompt's cache goes from a prefill to a decode replica. ``by``: the constant of the way it takes."""
    return known[:, STEP_S] + laid.asked[0].moved * known[:, by]


def _idle_w(laid: Rows) -> Array:
    idle = np.array([m.chip.idle_w * m.deployment.gpus for m in laid.machines])
    return np.repeat(idle, np.diff(laid.start))
