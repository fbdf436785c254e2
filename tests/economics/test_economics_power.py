"""From boards to the meter: supplies, path losses by load and redundancy, cooling, PUE."""

from __future__ import annotations

from dataclasses import replace

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from made_up import HOSTS, SITE

from tokenworks.economics.path import LossShape, PathStage, oversize, path_input_w
from tokenworks.economics.pue import PueSurface

SHAPE = LossShape(0.4, 0.2)
STAGES = (PathStage("transformer", 0.98, 1.0), PathStage("UPS", 0.95, 1.0), PathStage("PDU", 0.98, 1.0))


def watts(*values: float) -> np.ndarray:
    return np.array(values, float)


def test_it_power_by_hand() -> None:
    # (5000 + 400 + half of 400 + 100 + 500) · 1.1 / 0.9
    assert HOSTS.it_w(watts(5000), watts(0.5))[0] == pytest.approx(6200 * 1.1 / 0.9)


def test_path_at_design_load_is_the_product_of_efficiencies() -> None:
    assert path_input_w(STAGES, SHAPE, watts(1000), 1000.0)[0] == pytest.approx(1000 / (0.98 * 0.95 * 0.98))


def test_path_by_hand_at_half_load() -> None:
    ups = (PathStage("UPS", 0.95, 1.0),)  # loss at full load 1000·(1/0.95 − 1), at half: 0.4 + 0.2 + 0.05 of it
    assert path_input_w(ups, SHAPE, watts(500), 1000.0)[0] == pytest.approx(500 + 0.65 * 1000 * (1 / 0.95 - 1))


def test_redundancy_costs_energy_at_usual_loads() -> None:
    """2N runs each unit at half of its load and pays the no-load loss twice."""
    drawn = [
        path_input_w((PathStage("UPS", 0.95, oversize(kind, 4)),), SHAPE, watts(600), 1000.0)[0]
        for kind in ("N", "N+1", "2N")
    ]
    assert drawn == sorted(drawn)
    assert drawn[0] < drawn[2]


@settings(derandomize=True, max_examples=100, deadline=None)
@given(st.floats(0.01, 1.0), st.floats(0.01, 1.0), st.sampled_from(["N", "N+1", "2N"]))
def test_path_takes_more_for_more_and_never_less_than_it_gives(a: float, b: float, kind: str) -> None:
    stages = tuple(replace(s, oversize=oversize(kind, 4)) for s in STAGES)
    low, high = path_input_w(stages, SHAPE, watts(1000 * min(a, b), 1000 * max(a, b)), 1000.0)
    assert low <= high
    assert low > 1000 * min(a, b)


@settings(derandomize=True, max_examples=100, deadline=None)
@given(st.floats(-20, 45), st.floats(-20, 45), st.floats(0.05, 1.0), st.floats(0.05, 1.0))
def test_pue_falls_with_load_and_rises_with_warmth(t0: float, t1: float, l0: float, l1: float) -> None:
    cold, warm = (replace(SITE, temperature_c=t) for t in sorted((t0, t1)))
    it = watts(*(10_000 * load for load in sorted((l0, l1))))
    assert (cold.pue(it) <= warm.pue(it) + 1e-12).all()
    for site in (cold, warm):
        pue = site.pue(it)
        assert pue[0] >= pue[1] - 1e-12
        assert (pue >= 1 / 0.95 - 1e-12).all()


def test_a_stated_pue_holds_at_every_load() -> None:
    site = replace(SITE, stated_pue=PueSurface((1.0,), (0.0,), ((1.25,),)))
    assert site.pue(watts(100, 5000, 10_000)) == pytest.approx([1.25] * 3)
    assert site.path_w(watts(5000)) + site.cooling_w(watts(5000)) == pytest.approx([1250.0])


def test_a_stated_pue_below_the_losses_of_the_path_cannot_be() -> None:
    site = replace(SITE, stated_pue=PueSurface((1.0,), (0.0,), ((1.0,),)))
    assert site.pue(watts(5000))[0] == pytest.approx(1 / 0.95)
