"""Calibration's mathematics: bounded terms, slopes of a replay, robust and staged solutions."""

import math

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from tokenworks.accuracy import fit
from tokenworks.accuracy.design import Design, System, normal_equations
from tokenworks.accuracy.experiments import experiment
from tokenworks.accuracy.fit import METRICS
from tokenworks.accuracy.packed import load_measurements
from tokenworks.physics.terms import NAMES, priors, resolve

ROWS = load_measurements()
SPEED = NAMES.index("speed")
SMOOTH = ("output_tokens_s_gpu", "tpot_s_mean", "ttft_s_mean", "joules_per_output_token")  # medians jump


@given(st.sampled_from(NAMES), st.floats(-40, 40))
def test_terms_stay_between_their_bounds_and_steepness_is_their_slope(name, shift):
    prior = priors()[name]
    term = prior.at(shift)
    assert prior.low <= term <= prior.high
    assert prior.at(0.0) == pytest.approx(prior.value)
    if abs(shift) < 2:
        slope = (math.log(prior.at(shift + 1e-4)) - math.log(prior.at(shift - 1e-4))) / 2e-4
        assert prior.steepness(term) == pytest.approx(slope, rel=1e-3, abs=1e-6)


def row_of(dataset, mode):
    """A row with a load of its mode, in the middle of the dataset."""
    gpus = ("h100-sxm", "h200-sxm", "mi300x")
    found = [m for m in ROWS if m.row.dataset == dataset and m.row.gpu in gpus and not m.problem]
    chosen = [m for m in found if experiment(m.row).mode == mode]
    return chosen[len(chosen) // 2]


@pytest.mark.parametrize(
    ("dataset", "mode"),
    [
        ("trtllm_docs_throughput", "offline"),
        ("trtllm_docs_throughput", "static"),
        ("inferencex_fixture", "closed"),
        ("mlenergy_v3", "closed"),
    ],
)
def test_slopes_of_one_replay_agree_with_replays_at_moved_terms(dataset, mode):
    from dataclasses import replace

    case = fit.cases([row_of(dataset, mode)])[0]
    terms = resolve(case.experiment.deployment, client=case.experiment.harness)
    base, steep = fit.linearise(case, terms)
    assert np.allclose(base, fit.predict(case.experiment, terms), equal_nan=True)
    step = 0.01
    for column, name in enumerate(NAMES):
        if name not in fit.relevant(case.experiment.deployment, terms):
            assert not steep[:, column].any()
            continue
        value = getattr(terms, name)
        up, down = (fit.predict(case.experiment, replace(terms, **{name: value * math.exp(s)})) for s in (step, -step))
        # Where a board is at its limit there is a kink: the slope is that of one side, or between.
        sides = np.array([up - base, base - down]) / step * priors()[name].steepness(value)
        for metric in [METRICS.index(m) for m in SMOOTH]:
            if np.isfinite(base[metric]):
                low, high = sides[:, metric].min(), sides[:, metric].max()
                assert low - 0.06 <= steep[metric, column] <= high + 0.06, (name, METRICS[metric])


def test_an_open_loop_below_its_limit_is_as_fast_as_its_requests_come():
    """Its rate does not move with the machine, and no wait grows from one request to the next."""
    slow = next(m for m in ROWS if m.row.dataset == "trtllm_docs_online_0.14" and m.row.request_rate == 2)
    case = fit.cases([slow])[0]
    terms = resolve(case.experiment.deployment, client=case.experiment.harness)
    _, steep = fit.linearise(case, terms)
    assert np.abs(steep[METRICS.index("output_tokens_s_gpu")]).max() < 0.1
    assert np.abs(steep[METRICS.index("ttft_s_mean")]).max() < 2


def problem(pattern, gap, slope=1.0):
    """Residuals of throughput, one per case, that only the speed moves."""
    n = len(gap)
    slopes = np.zeros((n, len(NAMES)))
    slopes[:, SPEED] = slope
    zero = np.zeros(n, int)
    return System(slopes, np.array(pattern), np.array(gap, float), zero, np.arange(n), np.ones(n))


def plan_of(patterns, spread, own):
    """A design of effects on the speed alone."""
    patterns = np.array(patterns)
    columns = tuple(("speed", str(n)) for n in range(len(spread)))
    term = np.full(patterns.shape[1], SPEED)
    return Design(columns, np.array(spread), np.array(own), term, patterns, np.zeros(0, int))


def test_a_group_of_its_own_teaches_the_pooled_effect_first():
    # two groups; both lie 0.2 above the prediction, the second another 0.1
    plan = plan_of([[0, 1], [0, 2]], [0.3] * 3, [False, True, True])
    found = fit.staged(problem([0] * 30 + [1] * 30, [0.2] * 30 + [0.3] * 30), plan, np.zeros(3), np.ones(60, bool))
    assert found == pytest.approx([0.25, -0.05, 0.05], abs=0.01)


def test_joules_teach_the_terms_of_power_and_nothing_else_does():
    cases = fit.cases([row_of("mlenergy_v3", "closed")])
    terms = [resolve(c.experiment.deployment, client=c.experiment.harness) for c in cases]
    found = fit.system(cases, fit.linearise_all(cases, terms, 1), fit.design_of(cases))
    power, joules = np.isin(NAMES, fit.POWER), found.metric == fit.JOULES
    assert 0 < joules.sum() < len(joules)
    for rows, own in ((joules, power), (~joules, ~power)):
        assert found.slope[rows][:, own].any()
        assert not found.slope[rows][:, ~own].any()


def test_gross_errors_do_not_pull():
    rng = np.random.default_rng(3)
    x = rng.uniform(0.5, 1.5, 200)
    gap = 0.4 * x + rng.normal(0, 0.02, 200)
    gap[::5] += 2.0
    plan = plan_of([[0]], [1.0], [False])
    found = fit.solve(problem([0] * 200, gap, x), plan, np.zeros(1), np.ones(200, bool), np.ones(1, bool))
    assert found[0] == pytest.approx(0.4, abs=0.02)


def test_effects_that_are_not_free_stay():
    plan = plan_of([[0, 1]], [0.5] * 2, [False, True])
    at = np.array([0.1, 0.7])
    found = fit.solve(problem([0] * 9, [0.0] * 9), plan, at, np.ones(9, bool), np.array([True, False]))
    assert found[1] == 0.7
    assert found[0] == pytest.approx(0.1, abs=0.01)


@given(st.integers(0, 2**32 - 1))
def test_sums_over_patterns_are_the_products_of_the_dense_matrix(seed):
    rng = np.random.default_rng(seed)
    entries, columns, rows = 5, 7, 40
    plan = Design(
        tuple(("speed", str(n)) for n in range(columns)),
        np.ones(columns),
        np.zeros(columns, bool),
        rng.integers(0, len(NAMES), entries),
        np.array([rng.permutation(columns)[:entries] for _ in range(4)]),
        np.zeros(0, int),
    )
    slope, weight, target = rng.normal(size=(rows, len(NAMES))), rng.uniform(0, 1, rows), rng.normal(size=rows)
    system = System(slope, rng.integers(0, 3, rows), target, np.zeros(rows, int), np.arange(rows), weight)
    dense = np.zeros((rows, columns))
    for row, pattern in enumerate(system.pattern):
        for entry, column in enumerate(plan.patterns[pattern]):
            dense[row, column] += slope[row, plan.term[entry]]
    square, right = normal_equations(system, plan, weight, target)
    assert np.allclose(square, dense.T @ (weight[:, None] * dense))
    assert np.allclose(right, dense.T @ (weight * target))
    values = rng.normal(size=columns)
    assert np.allclose(system.change(plan, values), dense @ values)
