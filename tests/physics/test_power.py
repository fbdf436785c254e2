"""The power law: concave, additive, bounded by TDP over a step, the same in tables, schedules and explanations."""

import numpy as np
import pytest
from deployments import deployment, terms
from hypothesis import given, settings
from hypothesis import strategies as st

from tokenworks.physics.compile import FINE_PER_J, FINE_PER_S, compile_worker
from tokenworks.physics.explain import explain
from tokenworks.physics.operators import Cost
from tokenworks.physics.power import PowerLaw
from tokenworks.physics.schedule import Points, Schedule, step_costs
from tokenworks.physics.step import Machine

TDP_W = 700.0
LINE = {"memory_bend": 1.0, "flop_bend": 1.0}


def cost(seconds, flop_s, byte_s) -> Cost:
    arrays = [np.atleast_1d(np.asarray(a, float)) for a in (seconds, flop_s, byte_s)]
    return Cost(*arrays, np.zeros(arrays[0].shape, dtype=bool), arrays[0])


@settings(derandomize=True, deadline=None, max_examples=100)
@given(u_mem=st.floats(0, 1), u_flop=st.floats(0, 1), seconds=st.floats(1e-6, 10), factor=st.floats(0.1, 10))
def test_an_operator_by_hand(u_mem, u_flop, seconds, factor):
    t = terms(power_base=0.2, power_memory=0.3, power_flop=0.4, memory_bend=0.5, flop_bend=0.8, speed=1.0)
    law = PowerLaw(t, TDP_W)
    watts = law.joules(law.dynamic_s(cost(seconds, u_flop * seconds, u_mem * seconds)), 2)[0] / seconds
    assert watts == pytest.approx((0.3 * u_mem**0.5 + 0.4 * u_flop**0.8) * TDP_W * 2, abs=1e-6)
    more = law.dynamic_s(cost(*(factor * x for x in (seconds, u_flop * seconds, u_mem * seconds))))
    one = law.dynamic_s(cost(seconds, u_flop * seconds, u_mem * seconds))
    assert more == pytest.approx(factor * one, abs=1e-12)


def test_half_the_utilisation_is_more_than_half_the_power():
    law = PowerLaw(terms(), TDP_W)
    full, half = (law.dynamic_s(cost(1.0, 0.0, u))[0] for u in (0.6, 0.3))
    assert full / 2 < half < full


def watts(table, seqs, keys=1024) -> float:
    steps = (table.decode[:, seqs] + seqs * keys * table.context[:, 0]).max() / FINE_PER_S
    return (table.joule_decode[seqs] + seqs * keys * table.joule_context[0]) / FINE_PER_J / steps + table.active_w


def test_power_grows_by_less_than_utilisation_does():
    """A bent law and a line that agree on a full batch: the line says less of a small one."""
    full, few = 256, 8
    wide = deployment(max_seqs=full, cuda_graph_max_seqs=full)
    bent = compile_worker(wide, terms=terms()).levels[0]
    line = compile_worker(wide, terms=terms(**LINE)).levels[0]
    above = [watts(table, full) - table.active_w for table in (bent, line)]
    small = [watts(table, few) - table.active_w for table in (bent, line)]
    assert small[0] / above[0] > small[1] / above[1]


@pytest.mark.parametrize("asynchronous", [False, True])
@pytest.mark.parametrize(
    "changes", [{}, {"model": "qwen3-30b-a3b", "tp": 2, "ep": 2}, {"model": "gpt-oss-120b", "weights": "mxfp4"}]
)
def test_no_step_draws_more_than_the_boards_may(changes, asynchronous):
    hot = terms(power_base=0.5, power_flop=1.4, power_memory=1.2, power_seq=0.9, seq_s=1e-4)
    chosen = deployment(**changes, async_scheduling=asynchronous)
    for table in compile_worker(chosen, terms=hot, all_clocks=True).levels:
        most = TDP_W * chosen.gpus * (1 + 1e-6)
        assert all(watts(table, seqs, keys) <= most for seqs in (1, 8, 64) for keys in (0, 1000, 100_000))
        seconds = (table.mixed[:, 1:] + table.seqs[:, 1:2]).max(axis=0) / FINE_PER_S
        joules = (table.joule_mixed[1:] + table.joule_seqs[1]) / FINE_PER_J
        assert (joules / seconds + table.active_w <= most).all()


