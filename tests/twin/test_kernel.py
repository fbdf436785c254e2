"""The kernel equals the reference simulator, and queueing theory."""

import math

import numpy as np
import pytest
from random_cases import differences, random_case

from tokenworks.errors import InputError
from tokenworks.events.requests import Requests
from tokenworks.physics.worker_model import StepTable, WorkerModel
from tokenworks.twin.cell import Cell, ServicePlan, TwinOptions
from tokenworks.twin.simulate import simulate
from tokenworks.workload.generate import requests

TICKS = 10**11
FINE = 1 << 20


@pytest.mark.parametrize("block", range(8))
def test_kernel_equals_reference(block):
    """300 random small cases, every request and counter, by ==."""
    wrong = {seed: found for seed in range(block * 40, block * 40 + 40) if (found := differences(seed))}
    assert not wrong


@pytest.mark.parametrize("seed", range(40))
def test_single_steps_equal_leaps(seed):
    assert differences(seed, max_leap=1) == []


@pytest.mark.parametrize("block", range(4))
def test_requests_that_follow_others_come_when_these_have_left(block):
    """Random graphs of predecessors, rejections, timeouts and horizons included, by ==."""
    wrong = {seed: found for seed in range(block * 40, block * 40 + 40) if (found := differences(seed, links=True))}
    assert not wrong


@pytest.mark.prove
def test_kernel_equals_reference_at_full_size(record_property):
    assert not [seed for seed in range(10_000, 13_000) if differences(seed)]
    record_property("figure", "3,000 random cells, every figure by ==")


def service_time_model(slots: int, decode_s: np.ndarray, prefill_s: float) -> WorkerModel:
    """A worker whose decode step with n sequences takes decode_s[n] and whose prefill of one token prefill_s."""
    budget = slots + 8

    def line(values):
        return (np.asarray(values) * TICKS * FINE).astype(np.int64)[None, :]

    decode = line(decode_s)
    mixed = line([0.0] + [prefill_s] * (budget + slots))
    zero = lambda n: np.zeros((1, n), np.int64)  # noqa: E731
    flat = lambda n: np.zeros(n, np.int64)  # noqa: E731
    wide = budget + slots + 1
    table = StepTable(
        decode, mixed, zero(slots + 1), zero(3), zero(3), zero(slots + 1), zero(wide), flat(slots + 1), flat(wide), flat(slots + 1),
        flat(3), flat(3), flat(slots + 1), flat(wide), 100.0, 1.0,
    )  # fmt: skip
    return WorkerModel(
        "queue",
        1,
        (table,),
        (0, 0),
        1,
        slots,
        budget,
        1 << 40,
        1,
        False,
        False,
        True,
        1,
        False,
        False,
        (),
        10.0,
        0.0,
        1.0,
        1,
        0,
        1.0,
    )


def queue_run(model, gaps, outputs, workers=1, policy=2):
    load = requests(np.cumsum(gaps), np.ones(len(gaps), np.int32), outputs.astype(np.int32))
    cell = Cell((model,), (0,) * workers, (ServicePlan("q", workers=tuple(range(workers)), policy=policy),))
    log = simulate(cell, load, TwinOptions(record=True)).log
    return load, log


def confidence(samples):
    """Mean and 99% half width over independent replications (Student's t, 19 degrees of freedom)."""
    values = np.array(samples)
    return values.mean(), 2.861 * values.std(ddof=1) / math.sqrt(len(values))


def test_m_d_1():
    """One slot, one token: service is the constant prefill. Mean wait ρ·s/(2(1 − ρ)) (Pollaczek–Khinchine)."""
    s, rho = 0.01, 0.7
    model = service_time_model(1, np.array([0.0, s]), s)
    means = []
    for seed in range(20):
        gaps = np.random.default_rng(seed).exponential(s / rho, 30_000)
        load, log = queue_run(model, gaps, np.ones(30_000))
        means.append(np.mean((log.finish - load.arrival)[3000:]) / TICKS - s)
    mean, half = confidence(means)
    assert abs(mean - rho * s / (2 * (1 - rho))) < half


