"""A clock level as a choice is the level that a power cap would hold: the same tables, the same steps."""

import re
from dataclasses import fields, replace

import numpy as np
import pytest
from deployments import deployment, terms

from tokenworks import catalog
from tokenworks.errors import SpecError, UnsupportedError
from tokenworks.events.requests import Requests
from tokenworks.physics.clocks import levels
from tokenworks.physics.compile import compile_worker
from tokenworks.physics.fleet import fleet
from tokenworks.physics.step import Machine
from tokenworks.physics.worker_model import TICKS_PER_S
from tokenworks.rehearsal.plant import plant
from tokenworks.spec.loading import loads
from tokenworks.twin.cell import Cell, PowerCap, ServicePlan, TwinOptions
from tokenworks.twin.simulate import simulate

CLOCKS = (1.0, 0.88, 0.76, 0.64, 0.52)
VOLTAGES = (1.0, 0.93, 0.86, 0.80, 0.76)
KINDS = (
    {},
    {"model": "qwen3-30b-a3b", "tp": 2, "ep": 2, "async_scheduling": True},
    {"model": "deepseek-r1", "accelerator": "b200", "weights": "nvfp4", "dp": 8, "ep": 8, "max_seqs": 16},
)
QUIET_S = 20  # before the first request: the cap reaches its level meanwhile
FILE = """factory: clocked
systems: [{{id: box, system: hgx-h100, count: 1}}]
site: {{power: {{budget: {budget} kW, scope: facility}}}}
services:
  - {{name: chat, model: llama-3.1-8b, precision: fp8, clock: {clock}, {pools}}}
workload:
  - {{service: chat, arrivals: {{kind: poisson, rate: 8}}, input: {{kind: fixed, mean: 256}}, output: {{kind: fixed, mean: 64}}}}
run: {{horizon: 20 s, seed: 3}}
"""


def factory(clock="76%", pools="workers: 4", budget=0):
    return loads(FILE.format(clock=clock, pools=pools, budget=budget))


def same(one, other):
    return all(np.array_equal(getattr(one, f.name), getattr(other, f.name)) for f in fields(one))


@pytest.mark.parametrize("changes", KINDS)
def test_the_tables_are_those_of_the_level_under_a_cap(changes):
    capped = compile_worker(deployment(**changes), terms=terms(), all_clocks=True).levels
    assert len(capped) == len(CLOCKS)
    for i, clock in enumerate(CLOCKS):
        chosen = deployment(**changes, clock=clock)
        alone, below = (compile_worker(chosen, terms=terms(), all_clocks=every).levels for every in (False, True))
        assert len(alone) == 1
        assert len(below) == len(CLOCKS) - i
        assert all(same(a, b) for a, b in zip(below, capped[i:], strict=True))
        assert same(alone[0], capped[i])


@pytest.mark.parametrize(("clock", "voltage"), list(zip(CLOCKS, VOLTAGES, strict=True)))
def test_terms_follow_clock_and_voltage(clock, voltage):
    full, slow = terms(), Machine.of(deployment(clock=clock), terms=terms()).terms
    assert [slow.flop_dense, slow.flop_experts, slow.flop_attention] == pytest.approx(
        [clock * full.flop_dense, clock * full.flop_experts, clock * full.flop_attention]
    )
    power = clock * voltage**2
    assert slow.power_flop == pytest.approx(full.power_flop * voltage**2)
    assert slow.power_seq == pytest.approx(full.power_seq * power)
    assert slow.power_base == pytest.approx(full.power_base * (0.45 + 0.55 * power))
    assert slow.power_memory == pytest.approx(full.power_memory * (0.45 + 0.55 * power))
    assert (slow.mem_dense, slow.mem_kv, slow.step_s, slow.kernel_s) == (
        full.mem_dense,
        full.mem_kv,
        full.step_s,
        full.kernel_s,
    )


