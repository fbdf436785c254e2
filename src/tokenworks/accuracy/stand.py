"""The cell in which an experiment is rehearsed: one rank of one worker, or the pools of a disaggregated deployment."""

from __future__ import annotations

from dataclasses import replace

import numpy as np

from tokenworks.accuracy.experiments import Experiment
from tokenworks.accuracy.loads import Load
from tokenworks.events.requests import Requests
from tokenworks.physics.compile import compile_worker
from tokenworks.physics.terms import Terms, resolve
from tokenworks.physics.worker_model import TICKS_PER_S, IntArray, StepTable, WorkerModel
from tokenworks.twin.cell import Cell, ServicePlan


def cell_of(experiment: Experiment, model: WorkerModel) -> Cell:
    """``model``: of the deployment (`model_of`); a split experiment decodes on it."""
    split = experiment.split
    if split is None:
        return Cell((one_rank(model),), (0,), (ServicePlan("alone", workers=(0,)),))
    known = split.terms or resolve(split.prefill, client=experiment.harness)
    prefill = compile_worker(split.prefill, terms=in_role(known, split.prefill_speed))
    first, rest = split.prefill_workers, split.decode_workers
    plan = ServicePlan("split", prefill=tuple(range(first)), decode=tuple(range(first, first + rest)))
    return Cell((prefill, model), (0,) * first + (1,) * rest, (plan,))


def model_of(experiment: Experiment, terms: Terms) -> WorkerModel:
    """The deployment of an experiment under these terms, in its role."""
    speed = experiment.split.decode_speed if experiment.split else 1.0
    return compile_worker(experiment.deployment, terms=in_role(terms, speed))


def in_role(terms: Terms, speed: float) -> Terms:
    """Terms of workers that only prefill, or only decode."""
    return replace(terms, speed=terms.speed * speed)


def one_rank(model: WorkerModel) -> WorkerModel:
    """One attention-DP rank that stands for all, taken as equally loaded: in lock-step the others cost the same time at
    once, and the same joules again."""
    if model.ranks == 1:
        return model
    return replace(model, ranks=1, levels=tuple(_one_of(level, model.ranks) for level in model.levels))


def _one_of(table: StepTable, ranks: int) -> StepTable:
    """The shared terms go into a rank's own, at ``ranks`` times its count."""
    own = lambda shared, like: shared[..., : ranks * like.shape[-1] : ranks]  # noqa: E731
    return replace(
        table,
        decode=table.decode + own(table.shared_decode, table.decode),
        mixed=table.mixed + own(table.shared_mixed, table.mixed),
        joule_decode=ranks * table.joule_decode + own(table.joule_shared_decode, table.joule_decode),
        joule_mixed=ranks * table.joule_mixed + own(table.joule_shared_mixed, table.joule_mixed),
        joule_seqs=ranks * table.joule_seqs,
        joule_pair=ranks * table.joule_pair,
        joule_context=ranks * table.joule_context,
        shared_decode=_none(table.decode),
        shared_mixed=_none(table.mixed),
        joule_shared_decode=_none(table.joule_decode),
        joule_shared_mixed=_none(table.joule_mixed),
    )


def _none(like: IntArray) -> IntArray:
    return np.zeros_like(like)


def requests_of(load: Load) -> Requests:
    """The load as a stream of the twin."""
    n = len(load.arrival_s)
    zero = np.zeros(n, np.int64)
    think = np.full(n, round(load.turnaround_s * TICKS_PER_S), np.int64)
    return Requests(
        np.rint(load.arrival_s * TICKS_PER_S).astype(np.int64), load.input_tokens.astype(np.int32),
        load.output_tokens.astype(np.int32), np.zeros(n, np.int16), np.zeros(n, np.int32), zero - 1,
        np.zeros(n, np.int8), zero, think, np.zeros(n + 1, np.int64), np.zeros(0, np.uint64), 0,
    )  # fmt: skip