def test_m_m_1():
    """One slot, geometric answers of many short steps: service is all but exponential. Mean sojourn 1/(µ − λ)."""
    step, mean_steps, rho = 1e-4, 400, 0.6
    model = service_time_model(1, np.array([0.0, step]), step)
    means = []
    for seed in range(20):
        rng = np.random.default_rng(seed)
        gaps = rng.exponential(step * mean_steps / rho, 20_000)
        load, log = queue_run(model, gaps, rng.geometric(1 / mean_steps, 20_000))
        means.append(np.mean((log.finish - load.arrival)[2000:]) / TICKS)
    mean, half = confidence(means)
    service = step * mean_steps
    # Geometric of mean m has E[S²] = (2m² − m)·step²: exact Pollaczek–Khinchine instead of the exponential limit.
    second = (2 * mean_steps**2 - mean_steps) * step**2
    exact = service + rho / service * second / (2 * (1 - rho))
    assert abs(mean - exact) < half
    assert exact == pytest.approx(service / (1 - rho), rel=0.01)


def test_m_m_c():
    """c slots whose decode step does not depend on the batch: c servers. Erlang C for the mean wait."""
    c, step, mean_steps, rho = 4, 1e-4, 300, 0.75
    model = service_time_model(c, np.array([0.0] + [step] * c), 0.0)
    means = []
    for seed in range(20):
        rng = np.random.default_rng(seed)
        gaps = rng.exponential(step * mean_steps / (c * rho), 40_000)
        load, log = queue_run(model, gaps, rng.geometric(1 / mean_steps, 40_000) + 1)
        means.append(np.mean((log.first_token - load.arrival)[4000:]) / TICKS)
    mean, half = confidence(means)
    a = c * rho
    top = a**c / math.factorial(c) / (1 - rho)
    erlang = top / (sum(a**k / math.factorial(k) for k in range(c)) + top)
    wait = erlang * step * mean_steps / (c * (1 - rho))
    # A step boundary is waited for on average half a step: part of the model, not of Erlang's.
    assert abs(mean - wait - step / 2) < half + step / 2


def test_m_g_1_processor_sharing():
    """Decode cost ∝ batch: processor sharing, whose mean sojourn E[S]/(1 − ρ) does not depend on the law of S."""
    step, rho, n, mean_steps, slots = 1e-5, 0.6, 30_000, 2000, 200
    model = service_time_model(slots, np.arange(slots + 1) * step, 0.0)
    for draw in (lambda r: r.choice([500, 3500], n), lambda r: r.geometric(1 / mean_steps, n)):
        means = []
        for seed in range(20):
            rng = np.random.default_rng(seed)
            gaps = rng.exponential(step * mean_steps / rho, n)
            load, log = queue_run(model, gaps, draw(rng) + 1)
            means.append(np.mean((log.finish - load.arrival)[3000:]) / TICKS)
        mean, half = confidence(means)
        # In a step with a prefill the others get a free token: less than one step for each of ~1.5 arrivals.
        assert abs(mean - step * mean_steps / (1 - rho)) < half + 8 * step


def test_littles_law():
    """Mean number in system = rate × mean sojourn, exactly over a run that empties."""
    cell, load, options = random_case(3)
    log = simulate(cell, load, TwinOptions(record=True)).log
    done = log.status == 1
    life = (log.finish - load.arrival)[done]
    marks = sorted([(t, 1) for t in load.arrival[done]] + [(t, -1) for t in log.finish[done]])
    area, inside, last = 0, 0, 0
    for t, change in marks:
        area += inside * (t - last)
        inside, last = inside + change, t
    assert area == life.sum()


def test_energy_is_static_plus_dynamic():
    model = service_time_model(4, np.array([0.0, 0.01, 0.01, 0.01, 0.01]), 0.02)
    load = requests(np.array([0.0]), np.array([1], np.int32), np.array([11], np.int32))
    result = simulate(Cell((model,), (0,), (ServicePlan("a", workers=(0,)),)), load, TwinOptions(horizon_ticks=TICKS))
    assert int(result.workers.busy_ticks[0]) == round(0.12 * TICKS)
    assert result.workers.static_uj[0] == round((0.12 * 100 + 0.88 * 10) * 1e6)


def test_bad_requests_are_refused():
    cell, load, _ = random_case(1)
    with pytest.raises(InputError, match="no requests"):
        empty = requests(np.zeros(0), np.zeros(0, np.int32), np.zeros(0, np.int32))
        simulate(cell, empty, TwinOptions())
    unsorted = requests(np.array([2.0, 1.0]), np.ones(2, np.int32), np.ones(2, np.int32))
    with pytest.raises(InputError, match="sorted"):
        simulate(cell, unsorted, TwinOptions())


def test_same_seed_same_bytes():
    cell, load, options = random_case(7)
    assert isinstance(load, Requests)
    a, b = simulate(cell, load, options), simulate(cell, load, options)
    assert a.log.finish.tobytes() == b.log.finish.tobytes()
    assert a.workers.dynamic_uj.tobytes() == b.workers.dynamic_uj.tobytes()