def requests(count=60):
    """Poisson arrivals after a quiet time."""
    rng = np.random.default_rng(5)
    arrival = (QUIET_S * TICKS_PER_S + rng.exponential(0.05, count).cumsum() * TICKS_PER_S).astype(np.int64)
    zero = lambda kind: np.zeros(count, kind)  # noqa: E731
    return Requests(
        arrival, rng.integers(16, 900, count).astype(np.int32), rng.integers(2, 120, count).astype(np.int32),
        zero(np.int16), zero(np.int32), np.full(count, -1), zero(np.int8), zero(np.int64), zero(np.int64),
        np.zeros(count + 1, np.int64), np.zeros(0, np.uint64), 16,
    )  # fmt: skip


@pytest.mark.parametrize("level", range(1, len(CLOCKS)))
def test_a_run_at_a_clock_is_a_run_whose_cap_holds_that_level(level):
    every = compile_worker(deployment(), terms=terms(), all_clocks=True)
    capped = replace(every, levels=every.levels[: level + 1])  # the cap goes down as far as it can
    chosen = compile_worker(deployment(clock=CLOCKS[level]), terms=terms())
    plan, options = (
        ServicePlan("chat", workers=(0, 1)),
        TwinOptions(record=True, trace_ticks=(0, 1 << 60), allocate=True),
    )
    held = simulate(Cell((capped,), (0, 0), (plan,), (PowerCap("low", (0, 1), 1.0),)), requests(), options)
    ran = simulate(Cell((chosen,), (0, 0), (plan,)), requests(), options)
    assert ran.workers.steps.sum() > 100
    assert ran.end_ticks == held.end_ticks
    # a control tick ends a leap, not its steps: seconds and joules of steps are compared, not rows
    assert np.array_equal(ran.log.first_token, held.log.first_token)
    assert np.array_equal(ran.log.finish, held.log.finish)
    for name in ("steps", "busy_ticks", "decode_tokens", "dynamic_uj", "static_uj"):
        assert np.array_equal(getattr(ran.workers, name), getattr(held.workers, name)), name
    assert (held.workers.level_ticks[:, :level] == 0).all()
    full = simulate(Cell((compile_worker(deployment(), terms=terms()),), (0, 0), (plan,)), requests(), options)
    assert (full.log.finish - full.log.arrival).mean() < (ran.log.finish - ran.log.arrival).mean()
    assert full.workers.dynamic_uj.sum() > ran.workers.dynamic_uj.sum()


def test_a_share_that_is_no_level_is_named_with_the_nearest_one():
    with pytest.raises(SpecError) as caught:
        factory("85%")
    said = str(caught.value)
    assert re.search(r"services\[0\]\.clock: there is no clock level of 85%; nearest is 88%", said), said
    with pytest.raises(UnsupportedError, match="nearest is 64%"):
        Machine.of(deployment(clock=0.6), terms=terms())


def test_pools_have_clocks_of_their_own_and_else_the_services():
    pools = "prefill: {clock: 88%}, decode: {workers: 2}"
    prefill, decode = fleet(factory("64%", pools))[0].groups
    assert (prefill.deployment.clock, decode.deployment.clock) == (0.88, 0.64)
    assert fleet(factory("100%"))[0].deployment == fleet(factory("null"))[0].deployment


def test_caps_go_down_from_the_chosen_level():
    free, bound = plant(factory()), plant(factory(budget=6))
    chip = catalog.load("accelerators", "h100-sxm")
    boost = float(chip["boost_clock_ghz"])
    assert [table.clock_ghz for table in free.models[0].levels] == pytest.approx([0.76 * boost])
    assert [table.clock_ghz for table in bound.models[0].levels] == pytest.approx(
        [share * boost for share in CLOCKS[2:]]
    )


def test_the_file_says_it_again():
    assert loads(factory("88%").to_yaml()).services[0].clock == 0.88
    assert "clock: 88%" in factory("88%").to_yaml()


def test_levels_are_those_of_the_catalogue():
    assert [(level.clock, level.voltage) for level in levels()] == list(zip(CLOCKS, VOLTAGES, strict=True))
