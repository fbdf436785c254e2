"""Step times of the wide pass: those of ``estimate``, and those of the tables that the twin plays."""

from dataclasses import replace

import numpy as np
import pytest
from deployments import deployment
from random_replicas import replica

from tokenworks.physics.compile import FINE_PER_J, FINE_PER_S, compile_worker, grid
from tokenworks.physics.explain import explain
from tokenworks.physics.power import PowerLaw
from tokenworks.physics.step import Machine
from tokenworks.physics.worker_model import TICKS_PER_S
from tokenworks.plan.machines import Machines
from tokenworks.plan.wide.steps import MOVE_S, STEP_S, Asked, constants, tables
from tokenworks.plan.wide.traffic import keys_of

CLOCKS = (1.0, 0.88, 0.76, 0.64, 0.52)


def found(deployment, sequences, tokens, sampled):
    ranks = deployment.dp
    return tables(Machines().of(deployment), Asked(sequences, tokens, sampled, ranks * tokens))


def by_class(machine, count, each):
    """Counts of keys or pairs, by context class."""
    limits = (0, *machine.part.attention.limits)
    return np.stack(
        [each(limit) if limit or k == 0 else np.zeros(len(count)) for k, limit in enumerate(limits)], axis=1
    )


def compared(seed):
    """Every step of a random deployment beside its explanation: (seconds, explained, joules, explained, limited)."""
    r = np.random.default_rng(seed)
    d = replica(r, cuda_graph_max_seqs=0, async_scheduling=False, eager_prefill=False, clock=CLOCKS[seed % 5])
    machine, batch = Machine.of(d), np.sort(r.integers(1, d.max_seqs + 1, 6)).astype(float)
    context, prompt = r.integers(1, 20_000, 6).astype(float), r.integers(1, d.token_budget, 6).astype(float)
    of, law, terms = found(d, batch, prompt, np.ones(6)), PowerLaw(machine.terms, machine.chip.tdp_w), machine.terms
    keys = by_class(machine, batch, lambda limit: batch * (np.minimum(context, limit) if limit else context))
    pairs = by_class(machine, prompt, lambda limit: keys_of(np.zeros(6), prompt, limit))
    host = (terms.step_s + terms.seq_s * batch, terms.step_s + terms.prompt_s)
    kinds = ((of.decode, of.shared_decode, keys, of.key, host[0]), (of.mixed, of.shared_mixed, pairs, of.pair, host[1]))
    static_w, rows = terms.power_base * machine.chip.tdp_w * d.gpus, []
    for local, shared, counts, rate, host_s in kinds:
        seconds = local.seconds + shared.seconds + counts @ rate.seconds + host_s
        dynamic = local.dynamic_s + shared.dynamic_s + counts @ rate.dynamic_s
        rows.append((seconds, law.joules(dynamic, d.gpus) + static_w * seconds))
    for i in range(6):
        shown = explain(d, int(batch[i]), int(context[i]), int(prompt[i]))
        for (seconds, joules), step in zip(rows, (shown.decode, shown.prefill), strict=True):
            yield seconds[i], step.seconds, joules[i], step.joules, step.power_limited


def test_steps_are_those_of_estimate():
    """Decode steps of many batches and contexts, and prompts of many lengths. Seconds as explained. ``estimate`` shows
    batches as they come, so graphs do not pad here, and leaves the host's time for what a prompt samples out. Joules as
    explained too; where a power limit binds, tables obey it each alone and a step as a whole, which is never less."""
    rows = [row for seed in range(24) for row in compared(seed)]
    seconds, explained, joules, explained_j, limited = map(np.array, zip(*rows, strict=True))
    np.testing.assert_allclose(seconds, explained, rtol=1e-9)
    assert (joules <= explained_j * (1 + 1e-9)).all()
    equal = np.abs(joules / explained_j - 1) <= 1e-9
    assert equal.mean() > 0.4
    assert (joules > 0.8 * explained_j).all()


@pytest.mark.parametrize("seed", range(6))
def test_steps_are_those_of_the_twins_tables(seed):
    """Whole batches, and tokens on the compiler's grid: the integers of the StepTable, before they are rounded."""
    r = np.random.default_rng(100 + seed)
    d = replica(
        r,
        max_seqs=32,
        token_budget=1024,
        draft_tokens=int(r.integers(0, 3)),
        tokens_per_step=1.0,
        clock=CLOCKS[seed % 5],
    )
    table = compile_worker(d).levels[0]
    n = np.arange(0.0, 33)
    on = grid(d.token_budget + d.max_seqs)
    tokens = np.sort(r.choice(on[on > 0], 33))
    sampled = np.minimum(n, tokens)
    of = found(d, n, tokens, sampled)
    law = PowerLaw(Machine.of(d).terms, Machine.of(d).chip.tdp_w)
    whole, some = n.astype(int), tokens.astype(int)
    device = 1 if d.async_scheduling else 0
    for name, mine, theirs in (
        ("shared decode", of.shared_decode.seconds, table.shared_decode[0, whole * d.dp] if d.dp > 1 else 0 * n),
        ("key", of.key.seconds, table.context[0]),
        ("pair", of.pair.seconds, table.pair[0]),
        ("decode limit", law.limit_s(of.decode.dynamic_s), table.decode[2, whole]),
        ("mixed limit", law.limit_s(of.mixed.dynamic_s), table.mixed[2, some] + table.seqs[2, sampled.astype(int)]),
    ):
        np.testing.assert_allclose(mine * FINE_PER_S, theirs, rtol=1e-12, atol=1.5, err_msg=name)
    if device:
        np.testing.assert_allclose(of.decode.seconds * FINE_PER_S, table.decode[0, whole], rtol=1e-12, atol=1.5)
    gpus = d.tp * d.pp
    np.testing.assert_allclose(
        law.joules(of.decode.dynamic_s, gpus) * FINE_PER_J, table.joule_decode[whole], rtol=1e-12, atol=1.5
    )


@pytest.mark.parametrize("changes", [{}, {"transfer_gb_s": 7.0}, {"scale_out_gb_s": 30.0}])
def test_a_cache_moves_as_in_the_twin(changes):
    d = deployment(max_seqs=4, token_budget=64, **changes)
    model, known = compile_worker(d), constants(Machine.of(d))
    assert model.transfer_ticks_per_token == pytest.approx(known[MOVE_S] * TICKS_PER_S, abs=1)
    assert model.transfer_latency_ticks == pytest.approx(known[STEP_S] * TICKS_PER_S, abs=1)


def test_machines_resolve_terms_as_each_alone():
    r = np.random.default_rng(5)
    machines = Machines()
    for i in range(40):
        d = replica(r, clock=CLOCKS[i % 5])
        mine, alone = machines.of(d), Machine.of(d)
        assert mine.terms == alone.terms
        assert mine.part == alone.part


def test_rows_do_not_depend_on_each_other():
    d = replica(np.random.default_rng(8), cuda_graph_max_seqs=512)
    n = np.array([1.0, 7.0, 12.0])
    together = found(d, n, n * 100, n)
    for i in range(3):
        one = found(d, n[i : i + 1], n[i : i + 1] * 100, n[i : i + 1])
        assert one.decode.seconds[0] == together.decode.seconds[i]
        assert one.mixed.dynamic_s[0] == together.mixed.dynamic_s[i]
    assert replace(d, max_seqs=1) != d
