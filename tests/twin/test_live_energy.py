"""Joules of a live worker's requests: those of the slow reference, and none made or lost."""

import numpy as np
import pytest
from random_cases import random_model

from tokenworks.events.requests import Requests
from tokenworks.twin.cell import Cell, ServicePlan, TwinOptions
from tokenworks.twin.live import LiveWorker
from tokenworks.twin.reference import FINE
from tokenworks.twin.reference_shares import SharingReference


def drawn(dice):
    n = int(dice.integers(1, 25))
    return Requests(
        arrival=np.sort(dice.choice(10**10, n, replace=False)), input_tokens=dice.integers(1, 40, n).astype(np.int32),
        output_tokens=dice.integers(1, 20, n).astype(np.int32), service=np.zeros(n, np.int16), tenant=np.zeros(n, np.int32),
        session=np.full(n, -1), priority=np.zeros(n, np.int8), timeout=np.zeros(n, np.int64), think=np.zeros(n, np.int64),
        block_start=np.zeros(n + 1, np.int64), block_hash=np.zeros(0, np.uint64), hash_block_tokens=1,
    )  # fmt: skip


def played(model, asked, dice=None):
    """(worker, {number: joules at its end}, numbers that were dropped)."""
    worker, ended, seen = LiveWorker(model), {}, {}

    def look(now):
        for _, steps in worker.advance(now):
            for step in steps:
                n = step.request.number
                if step.finished:
                    ended[n] = step.energy_uj
                else:
                    assert step.energy_uj >= 0
                seen[n] = step.request

    inside = []
    for i in range(len(asked)):
        now = int(asked.arrival[i])
        look(now)
        entered = worker.enter(int(asked.input_tokens[i]), int(asked.output_tokens[i]), now)
        if entered is not None:
            inside.append(entered)
        if dice is not None and inside and dice.random() < 0.3:
            gone = inside.pop(int(dice.integers(len(inside))))
            if gone.number not in ended:
                worker.drop(gone)
    look(2**62)
    return worker, ended


@pytest.mark.parametrize("seed", range(60))
def test_requests_get_the_microjoules_that_the_reference_gives_them(seed):
    dice = np.random.default_rng(seed)
    model = random_model(dice, 0)
    asked = drawn(dice)
    worker, ended = played(model, asked)
    slow = SharingReference(Cell((model,), (0,), (ServicePlan("s", workers=(0,)),)), asked, TwinOptions())
    slow.run()
    assert ended == {n: parts[0][1] for n, parts in enumerate(slow.parts) if parts}
    assert worker.shares.lost_uj == slow.meters[0].lost[1] >> 20


@pytest.mark.parametrize("seed", range(60))
def test_requests_and_what_was_lost_are_the_workers_joules_whoever_leaves(seed):
    dice = np.random.default_rng(seed)
    model = random_model(dice, 0)
    worker, ended = played(model, drawn(dice), dice)
    assert worker.outstanding == 0
    books = worker.shares
    whole = (sum(ended.values()) + books.lost_uj) * FINE + books.carried
    inner = worker._worker
    assert whole == inner.joules * FINE + inner.joule_carry
    assert all(uj >= 0 for uj in ended.values())
