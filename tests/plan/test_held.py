"""How often plans hold: counted by hand, and a robust plan against errors that its margins do not know."""

from contextlib import contextmanager
from math import log

import pytest

from tokenworks.accuracy import intervals
from tokenworks.accuracy.held_out import Error, as_joint, as_residuals, unseen
from tokenworks.physics.fleet import fleet
from tokenworks.plan import robust
from tokenworks.plan.held import share_held
from tokenworks.plan.make import make_plan
from tokenworks.plan.reading import loads
from tokenworks.plan.result import Measured, Option, Setup
from tokenworks.spec.loading import loads as factory

DEMAND = """demand: small
site: {cooling: liquid}
services: [{name: chat, model: llama-3.1-8b, engines: [vllm], slo: {ttft_p95: 400 ms, tpot_p95: 20 ms}}]
workload: [{service: chat, arrivals: {kind: poisson}, rate: 400/s, input: {mean: 1000}, output: {mean: 200}}]
may_use: {systems: [hgx-h100], serving: aggregated, max_degrees: {tp: 2, pp: 1}}
run: {requests: 500, seed: 1}
"""


def option(*services: tuple[str, str, float, dict[str, tuple[float, float]]]) -> Option:
    """Services as (name, mode, share of the capacity in use, objectives as (value, limit))."""
    setups = tuple(
        Setup(n, "m", mode, "e", "w", "k", "s", "own", "", "", 1, 0, 1, 1, 1.0, use, 1, 0)
        for n, mode, use, _ in services
    )
    limits = tuple(Measured(f"{n}: {what} p95", "s", v, limit, v, v, True)
                   for n, _, _, own in services for what, (v, limit) in own.items())  # fmt: skip
    return Option(setups, (), {}, {}, limits, (), 1.0, 0.0, 0.0, 1, 1, True)


def error(ttft: float = 1.0, tpot: float = 1.0, throughput: float = 1.0, mode: str = "closed") -> Error:
    return Error(mode, 0, log(ttft), log(tpot), log(throughput))


def test_every_objective_and_the_load_must_hold_at_once():
    plan = option(("a", "aggregated", 0.8, {"TTFT": (1.0, 1.5), "TPOT": (0.02, 0.025)}))
    errors = [
        error(),
        error(ttft=1.49),
        error(ttft=1.51),
        error(tpot=1.26),
        error(throughput=0.81),
        error(throughput=0.79),
    ]
    assert share_held(plan, errors) == pytest.approx(3 / 6)
    assert share_held(plan, errors, slowed=0.5) == pytest.approx(4 / 6)  # half its capacity was kept back


def test_the_last_token_is_late_by_both_errors():
    plan = option(("a", "aggregated", 0.1, {"TTFT": (1.0, 0.0), "E2E": (11.0, 14.0)}))
    assert share_held(plan, [error(ttft=3.9), error(ttft=4.1), error(tpot=1.29), error(tpot=1.31)]) == 0.5


def test_services_meet_errors_of_their_kind_and_all_must_hold():
    limit = {"TTFT": (1.0, 2.0)}
    plan = option(("a", "aggregated", 0.1, limit), ("b", "disaggregated", 0.1, limit))
    errors = [error(), error(ttft=3.0), error(mode="disaggregated"), *[error(ttft=9.0, mode="disaggregated")] * 3]
    assert share_held(plan, errors) == pytest.approx(1 / 2 * 1 / 4)


@contextmanager
def margins_of(monkeypatch, errors):
    known = intervals.shipped()
    table = {
        **known,
        "bounds": known["bounds"] | intervals.build(as_residuals(errors)),
        "known": {**known["known"], "groups": []},
    }
    with monkeypatch.context() as patch:
        patch.setattr(intervals, "shipped", lambda: table)
        patch.setattr(robust, "joint_errors", lambda: as_joint(errors))
        robust.forget()
        yield
    robust.forget()


@pytest.mark.parametrize("half", [0, 1])
def test_a_robust_plan_holds_against_the_half_of_errors_that_it_does_not_know(monkeypatch, half):
    errors, demand = unseen(), loads(DEMAND)
    plain = make_plan(demand).best
    with margins_of(monkeypatch, [e for e in errors if e.half == half]):
        best = make_plan(demand, robust=True).best
        of = tuple(g.deployment for g in fleet(factory(best.yaml, "plan"))[0].groups)
        off = robust.most_capacity(of, ("ttft", "tpot", "throughput"), demand.headroom)
    others = [e for e in errors if e.half != half]
    assert share_held(best, others, off) >= 0.9
    assert share_held(plain, others) < share_held(best, others, off)
    assert plain.figures["usd_h"] < best.figures["usd_h"]  # and it has its price
