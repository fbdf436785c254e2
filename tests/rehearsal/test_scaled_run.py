"""A run that scales: its figures add up, beside the fleet with all replicas up; capacities are those of the twin."""

import numpy as np
import pytest

from tokenworks.api import load
from tokenworks.control.scaling.capacity import SERVE, load_of
from tokenworks.rehearsal.demand import sustainable_rate_s
from tokenworks.rehearsal.plant import plant
from tokenworks.rehearsal.run import rehearse
from tokenworks.rehearsal.scaling import capacity_of, expected_lengths
from tokenworks.report.terminal import render

FILE = """
factory: day
systems: [{id: box, system: dgx-h100}]
services:
  - name: chat
    model: llama-3.1-8b
    precision: fp8
    workers: 4
    slo: {ttft_p95: 2 s, tpot_p95: 50 ms}
    scaling: {min: 0, every: 5 s, calm: 20 s, idle: 20 s, start_up: 3 s, predictor: PREDICTOR, start: 1}
workload:
  - service: chat
    arrivals: {kind: diurnal, peak_to_mean: 2}
    input: {kind: lognormal, mean: 600, sigma: 0.8}
    output: {kind: lognormal, mean: 150, sigma: 0.6}
    scale: 6 req/s
run: {horizon: 20 min, seed: 1, start: "05:50"}
"""


@pytest.fixture(scope="module")
def factory(tmp_path_factory):
    file = tmp_path_factory.mktemp("scaled") / "day.yaml"
    file.write_text(FILE.replace("PREDICTOR", "constant"))
    return load(str(file))


@pytest.fixture(scope="module")
def run(factory):
    return rehearse(factory)


def test_gpu_hours_are_those_of_replicas_that_are_up(run):
    (of,) = run.result.scaled
    off_s = run.made.cell.workers and of.gpu_hours * 3600 - of.gpu_hours_up * 3600
    assert 0 < off_s < 4 * 1200
    assert of.mean_up == pytest.approx(of.gpu_hours_up / of.gpu_hours * 4)
    assert of.usd_up / of.usd == pytest.approx(of.gpu_hours_up / of.gpu_hours)
    idle_w = run.made.models[0].idle_w
    assert of.off_j == pytest.approx(idle_w * off_s)
    up = (of.ready + of.loading).mean()
    assert up <= of.mean_up * (1 + 1e-9)  # the rest drains


def test_joules_of_the_boards_are_those_that_are_up(run):
    (of,) = run.result.scaled
    spare = run.made.models[0].idle_w * 4 * 1200  # four GPUs that no service uses
    assert run.result.energy.board_j == pytest.approx(of.board_j + spare, rel=1e-6)
    assert of.board_j < of.fixed_board_j


def test_the_fixed_fleet_is_the_same_run_without_scaling(factory, run):
    fixed = rehearse(factory.replace("services.chat.scaling", None)).result
    (of,) = run.result.scaled
    service = fixed.services[0]
    assert not fixed.scaled
    assert of.fixed_within_slo == pytest.approx(service.within_slo / service.arrived)
    assert service.arrived == run.result.services[0].arrived
    assert of.fixed_board_j == pytest.approx(service.dynamic_j + service.static_j, rel=1e-6)


def test_the_report_shows_it(run):
    text = render(run.result)
    assert "replicas over time |" in text
    assert f"{run.result.scaled[0].cold_starts} cold" in text


@pytest.mark.parametrize("predictor", ["constant", "holt-winters", "arima", "kalman"])
def test_every_predictor_serves(factory, predictor):
    result = rehearse(factory.replace("services.chat.scaling.predictor", predictor)).result
    assert result.services[0].finished > 0.95 * result.services[0].arrived
    assert result.scaled[0].predictor == predictor


def test_capacity_without_objectives_is_what_the_twin_sustains(factory):
    """The closed form against a flood of the twin, where the cache is no limit."""
    made = plant(factory)
    isl, osl = expected_lengths(factory, "chat")
    closed = 4 * load_of(capacity_of(made.models[0]), SERVE, isl, osl, 0.0).requests_s
    assert closed == pytest.approx(sustainable_rate_s(made, 0, factory.workload[0]), rel=0.15)


def test_capacity_falls_with_the_objective(factory):
    made = plant(factory)
    one = capacity_of(made.models[0])
    rates = [load_of(one, SERVE, 600, 150, tpot_s).requests_s for tpot_s in (0.005, 0.01, 0.02, 0.0)]
    assert (np.diff(rates) >= 0).all()
    assert rates[0] < rates[-1]