def test_sampling_beside_a_full_board_stretches_the_step():
    """Where the host's time hides behind the device, what is sampled in it needs power that the board does not have."""
    hot = {"power_base": 0.5, "power_flop": 1.4, "power_memory": 1.2, "power_seq": 0.9, "kernel_s": 0.0}
    free, bound = (
        compile_worker(deployment(async_scheduling=True), terms=terms(**hot, seq_s=s)).levels[0] for s in (1e-8, 2e-5)
    )
    assert (bound.decode.argmax(axis=0)[1:] == 2).all()
    assert (bound.decode.max(axis=0)[1:] > free.decode.max(axis=0)[1:]).all()


def test_a_slower_clock_draws_less():
    levels = compile_worker(deployment(), terms=terms(), all_clocks=True).levels
    drawn = [
        table.joule_mixed[-1] / FINE_PER_J / (table.mixed[:, -1].max() / FINE_PER_S) + table.active_w
        for table in levels
    ]
    assert (np.diff(drawn) < 0).all()


@pytest.mark.parametrize(
    "changes",
    [
        {},
        {"async_scheduling": True},
        {"model": "qwen3-30b-a3b", "tp": 2, "ep": 2},
        {"model": "llama-3.1-8b", "draft_tokens": 2, "tokens_per_step": 2.0},
        {"model": "deepseek-r1", "accelerator": "b200", "weights": "nvfp4", "dp": 8, "ep": 8},
    ],
)
def test_schedule_and_tables_say_the_same(changes):
    """One pure decode step and one step with a prompt, as the tables price them and as calibration does."""
    machine = Machine.of(deployment(**changes), terms=terms())
    ranks = machine.deployment.dp
    table = compile_worker(machine.deployment, terms=machine.terms).levels[0]
    n, prompt, keys, pairs = 16, 256, 16 * 1000.0, 256 * 257 / 2
    three = lambda x: np.array([x, 0.0, 0.0])  # noqa: E731
    schedule = Schedule(
        np.ones(2), np.array([n, n], float), np.array([0.0, prompt + n]), np.array([n, n + 1], float),
        np.stack([three(0.0), three(pairs)]), np.stack([three(keys)] * 2), np.array([0, 0]),
    )  # fmt: skip
    seconds, joules = step_costs(machine, schedule, Points.of(schedule))
    decode = (
        table.decode[0, n]
        + keys * table.context[0, 0]
        + table.shared_decode[0, (n * ranks) % table.shared_decode.shape[1]]
    )
    mixed = table.mixed[0, prompt + n] + table.seqs[0, n + 1] + pairs * table.pair[0, 0] + keys * table.context[0, 0]
    mixed += table.shared_mixed[0, ((prompt + n) * ranks) % table.shared_mixed.shape[1]]
    assert seconds == pytest.approx([decode / FINE_PER_S, mixed / FINE_PER_S], rel=1e-6)
    drawn = ranks * (table.joule_decode[n] + keys * table.joule_context[0])
    drawn += table.joule_shared_decode[(n * ranks) % len(table.joule_shared_decode)]
    also = ranks * (table.joule_mixed[prompt + n] + table.joule_seqs[n + 1] + pairs * table.joule_pair[0])
    also += ranks * keys * table.joule_context[0]
    also += table.joule_shared_mixed[((prompt + n) * ranks) % len(table.joule_shared_mixed)]
    assert joules == pytest.approx([drawn / FINE_PER_J, also / FINE_PER_J], rel=1e-6)


def test_an_explanation_is_the_table():
    table = compile_worker(deployment()).levels[0]
    step = explain(deployment(), 32, 1024, 512).decode
    assert step.joules / step.seconds == pytest.approx(watts(table, 32), rel=1e-3)
