"""What a rehearsal did: seconds of its workers by operator, its mean batch, and how full its memory was."""

from __future__ import annotations

from dataclasses import dataclass, replace

import numpy as np
from numpy.typing import NDArray

from tokenworks.accuracy.experiments import Experiment
from tokenworks.accuracy.slopes import schedule_of
from tokenworks.accuracy.stand import in_role
from tokenworks.accuracy.validate import Rehearsed
from tokenworks.physics.deployment import Deployment
from tokenworks.physics.memory import memory_map
from tokenworks.physics.schedule import Schedule
from tokenworks.physics.shares import CACHE, HOST, PROMPTS, THROTTLED, operator_seconds
from tokenworks.physics.step import Machine
from tokenworks.physics.terms import Terms, resolve
from tokenworks.physics.worker_model import TICKS_PER_S
from tokenworks.twin.cell import StepLog

SKEW, IDLE = "busiest rank", "idle"
# What people call a group of operators, and which operators it holds.
GROUPS: dict[str, tuple[str, ...]] = {
    "qkv": ("qkv", "mla down", "mla q up", "mla kv up", "linear mixer", "indexer"),
    PROMPTS: (PROMPTS,),
    CACHE: (CACHE, "linear state"),
    "attention out": ("attention out",),
    "feed-forward": ("ffn up", "ffn down", "shared up", "shared down"),
    "experts": ("experts", "router", "experts down", "experts up"),
    "head": ("head",),
    "norms, activations": ("norms and activations", "activations"),
    "collectives": ("all-reduce", "dispatch and combine"),
    "launches": ("kernel launches",),
    "host": (HOST,),
    THROTTLED: (THROTTLED,),
    SKEW: (SKEW,),
    IDLE: (IDLE,),
}
OPERATORS = tuple(GROUPS)
_GROUP = {name: group for group, names in GROUPS.items() for name in names}


@dataclass(frozen=True)
class Breakdown:
    """Of all workers that were simulated. Shares are of their time from first to last, in the order of OPERATORS."""

    shares: tuple[float, ...]
    worker_s: float  # simulated seconds, summed over workers
    with_prefill: float  # share of busy time in steps that hold prefill tokens
    sequences: float  # mean decode sequences of a step that has any, per attention rank


def breakdown(done: Rehearsed) -> Breakdown:
    """The seconds of a recorded rehearsal by group of operators."""
    log = done.run.steps
    assert log is not None
    seconds = dict.fromkeys(OPERATORS, 0.0)
    for deployment, terms, rows, ranks in _pools(done, log):
        part = _rows(log, rows)
        found = operator_seconds(Machine.of(deployment, terms=terms), _per_rank(schedule_of(part), ranks))
        for name, value in found.items():
            seconds[_GROUP[name]] += value
        if ranks > 1:  # the step waits for the busiest rank; what is priced is the mean one
            seconds[SKEW] += max(0.0, _busy(part) - sum(found.values()))
    workers, busy = _workers(done.experiment), sum(seconds.values())
    seconds[IDLE] = max(0.0, workers * done.run.end_s - busy)
    whole = sum(seconds.values())
    decoding = log.steps[log.sequences > 0]
    batch = float((log.steps * log.sequences).sum() / max(1, decoding.sum()))
    filling = float((log.end - log.start)[log.mixed].sum() / max(1, (log.end - log.start).sum()))
    ranks = done.experiment.deployment.dp if done.experiment.split else 1
    return Breakdown(tuple(s / whole for s in seconds.values()), whole, filling, batch / ranks)


def _pools(done: Rehearsed, log: StepLog) -> list[tuple[Deployment, Terms, NDArray[np.bool_], int]]:
    """Deployment, terms, rows of the log and simulated attention ranks of each kind of worker."""
    found, split = done.experiment, done.experiment.split
    if split is None:
        return [(found.deployment, done.terms, np.ones(len(log.end), dtype=bool), 1)]
    fills = log.worker < split.prefill_workers
    prefill = in_role(split.terms or resolve(split.prefill, client=found.harness), split.prefill_speed)
    return [
        (split.prefill, prefill, fills, split.prefill.dp),
        (found.deployment, in_role(done.terms, split.decode_speed), ~fills, found.deployment.dp),
    ]


def _rows(log: StepLog, rows: NDArray[np.bool_]) -> StepLog:
    names = ("worker", "start", "end", "steps", "mixed", "sequences", "tokens", "sampled", "line", "pairs", "keys")
    return replace(log, **{name: getattr(log, name)[rows] for name in names})


def _per_rank(schedule: Schedule, ranks: int) -> Schedule:
    """The mean rank of a worker whose log sums over its ranks."""
    if ranks == 1:
        return schedule
    names = ("sequences", "tokens", "sampled", "pairs", "keys")
    return replace(schedule, **{name: getattr(schedule, name) / ranks for name in names})


def _busy(log: StepLog) -> float:
    return float((log.end - log.start).sum()) / TICKS_PER_S


def _workers(found: Experiment) -> int:
    return found.split.prefill_workers + found.split.decode_workers if found.split else 1


def memory_pressure(found: Experiment, terms: Terms, sequences: float) -> float:
    """(weights + reserve + KV of all sequences that may run at once, at their full length) / memory that the engine may use.

    Above 1 some of them wait or are preempted. In an open loop ``sequences``, the mean that ran, counts.
    """
    machine = Machine.of(found.deployment, terms=terms)
    sizes, load, split = memory_map(machine), found.load, found.split
    most = load.clients or len(load.arrival_s)
    if split:
        most = -(-most // (split.decode_workers * found.deployment.dp))
    together = sequences if found.mode == "open" else min(most, found.deployment.max_seqs)
    length = float((load.input_tokens + load.output_tokens).mean())
    fixed = sizes.weights + sizes.reserve + sizes.fixed_kv
    return (fixed + together * length * machine.part.kv_bytes_per_token) / sizes.usable
