"""Robust plans: the margins hold what they promise, in draws of the errors that they are made of."""

from math import exp

import numpy as np
import pytest

from tokenworks.accuracy.intervals import shipped
from tokenworks.plan.ask import Ask
from tokenworks.plan.demand import AskedService
from tokenworks.plan.robust import HOLDS, Errors, held_share, level, margins
from tokenworks.plan.sample import Asked

ERRORS = Errors((-0.3, 0.5), (-0.1, 0.2), (-0.25, 0.1))


def asked(ttft: float | None, tpot: float | None, e2e: float | None = None) -> Asked:
    service = AskedService.model_validate({"name": "a", "model": "llama-3.1-8b"})
    return Asked(service, Ask(np.ones(1), np.ones(1), ttft, tpot, e2e), 1.0, 1.0, 1.0, 1.0, False)


@pytest.mark.parametrize("limits", [(1.0, 0.05), (1.0, None), (None, None)])
def test_at_the_margins_everything_holds_in_nine_of_ten_draws(limits):
    who = asked(*limits)
    m = margins(ERRORS, level(who))
    latencies = [
        (name, limit / getattr(m, name), limit) for name, limit in zip(("ttft", "tpot"), limits, strict=True) if limit
    ]
    share = held_share(ERRORS, latencies, m.throughput, seed=3)
    assert share == pytest.approx(HOLDS, abs=0.01)


def test_a_plan_without_margins_holds_in_half_of_them_or_fewer():
    assert held_share(ERRORS, [("ttft", 1.0, 1.0)], 0.1) == pytest.approx(0.5, abs=0.02)
    assert held_share(ERRORS, [("ttft", 1.0, 1.0), ("tpot", 0.05, 0.05)], 1.0) == pytest.approx(0.125, abs=0.02)


def test_ten_of_a_hundred_lie_beyond_a_bound():
    assert held_share(ERRORS, [("ttft", 1.0, exp(0.5))], 0.0) == pytest.approx(0.9, abs=0.01)
    assert held_share(ERRORS, [], exp(-0.25)) == pytest.approx(0.9, abs=0.01)


def test_more_objectives_need_wider_margins():
    one, three = (margins(ERRORS, level(asked(*limits))) for limits in ((None, None), (1.0, 0.05)))
    assert three.throughput < one.throughput < 1
    assert three.ttft > one.ttft > 1


def test_every_shipped_interval_is_one_that_draws_can_be_made_of():
    """Bounds on both sides of 0: what half-normals around 0 need."""
    for name, bound in shipped()["bounds"].items():
        assert bound["low"] < 0 < bound["high"], name
