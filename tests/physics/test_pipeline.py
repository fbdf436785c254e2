"""Micro-batches in flight against a written-out pipeline, and against the same work without stages."""

import numpy as np
import pytest
from deployments import deployment, terms

from tokenworks.errors import UnsupportedError
from tokenworks.physics.compile import compile_worker
from tokenworks.physics.explain import explain
from tokenworks.physics.operators import Cost
from tokenworks.physics.pipeline import cycle, idle_factor
from tokenworks.physics.shard import shard
from tokenworks.physics.step import Machine, core, local_costs

LARGE = {"model": "llama-3.1-70b", "accelerator": "h200-sxm"}
PRODUCTS = ("qkv", "attention out", "ffn up", "ffn down")


def piped(pp: int, micro_batches: int, **changes) -> Machine:
    return Machine.of(deployment(**LARGE, pp=pp, micro_batches=micro_batches, **changes), terms=terms())


@pytest.mark.parametrize(("pp", "batches"), [(1, 1), (4, 1), (4, 3), (4, 4), (8, 5)])
def test_a_cycle_against_stages_written_out(pp, batches):
    """Micro-batches in a ring: a stage takes one at a time, a micro-batch starts over when it left the last stage."""
    free, back, returned = [0.0] * pp, [0.0] * batches, []
    for _ in range(20):
        for batch in range(batches):
            now = back[batch]
            for stage in range(pp):
                now = free[stage] = max(now, free[stage]) + 1.0
            back[batch] = now
        returned.append(back[0])
    stage_time = Cost(np.ones(1), np.ones(1), np.ones(1), np.ones(1, dtype=bool), np.ones(1))
    found = cycle(stage_time, deployment(pp=pp, micro_batches=batches), float(batches))
    assert found.seconds[0] == returned[-1] - returned[-2]
    assert found.flop_s[0] == batches  # of the cycle a stage works this long
    assert idle_factor(deployment(pp=pp, micro_batches=batches)) == found.seconds[0] / batches


def test_one_micro_batch_takes_as_long_as_without_stages():
    """A lone prompt passes the whole model; each GPU does its part of the work once."""
    whole, stages = (local_costs(piped(pp, 1), np.array([2048.0])) for pp in (1, 4))
    for name in PRODUCTS:
        assert stages[name].seconds == pytest.approx(whole[name].seconds)
        assert stages[name].flop_s * 4 == pytest.approx(whole[name].flop_s)
        assert stages[name].byte_s * 4 == pytest.approx(whole[name].byte_s)
    assert core(piped(4, 1)).pair.seconds == pytest.approx(core(piped(1, 1)).pair.seconds)
    assert core(piped(4, 1)).key.seconds == pytest.approx(core(piped(1, 1)).key.seconds)


def test_one_a_stage_is_what_is_assumed_under_load():
    stated, assumed = (compile_worker(piped(4, m).deployment, terms=terms()).levels[0] for m in (4, 0))
    assert (stated.decode[0, 4:] == assumed.decode[0, 4:]).all()
    assert (stated.mixed[0, 4:] == assumed.mixed[0, 4:]).all()
    assert (stated.pair == assumed.pair).all()
    assert (stated.joule_decode[:4] <= assumed.joule_decode[:4]).all()  # one token is no four micro-batches


@pytest.mark.parametrize(
    "changes",
    [
        LARGE,
        {"model": "deepseek-r1", "accelerator": "b200", "weights": "nvfp4", "dp": 4, "ep": 4},
        {"model": "llama-3.1-8b", "lora_adapters": 8, "lora_rank": 16},
        {"model": "nemotron-nano-9b-v2"},
    ],
)
def test_fewer_in_flight_are_never_faster(changes):
    tables = [compile_worker(deployment(**changes, pp=4, micro_batches=m), terms=terms()).levels[0] for m in (1, 2, 4)]
    for name in ("decode", "mixed", "seqs", "shared_decode", "shared_mixed"):
        one, two, four = (getattr(table, name)[0].astype(float) for table in tables)
        assert (one >= two * (1 - 1e-6)).all(), name
        assert (two >= four * (1 - 1e-6)).all(), name
        assert (one <= 4 * four + 1e3).all(), name  # never worse than all other stages idle
        assert all((np.diff(getattr(table, name)[0]) >= 0).all() for table in tables), name
    for name in ("pair", "context"):
        assert (getattr(tables[0], name)[0] >= getattr(tables[2], name)[0]).all()
        assert (getattr(tables[0], f"joule_{name}") == getattr(tables[2], f"joule_{name}")).all()


def test_estimate_shows_the_idle_stages():
    lone, full = (explain(deployment(**LARGE, pp=4, micro_batches=m), 64, 1024, 2048) for m in (1, 0))
    assert 2 < lone.prefill.seconds / full.prefill.seconds <= 4


def test_more_micro_batches_than_stages_are_refused():
    with pytest.raises(UnsupportedError, match="3 micro-batches in flight of pp = 2"):
        shard(deployment(pp=2, micro_batches=3))
