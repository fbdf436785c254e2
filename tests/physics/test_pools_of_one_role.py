"""Pools of one role run at the speed that accuracy rehearses such pools with, in runs as in the wide pass."""

from dataclasses import replace

import numpy as np
import pytest
from pools import family

from tokenworks.accuracy.stand import in_role
from tokenworks.physics.compile import compile_worker
from tokenworks.physics.fleet import fleet
from tokenworks.physics.pools import pool_speed
from tokenworks.physics.terms import resolve
from tokenworks.plan.allowed import Allowed
from tokenworks.plan.ask import Ask
from tokenworks.plan.shapes import survey
from tokenworks.spec.loading import loads

TEXT = """factory: pools
systems: [{{id: a, system: hgx-b200, count: 4}}]
services:
  - name: s
    model: deepseek-r1
    engine: {engine}
    precision: nvfp4
    kv_precision: fp8
    prefill: {{tp: 1, dp_attention: 4, ep: 4, workers: 1, token_budget: 2048}}
    decode: {{tp: 8, workers: 1, max_seqs: 64, token_budget: 512}}
workload: [{{service: s, arrivals: {{kind: poisson}}, scale: 1 req/s}}]
"""


def pools(engine):
    return fleet(loads(TEXT.format(engine=engine)))[0].groups


def test_pools_of_a_factory_are_those_that_accuracy_rehearses():
    prefill, decode = pools("tensorrt-llm")
    assert (pool_speed(prefill.deployment, "prefill"), pool_speed(decode.deployment, "decode")) == (1.4, 1.45)
    for group in (prefill, decode):
        bare = replace(group.deployment, pool_speed=1.0)
        speed = pool_speed(bare, group.role)
        wanted = compile_worker(bare, terms=in_role(resolve(bare), speed)).levels[0]
        got, mixing = (compile_worker(d).levels[0] for d in (group.deployment, bare))
        assert np.array_equal(got.decode, wanted.decode)
        assert np.array_equal(got.mixed, wanted.mixed)
        assert got.mixed.sum() < mixing.mixed.sum()


def test_what_was_not_fitted_is_as_fast_as_workers_that_do_both():
    assert [g.deployment.pool_speed for g in pools("sglang")] == [1.0, 1.0]


@pytest.mark.parametrize("engine", ["tensorrt-llm", "sglang"])
def test_plans_count_on_the_same_speeds(engine):
    ask = Ask(np.full(20, 500.0), np.full(20, 100.0), None, None, None)
    allowed = Allowed(("hgx-b200",), (engine,), ("nvfp4",), ("fp8",), tp=(1, 8), pp=(1,), dp=(1, 4), most_gpus=8)
    for shape in survey("deepseek-r1", ask, allowed).shapes:
        apart = shape.role in ("prefill", "decode")
        assert shape.deployment.pool_speed == (pool_speed(shape.deployment, shape.role) if apart else 1.0)
    assert (
        len({family(shape) for shape in survey("deepseek-r1", ask, allowed).shapes}) == 1
    )  # pools of any speed are paired
