"""Configurations of one service at its demand, as columns: the wide pass laid out on every kind of system.

An aggregated row is a replica at an operating point; it is repeated until the demand is a stated share of its capacity
(headroom). A disaggregated row pairs a prefill with a decode configuration: `pairing`.
"""

from __future__ import annotations

from dataclasses import dataclass, fields

import numpy as np
from numpy.typing import NDArray

from tokenworks.plan.ask import Array
from tokenworks.plan.sample import Asked
from tokenworks.plan.shapes import Shape
from tokenworks.plan.systems import Kind
from tokenworks.plan.wide import Wide

Ints = NDArray[np.int64]
NONE = -1


@dataclass(frozen=True)
class Table:
    """One service's configurations; columns (n,)."""

    kind: Ints  # of system
    main: Ints  # row of the wide pass that decodes
    prefill: Ints  # row of the prefill pool; NONE: aggregated
    workers: Array  # aggregated or decode
    prefill_workers: Array
    gpus: Array  # used
    share: Array  # systems needed, not yet whole
    capacity_s: Array  # requests per second that all of them sustain
    rate_s: Array  # requests per second that they are planned for
    ttft_s: Array
    tpot_s: Array
    e2e_s: Array
    board_w: Array  # of the used boards at the planned rate
    busy: Array  # share of the used GPUs' time
    kv_share: Array

    def __len__(self) -> int:
        return len(self.kind)

    def take(self, rows: NDArray[np.generic]) -> Table:
        return Table(**{f.name: getattr(self, f.name)[rows] for f in fields(self)})


@dataclass(frozen=True)
class Space:
    """The wide pass of one service and what it was made of."""

    asked: Asked
    shapes: tuple[Shape, ...]
    wide: Wide
    kinds: tuple[Kind, ...]
    left_out: dict[str, int]
    idle_w: dict[str, float]  # of one board, by system


def aggregated(
    space: Space, number: int, rows: Ints, rate_s: Array | float | None, headroom: float, slower: float
) -> Table:
    """Replicas of some rows of the wide pass as pools for a rate, or a rate each (None: one worker, and what it carries)."""
    wide, kind = space.wide, space.kinds[number]
    able = wide.requests_s[rows] * slower
    workers = np.ones(len(rows)) if rate_s is None else np.ceil(rate_s / (able * (1 - headroom)) - 1e-9)
    planned = able * (1 - headroom) if rate_s is None else np.full(len(rows), rate_s)
    capacity, gpus = workers * able, wide.gpus[rows].astype(float)
    busy = planned / capacity
    idle = space.idle_w[kind.system] * gpus
    return Table(
        kind=np.full(len(rows), number),
        main=rows,
        prefill=np.full(len(rows), NONE),
        workers=workers,
        prefill_workers=np.zeros(len(rows)),
        gpus=workers * gpus,
        share=workers / np.maximum(1, kind.gpus // gpus),
        capacity_s=capacity,
        rate_s=planned,
        ttft_s=wide.ttft_s[rows],
        tpot_s=wide.tpot_s[rows],
        e2e_s=wide.ttft_s[rows] + wide.tpot_s[rows] * (space.asked.output_p95 - 1),
        board_w=workers * (busy * wide.board_w[rows] + (1 - busy) * idle),
        busy=busy,
        kv_share=wide.kv_share[rows],
    )
