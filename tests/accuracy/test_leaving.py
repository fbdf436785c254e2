"""What is left out teaches nothing, and what is recorded of it is what was predicted."""

from dataclasses import replace

import numpy as np
import pytest

from tokenworks.accuracy import coverage, fit, recording
from tokenworks.accuracy.calibrate import linearised, table
from tokenworks.accuracy.intervals import KNOWN, NEW_GROUP
from tokenworks.accuracy.leaving import KINDS, Table, followed, leave_out, model_folds, residuals
from tokenworks.accuracy.packed import load_measurements
from tokenworks.accuracy.splits import group

GPUS = ("h100-sxm", "h200-sxm")
MODELS = ("mixtral-8x7b", "llama-3.1-8b", "llama-3.3-70b")
BY_NAME = {kind.name: kind for kind in KINDS}


@pytest.fixture(scope="module")
def small():
    rows = [m for m in load_measurements() if m.row.dataset == "trtllm_docs_throughput" and not m.problem]
    chosen = [m for m in rows if m.row.gpu in GPUS and m.row.model in MODELS and (m.row.tp or 1) < 8][::16]
    data = table(chosen)
    values = np.zeros(len(data.plan.columns))
    problem = linearised(data, values, 1, lambda said: None)
    return data, problem, fit.staged(problem, data.plan, values, data.seen[problem.case])


def moved_targets(data, problem, members):
    """The same table, had these cases been measured 30% faster."""
    cases = [replace(c, log_target=c.log_target + 0.3 * (n in members)) for n, c in enumerate(data.cases)]
    gap = problem.gap + 0.3 * np.isin(problem.case, list(members))
    return Table(cases, data.plan, data.seen), replace(problem, gap=gap)


@pytest.mark.parametrize("name", ["groups", "models"])
def test_measurements_left_out_do_not_reach_their_own_predictions(small, name):
    data, problem, values = small
    kind = BY_NAME[name]
    at = np.zeros_like(values)  # where the problem was linearised
    folds = kind.folds(data)
    mine = set(np.flatnonzero(folds == folds[0]))
    before = leave_out(data, problem, at, kind, 1)
    other, shifted = moved_targets(data, problem, mine)
    after = leave_out(other, shifted, at, kind, 1)
    rate = np.array(sorted(mine)), 0
    known = fit.terms_of(other.cases, data.plan, fit.staged(shifted, data.plan, at, data.seen[problem.case]))
    learnt = np.array(fit.predict_all(other.cases, known, 1))[rate] - before[rate]
    assert np.median(learnt) > 0.1  # seen, they would have taught a good part
    assert np.array_equal(after[rate], before[rate])


def test_folds_keep_groups_and_models_together(small):
    data, _, _ = small
    for name, key in (("groups", group), ("models", lambda row: row.model)):
        folds = BY_NAME[name].folds(data)
        for one in {key(c.row) for c in data.cases}:
            assert len({f for c, f in zip(data.cases, folds, strict=True) if key(c.row) == one}) == 1


def test_models_with_many_experiments_have_folds_of_their_own():
    cases = [c for c in fit.cases(load_measurements()[:1500]) if c.weight > 0]
    data = Table(cases, fit.design_of(cases), np.ones(len(cases), bool))
    folds = model_folds(data)
    models = np.array([c.row.model for c in cases])
    many = {m for m in models if (models == m).sum() >= 20}
    assert len(many) > 3
    for model in many:
        assert set(models[folds == folds[models == model][0]]) == {model}


def test_along_slopes_or_replayed_the_problem_arrives_where_a_replay_does(small):
    data, problem, values = small
    at = np.zeros_like(values)
    everything = np.ones(len(problem.case), bool)
    arrived = followed(data, problem, at, values, everything, 1)
    exact = fit.moved(problem, data.cases, fit.predict_all(data.cases, fit.terms_of(data.cases, data.plan, values), 1))
    assert np.abs(arrived.gap - exact.gap).max() < 0.03
    assert np.abs(problem.gap - exact.gap).max() > 0.1


def test_the_record_holds_the_errors_of_the_predictions(small):
    data, _, _ = small
    target = np.array([c.log_target for c in data.cases])
    off = {kind.name: target + np.log(1.1) for kind in KINDS}  # predicted 10% above all targets
    kept = recording.record(data, off)
    seen = int((data.seen & np.isfinite(target[:, 0])).sum())
    found = kept["kinds"]["groups"]["throughput"]
    assert found == {"median": 10.0, "p90": 10.0, "bias": 10.0, "rows": seen}
    by_model = [s for s in kept["slices"] if s["kind"] == "models" and s["by"] == "model"]
    assert sum(s["throughput"]["rows"] for s in by_model) == seen
    index = data.cases[0].members[0]
    assert kept["rows"]["groups"][str(index)][0] == pytest.approx(1.1 * np.exp(target[0, 0]), rel=1e-3)


def test_coverage_counts_what_lies_inside_bounds_of_the_other_parts(small):
    data, _, _ = small
    many = Table(data.cases * 40, data.plan, np.ones(40 * len(data.cases), bool))
    rng = np.random.default_rng(1)
    residual = {kind.name: np.full((len(many.cases), 6), np.nan) for kind in KINDS}
    residual["groups"][:, 0] = rng.normal(0, 0.1, len(many.cases))
    shares = coverage.coverage(many, residual)
    assert shares[NEW_GROUP]["throughput"] == pytest.approx(0.8, abs=0.05)
    assert KNOWN not in shares
    assert residuals(data, np.array([c.log_target for c in data.cases]))[:, 0] == pytest.approx(0.0)
