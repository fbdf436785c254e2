"""Intervals of disaggregated and speculating deployments: the errors of rows that no fit learns from."""

import math
from dataclasses import replace

import pytest

from tokenworks.accuracy import unfitted
from tokenworks.accuracy.experiments import experiment
from tokenworks.accuracy.intervals import bounds, interval, shipped
from tokenworks.accuracy.packed import load_measurements
from tokenworks.accuracy.splits import configuration, validation_twins
from tokenworks.accuracy.stand import cell_of
from tokenworks.accuracy.tables import pairs
from tokenworks.accuracy.validate import validate
from tokenworks.errors import InputError
from tokenworks.physics.compile import compile_worker
from tokenworks.physics.terms import resolve, shipped_effects


def kind_of(m):
    try:
        return experiment(m.row).tested_as
    except InputError:
        return ""


@pytest.fixture(scope="module")
def rows():
    twins = validation_twins(load_measurements())
    free = [m for m in load_measurements() if configuration(m.row) not in twins and m.targets.output_tokens_s_gpu]
    split = [m for m in free if m.row.disaggregated == "true" and m.row.decode_tp][::60]
    drafts = [m for m in free if m.row.disaggregated != "true" and m.row.spec_decoding == "mtp"][::25]
    return [m for m in split + drafts if kind_of(m)]


def test_kinds_are_told_apart(rows):
    assert {(m.row.disaggregated == "true", kind_of(m)) for m in rows} == {
        (True, "disaggregated"),
        (False, "speculating"),
    }


def test_bounds_are_those_of_the_errors_as_shipped(rows, monkeypatch):
    monkeypatch.setattr(unfitted, "POOL", 3)
    monkeypatch.setattr("tokenworks.accuracy.intervals.POOL", 3)
    found = unfitted.unfitted_bounds(rows, shipped_effects(), 1)
    for kind in ("disaggregated", "speculating"):
        chosen = [m for m in rows if kind_of(m) == kind]
        both = [pairs(m, a)["throughput"] for m, a in zip(chosen, validate(chosen, 1, lambda _: None), strict=True)]
        low, high = bounds([math.log(measured / predicted) for predicted, measured in both])
        for novelty in ("known", "new model", "new accelerator"):
            entry = found[f"throughput|{kind}|{novelty}"]
            assert (entry["low"], entry["high"]) == (pytest.approx(low, abs=1e-4), pytest.approx(high, abs=1e-4))


def test_the_prefill_workers_too_run_under_the_effects_that_are_tested(rows):
    found = experiment(next(m.row for m in rows if kind_of(m) == "disaggregated"))
    bare = unfitted._with_terms(found, {})
    assert bare.split.terms == resolve(found.split.prefill, {}, found.harness)
    slow = replace(found, split=replace(found.split, terms=replace(bare.split.terms, step_s=0.5)))
    decode = compile_worker(found.deployment, terms=resolve(found.deployment, client=found.harness))
    ours, theirs = (cell_of(each, decode).models for each in (bare, slow))
    assert theirs[0].levels[0].decode.max() > 10 * ours[0].levels[0].decode.max()
    assert theirs[1] is ours[1] is decode


def test_validation_rows_and_their_twins_are_not_looked_at(rows, monkeypatch):
    monkeypatch.setattr(unfitted, "POOL", 1)
    monkeypatch.setattr(unfitted, "validation_twins", lambda _: {configuration(m.row) for m in rows})
    assert unfitted.unfitted_bounds(rows, shipped_effects(), 1) == {}


def test_what_nobody_fitted_is_less_sure_than_what_was():
    assert "tpot|disaggregated|known" in shipped()["bounds"]
    for metric in ("throughput", "tpot", "ttft"):
        widths = [math.log(high / low) for low, high in (interval(metric, kind, "known", 1.0) for kind in ("closed", "disaggregated"))]  # fmt: skip
        assert widths[1] > widths[0]
