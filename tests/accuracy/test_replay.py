"""Experiments in the twin: one rank stands for all, nothing is refused, the log places every event."""

from dataclasses import replace

import numpy as np
import pytest

from tokenworks.accuracy import replay as replaying
from tokenworks.accuracy.experiments import experiment
from tokenworks.accuracy.loads import Load
from tokenworks.accuracy.packed import load_measurements
from tokenworks.accuracy.replay import output_rate, rehearse, replay
from tokenworks.accuracy.slopes import marks_of, schedule_of
from tokenworks.accuracy.stand import cell_of, requests_of
from tokenworks.errors import UnsupportedError
from tokenworks.physics.compile import compile_worker
from tokenworks.physics.terms import resolve
from tokenworks.physics.worker_model import TICKS_PER_S
from tokenworks.twin.cell import Cell, ServicePlan, TwinOptions
from tokenworks.twin.simulate import simulate

ROWS = load_measurements()


def first_experiment(wanted):
    """The first packed row whose experiment is wanted, its worker model and its terms."""
    for m in ROWS:
        if not m.problem and m.row.gpu in ("h100-sxm", "h200-sxm", "b200") and wanted(m.row):
            found = experiment(m.row)
            terms = resolve(found.deployment, client=found.harness)
            return found, compile_worker(found.deployment, terms=terms), terms
    raise AssertionError("no such row")


def closed(row):
    return row.dataset == "inferencex_fixture" and row.disaggregated != "true" and row.spec_decoding == "none"


def loads(count, clients, rng):
    return Load(np.zeros(count), rng.integers(1, 3000, count), rng.integers(1, 300, count), clients)


def several(load, times):
    """Every request ``times`` over."""
    each = (np.repeat(x, times) for x in (load.arrival_s, load.input_tokens, load.output_tokens))
    return Load(*each, load.clients * times)


@pytest.mark.parametrize("clients", [0, 7])
def test_one_rank_stands_for_all(clients):
    """A worker whose ranks all get the same requests: the same end and the same joules, to the last bit."""
    found, model, _ = first_experiment(lambda row: closed(row) and (row.dp_attention or 1) > 1)
    ranks = model.ranks
    assert ranks > 1
    load = loads(60, clients, np.random.default_rng(clients))
    plan = (ServicePlan("all", workers=(0,)),)
    options = TwinOptions(clients=clients * ranks, record=True)
    whole = simulate(Cell((model,), (0,), plan), requests_of(several(load, ranks)), options)
    alone = simulate(cell_of(replace(found, load=load), model), requests_of(load), replace(options, clients=clients))
    assert whole.end_ticks == alone.end_ticks
    assert whole.workers.dynamic_uj == alone.workers.dynamic_uj
    assert whole.workers.static_uj == alone.workers.static_uj
    assert np.array_equal(whole.log.finish[::ranks], alone.log.finish)


def test_a_request_longer_than_the_cache_is_refused_with_the_reason():
    found, model, terms = first_experiment(closed)
    small = replace(model, kv_blocks=2)
    load = Load(np.zeros(3), np.full(3, 100 * model.block_tokens), np.full(3, 9), 0)
    with pytest.raises(UnsupportedError, match="does not fit the KV cache"):
        rehearse(replace(found, load=load), small, terms)


def test_a_client_that_comes_late_holds_nobody_up():
    """Requests that follow an answer do not wait for clients that have not yet come."""
    found, model, _ = first_experiment(closed)
    load = Load(np.array([0.0, 1e4, 0, 0, 0]), np.full(5, 10), np.full(5, 10), 2)
    run = replay(replace(found, load=load), model)
    assert (run.first_token_s - run.arrival_s < 1).all()
    assert (run.arrival_s[2:] == run.finish_s[[0, 2, 3]]).all()


def test_rates_by_hand():
    """Whole runs: all tokens over the time. Steady ones: Little's law over the requests measured."""
    found, model, _ = first_experiment(closed)
    load = Load(np.zeros(6), np.full(6, 10), np.full(6, 20), 2)
    run = replay(replace(found, load=load), model)
    assert output_rate(replace(found, load=load), run) == pytest.approx(120 / run.end_s)
    steady = replace(found, load=replace(load, skip=2, steady=True))
    lives = run.finish_s[2:] - run.arrival_s[2:]
    assert output_rate(steady, run) == pytest.approx(2 * 20 / lives.mean())


def test_the_log_is_whole_and_places_every_event(monkeypatch):
    found, model, _ = first_experiment(closed)
    load = loads(200, 9, np.random.default_rng(3))
    load.arrival_s[:9] = np.linspace(0, 0.1, 9)
    found = replace(found, load=load)
    monkeypatch.setattr(replaying, "STEPS_PER_REQUEST", 0)  # the first log of 64 rows is too short
    run = replay(found, model, record=True)
    log = run.steps
    assert log.lost == 0
    assert len(log.end) > 64
    assert (log.end - log.start).sum() / TICKS_PER_S == pytest.approx(run.busy_s)
    ends, marks = log.end / TICKS_PER_S, marks_of(found, run, log)
    assert (marks[:9, 0] == -1).all()
    assert (ends[marks[9:, 0]] == run.arrival_s[9:]).all()
    assert (ends[marks[:, 1]] == run.first_token_s).all()
    assert (ends[marks[:, 2]] == run.finish_s).all()
    steps = schedule_of(log)
    made = (steps.steps * steps.sampled).sum()
    assert made == load.output_tokens.sum()
