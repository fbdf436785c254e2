"""Shapley values of a step: what each sequence adds to the cost of the batches that it could have joined, on average."""

from __future__ import annotations

from dataclasses import dataclass
from fractions import Fraction
from itertools import combinations
from math import factorial

import numpy as np

from tokenworks.physics.worker_model import WorkerModel
from tokenworks.twin.cell import Cell, ServicePlan, TwinOptions
from tokenworks.twin.reference_shares import SharingReference
from tokenworks.workload.generate import requests


@dataclass(frozen=True)
class Member:
    """A sequence of a batch: ``stored`` tokens of context, and prompt tokens to compute (0: it decodes)."""

    stored: int
    chunk: int = 0


def step(model: WorkerModel, batch: tuple[Member, ...]) -> tuple[SharingReference, object]:
    """A worker of the slow simulator in the middle of a step with this batch on its first rank."""
    cell = Cell((model,), (0,), (ServicePlan("s", workers=(0,)),))
    zeros = np.zeros(len(batch))
    slow = SharingReference(cell, requests(zeros, zeros + 1, zeros + 1), TwinOptions())
    worker = slow.workers[0]
    for member, r in zip(batch, slow.requests, strict=True):
        r.stored, r.chunk, r.worker = member.stored, member.chunk, 0
        r.goal = member.stored + member.chunk  # the prompt's last chunk
        worker.ranks[0].running.append(r)
    worker.mixed = any(m.chunk for m in batch)
    slow._cost(worker, worker.mixed)
    return slow, worker


def costs(model: WorkerModel, batch: tuple[Member, ...]) -> tuple[int, int]:
    """Fine (ticks, dynamic microjoules) of a step with a batch; an empty one costs nothing."""
    if not batch:
        return 0, 0
    _, worker = step(model, batch)
    return worker.fine, worker.joule_fine


def by_rule(model: WorkerModel, batch: tuple[Member, ...]) -> list[list[int]]:
    """Shares (time, joules) of each sequence by the rule."""
    slow, worker = step(model, batch)
    slow._share(worker)
    return slow.own


def by_shapley(model: WorkerModel, batch: tuple[Member, ...]) -> list[list[Fraction]]:
    n, worth = len(batch), {}
    for size in range(n + 1):
        for who in combinations(range(n), size):
            worth[who] = costs(model, tuple(batch[i] for i in who))
    values = [[Fraction(0), Fraction(0)] for _ in batch]
    for who, worth_of in worth.items():
        weight = Fraction(factorial(len(who)) * factorial(n - 1 - len(who)), factorial(n)) if len(who) < n else 0
        for i in set(range(n)) - set(who):
            joined = worth[tuple(sorted((*who, i)))]
            for q in range(2):
                values[i][q] += weight * (joined[q] - worth_of[q])
    return values


def gaps(model: WorkerModel, batch: tuple[Member, ...], q: int) -> list[float]:
    """By how much of the whole step the rule's share of each sequence is above its Shapley value."""
    whole = costs(model, batch)[q]
    rule, fair = by_rule(model, batch), by_shapley(model, batch)
    return [float((r[q] - f[q]) / whole) for r, f in zip(rule, fair, strict=True)]
