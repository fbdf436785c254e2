"""Errors of predictions that no fit had seen, row by row, so that whole rows can be drawn: what one experiment was wrong
by in its latencies and its throughput together."""

from __future__ import annotations

import math
import zlib
from collections.abc import Iterable, Sequence
from dataclasses import dataclass

import numpy as np

from tokenworks.accuracy.experiments import DISAGGREGATED, mode_of
from tokenworks.accuracy.intervals import NOVELTIES, Residuals
from tokenworks.accuracy.joint import Array, in_bounds
from tokenworks.accuracy.left_out import LeftOut, left_out
from tokenworks.accuracy.packed import load_measurements
from tokenworks.accuracy.ranking import throughput, tpot
from tokenworks.accuracy.rows import Measurement
from tokenworks.accuracy.splits import group
from tokenworks.accuracy.validate import UNSUPPORTED, Answer, validate

METRICS = ("ttft", "tpot", "throughput")


@dataclass(frozen=True)
class Error:
    """log(measured / predicted) of one experiment; above 0: more than predicted."""

    mode: str  # closed, open or disaggregated
    half: int  # 0 or 1: rows of one accelerator, model and engine are in the same half
    ttft: float
    tpot: float
    throughput: float  # of an open loop 0: it gives what it is asked for


def unseen(of: LeftOut | None = None) -> list[Error]:
    """Closed and open loops whose accelerator, model and engine the fit that predicted them had not seen together; those
    alone that say all three."""
    rows = [m for m in load_measurements() if m.row.serving in ("closed_loop", "open_loop")]
    return errors((of or left_out()).answered("groups", rows))


def pools_unseen(processes: int = 2) -> list[Error]:
    """Disaggregated experiments, of which no fit has seen any, rehearsed now."""
    rows = [
        m for m in load_measurements() if m.row.disaggregated == "true" and m.split != "validation" and not m.problem
    ]
    answers = validate(rows, processes, lambda _: None)
    return errors((m, a) for m, a in zip(rows, answers, strict=True) if a.status != UNSUPPORTED)


def errors(answered: Iterable[tuple[Measurement, Answer]]) -> list[Error]:
    """Errors of the rows with all three metrics."""
    found = []
    for m, a in answered:
        mode = DISAGGREGATED if m.row.disaggregated == "true" else mode_of(m.row)
        rate = (1.0, 1.0) if mode == "open" else throughput(m, a)
        gaps, first = tpot(m, a), _ttft(m, a)
        if rate and gaps and first:
            half = zlib.crc32(repr(group(m.row)).encode()) % 2
            found.append(Error(mode, half, *(math.log(measured / p) for measured, p in (first, gaps, rate))))
    return found


def _ttft(m: Measurement, a: Answer) -> tuple[float, float] | None:
    if m.targets.ttft_ms_mean and a.ttft_mean:
        return m.targets.ttft_ms_mean, a.ttft_mean
    return (m.targets.ttft_ms_median, a.ttft_median) if m.targets.ttft_ms_median and a.ttft_median else None


def as_residuals(of: Sequence[Error]) -> Residuals:
    """What `intervals.build` makes bounds of: every kind of novelty takes the same ones."""
    found: dict[tuple[str, str, str], list[float]] = {}
    for e in of:
        for metric in METRICS:
            if e.mode != "open" or metric != "throughput":
                for novelty in NOVELTIES:
                    found.setdefault((metric, e.mode, novelty), []).append(getattr(e, metric))
    return found


def as_joint(of: Sequence[Error]) -> Array:
    """(n, 3) of closed loops as `joint.joint_errors` has them: in bounds of their own."""
    return in_bounds(np.array([[getattr(e, metric) for metric in METRICS] for e in of if e.mode == "closed"]))
