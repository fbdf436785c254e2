"""A site's own calibration in a plan: the wide pass knows it, as the rehearsals do, and the plan says so."""

import json
from dataclasses import replace

import numpy as np
import pytest

from tokenworks.errors import InputError
from tokenworks.physics.fleet import newest_version
from tokenworks.physics.site import FORMAT, shipped_id
from tokenworks.plan.make import make_plan
from tokenworks.plan.reading import loads
from tokenworks.plan.survey import space_of
from tokenworks.plan.systems import kinds

TEXT = """demand: measured
site: {{region: us-texas}}
services:
  - {{name: chat, model: llama-3.1-8b, engines: [vllm], precisions: [fp8], kv_precisions: [fp8], slo: {{ttft_p95: 1 s, tpot_p95: 30 ms}}}}
workload:
  - {{service: chat, arrivals: {{kind: poisson}}, rate: 200/s, input: {{kind: lognormal, mean: 600, sigma: 0.7}}, output: {{kind: fixed, mean: 150}}}}
may_use: {{systems: [hgx-h100], serving: aggregated, clocks: [100%], max_degrees: {{tp: 2, pp: 1}}}}
run: {{requests: 800, seed: 3}}
{more}
"""
SLOW = 0.7  # log of how much longer everything takes on the deployment that was measured


@pytest.fixture
def site(tmp_path):
    """Measured was one H100 alone, far slower than shipped."""
    measured = {
        "accelerator": "h100-sxm", "model": "llama-3.1-8b", "engine": "vllm", "engine_version": newest_version("vllm"),
        "weights": "fp8", "kv": "fp8", "tp": 1, "pp": 1, "dp": 1, "ep": 1, "draft_tokens": 0,
    }  # fmt: skip
    bounds = {name: {"low": -0.05, "high": 0.05} for name in ("throughput", "tpot", "ttft", "energy")}
    entry = {"deployment": measured, "effects": {"speed": -SLOW}, "points": [1, 2, 3], "intervals": bounds}
    path = tmp_path / "site.json"
    path.write_text(json.dumps({"format": FORMAT, "shipped": shipped_id(), "deployments": [entry]}))
    return path


def spaces(site):
    plain, own = (loads(TEXT.format(more=more)) for more in ("", f"calibration: {site}"))
    return (space_of(d, d.services[0], kinds(d)[0]) for d in (plain, own))


def test_the_wide_pass_prices_the_measured_deployment_as_measured_and_no_other(site):
    plain, own = spaces(site)
    measured = np.array([s.deployment.site is not None for s in own.shapes])
    assert [s.deployment.tp for s in own.shapes if s.deployment.site] == [1]
    assert [replace(s.deployment, site=None) for s in own.shapes] == [s.deployment for s in plain.shapes]
    moved = measured[own.wide.shape]
    assert (own.wide.tpot_s[~moved] == plain.wide.tpot_s[~moved]).all()
    assert (own.wide.requests_s[~moved] == plain.wide.requests_s[~moved]).all()
    slower = own.wide.tpot_s[moved] / plain.wide.tpot_s[moved]
    assert (slower > 1.3).all()
    assert (slower < np.exp(SLOW) * 1.05).all()  # prompts are computed in fuller steps


def test_the_plan_counts_on_it_and_says_so(site):
    plain, own = (make_plan(loads(TEXT.format(more=more))) for more in ("", f"calibration: {site}"))
    assert plain.best.setups[0].degrees == "1 GPU"
    assert own.best.setups[0].degrees == "tp 2"  # what was measured is slow
    assert own.best.figures["usd_per_mtok"] > plain.best.figures["usd_per_mtok"]
    said = " ".join(own.notes)
    assert f"site calibration {site}: speaks of 1 of 2 kinds of replicas, in the wide pass" in said
    assert "chat as shipped" in said
    assert not any("calibration" in note for note in plain.notes)


def test_one_that_speaks_of_nothing_is_named(site):
    data = json.loads(site.read_text())
    data["deployments"][0]["deployment"]["model"] = "llama-3.3-70b"
    site.write_text(json.dumps(data))
    plan = make_plan(loads(TEXT.format(more=f"calibration: {site}")))
    assert any("speaks of no kind of replica" in note for note in plan.notes)


def test_a_missing_one_is_an_error(tmp_path):
    with pytest.raises(InputError, match="no such site calibration"):
        make_plan(loads(TEXT.format(more=f"calibration: {tmp_path / 'none.json'}")))
