"""The closed form of a steady replica: by hand where that can be done, against the twin where not."""

from dataclasses import replace

import numpy as np
import pytest
from deployments import deployment
from random_replicas import lengths, replica
from replicas import alone, at_batch, at_rate, drawn, predicted, rehearsed

from tokenworks.errors import InputError
from tokenworks.plan.ask import Ask
from tokenworks.plan.machines import Machines
from tokenworks.plan.shapes import Shape
from tokenworks.plan.wide import Wide, wide
from tokenworks.plan.wide.counting import fullest, longest_of, mean_chunks, most_of, prefill_steps
from tokenworks.plan.wide.load import Points, loaded
from tokenworks.plan.wide.steps import Asked, tables
from tokenworks.twin.cell import TwinOptions
from tokenworks.twin.simulate import simulate

GRAPHS = {"cuda_graph_max_seqs": 512, "token_budget": 8192}
R1 = {"accelerator": "b200", "model": "deepseek-r1", "weights": "fp8_block"}
SGLANG = {"engine": "sglang", "prefill_alone": True}
CASES = {  # deployment, batch, prompt, output, spread of both
    "chat": (GRAPHS, 64, 1000, 250, 0.7),
    "short answers": (GRAPHS, 64, 500, 20, 0.7),
    "long prompts in chunks": ({**GRAPHS, "token_budget": 2048, "kv": "fp8"}, 32, 6000, 200, 0.5),
    "one at a time": (GRAPHS, 1, 1000, 200, 0.7),
    "few": (GRAPHS, 4, 1000, 200, 0.7),
    "prompts alone": ({**SGLANG, "token_budget": 16384}, 64, 1000, 250, 0.7),
    "long prompts alone": ({**SGLANG, "token_budget": 4096}, 16, 6000, 300, 0.5),
    "prompts alone, looks every 4th step": ({**SGLANG, "receive_interval": 4, "token_budget": 8192}, 64, 1000, 100, 0.7),
    "cache reserved": ({**GRAPHS, "model": "llama-3.3-70b", "weights": "fp8", "tp": 4, "reserve_output": True, "eager_prefill": True}, 128, 1000, 500, 0.6),
    "stages": ({"model": "llama-3.3-70b", "weights": "fp8", "tp": 2, "pp": 2, "token_budget": 4096}, 48, 1500, 300, 0.6),
    "experts": ({**R1, "tp": 8, "ep": 8, "token_budget": 8192}, 64, 1000, 400, 0.6),
    "ranks": ({**R1, "dp": 8, "ep": 8, "token_budget": 4096}, 32, 1000, 400, 0.6),
    "ranks, prompts alone": ({**R1, **SGLANG, "dp": 8, "ep": 8, "token_budget": 8192}, 64, 1000, 400, 0.6),
    "speculation": ({**R1, "tp": 8, "weights": "nvfp4", "draft_tokens": 1, "tokens_per_step": 1.7, "token_budget": 8192}, 32, 2000, 600, 0.6),
    "windows": ({"model": "gemma-3-27b", "weights": "fp8", "tp": 2, "token_budget": 8192}, 64, 4000, 300, 0.6),
    "one length": ({**GRAPHS}, 64, 1000, 250, 0.0),
    "wide spread": ({"model": "qwen3-30b-a3b", "tp": 2, "token_budget": 8192, "kv": "fp8"}, 96, 800, 600, 0.9),
}  # fmt: skip


def errors_of(name):
    """(throughput, TPOT, watts of a flooded replica; TTFT, TPOT, watts, TTFT p95 of one at 70%): relative errors."""
    changes, batch, prompt, output, spread = CASES[name]
    ask = lengths(np.random.default_rng(3), prompt, output, spread, 400)
    d = deployment(**{**changes, "max_seqs": batch})
    count = max(1200, 20 * batch * d.dp)
    full = rehearsed(alone(d), ask, count)
    some = rehearsed(alone(d), ask, count, 0.7 * full.requests_s)
    mine, less = at_batch(d, ask, batch), at_rate(d, ask, 0.7 * full.requests_s)
    pairs = ((mine, full, "requests_s"), (mine, full, "tpot_s"), (mine, full, "board_w"))
    pairs += ((less, some, "ttft_s"), (less, some, "tpot_s"), (less, some, "board_w"), (less, some, "ttft_p95_s"))
    return [getattr(a, what) / getattr(b, what) - 1 for a, b, what in pairs]


def test_replicas_in_the_twin():
    """Seventeen deployments, flooded and at 70%: median error of throughput within 2.5%, none above 6%."""
    errors = np.abs([errors_of(name) for name in CASES])
    rate, tpot, watts, ttft, tpot_70, watts_70, late = np.median(errors, axis=0)
    assert rate < 0.025
    assert tpot < 0.025
    assert watts < 0.03
    assert ttft < 0.15
    assert tpot_70 < 0.05
    assert watts_70 < 0.02
    assert late < 0.35
    assert (errors.max(axis=0) < [0.06, 0.06, 0.06, 0.3, 0.15, 0.1, 0.5]).all()


def test_one_request_at_a_time_by_hand():
    """One sequence, one length: its prompt in two steps, priced at their mean; 99 steps of decode, nothing beside it."""
    d = deployment(max_seqs=1, token_budget=2000, cuda_graph_max_seqs=0)
    ask = Ask(np.array([3999.0]), np.array([100.0]), None, None, None)
    machine, one = Machines().of(d), np.ones(1)
    of, host = tables(machine, Asked(one, one * 3999 / 2, one / 2, one * 3999 / 2)), machine.terms
    keys, pairs = 3999 + 50.0, 3999 * 4000 / 2 / 2
    decode = of.decode.seconds[0] + keys * of.key.seconds[0] + host.step_s + host.seq_s
    prompt = of.mixed.seconds[0] + pairs * of.pair.seconds[0] + host.step_s + host.prompt_s + host.seq_s / 2
    found = predicted(d, ask)
    assert found.tpot_s[0] == pytest.approx(decode, rel=1e-9)
    assert 1 / found.requests_s[0] == pytest.approx(99 * decode + 2 * prompt, rel=1e-9)


def test_rows_stand_for_themselves():
    """A shape gives the same rows alone and among others, whatever order they come in."""
    r = np.random.default_rng(2)
    kinds = [Shape("", role, replica(r, max_seqs=32)) for role in ("serve", "prefill", "decode", "serve", "serve")]
    ask = lengths(r, 800, 100, 0.5)
    together = wide(kinds, ask)
    assert (np.diff(together.shape) >= 0).all()
    for i, kind in enumerate(kinds):
        one, mine = wide([kind], ask), together.shape == i
        for name in Wide.__dataclass_fields__:
            if name != "shape":
                np.testing.assert_array_equal(getattr(together, name)[mine], getattr(one, name), err_msg=name)


@pytest.mark.parametrize("seed", range(12))
def test_figures_make_sense(seed):
    r = np.random.default_rng(seed)
    role = ("serve", "prefill", "decode")[seed % 3]
    d = replica(r)
    found = wide([Shape("", role, d)], lengths(r, 1500, 150, 0.6))
    for name in ("requests_s", "output_tokens_s", "ttft_s", "board_w", "kv_share"):
        assert (getattr(found, name) > 0).all(), name
    assert (found.kv_share[1:] <= 1.005).all()
    assert (np.diff(found.batch) > 0).all()
    assert (found.board_w <= found.gpus * 1.001 * Machines().of(d).chip.tdp_w).all()
    assert (found.board_w >= found.idle_w * 0.999).all() or role == "prefill"


TIGHT = {
    "full attention": {"memory_fraction": 0.35},
    "reserved": {"memory_fraction": 0.35, "reserve_output": True},
    "windows": {"model": "gemma-3-27b", "weights": "fp8", "memory_fraction": 0.5},
    "linear states": {"model": "nemotron-h-56b", "weights": "fp8", "memory_fraction": 0.85},
}


@pytest.mark.parametrize("name", TIGHT)
def test_the_largest_batch_just_fits_the_cache(name):
    """The twin preempts hardly anything at it, and with a third more the cache, not the batch, holds requests back."""
    d = deployment(**{**GRAPHS, **TIGHT[name], "max_seqs": 256})
    ask = lengths(np.random.default_rng(3), 1500, 400, 0.7, 400)
    found = predicted(d, ask)
    most = int(found.batch[-1])
    assert most < 256
    assert found.kv_share[-1] > 0.9
    run = lambda batch: simulate(alone(replace(d, max_seqs=batch)), drawn(ask, 2000, 0.0, 1), TwinOptions(record=True))  # noqa: E731
    assert run(most).services[0].preemptions < 0.02 * 2000
    beyond = run(round(most * 1.4))
    mean_batch = beyond.workers.batch_steps[0] / beyond.workers.steps[0]
    assert beyond.services[0].preemptions > 0.01 * 2000 or mean_batch < 1.3 * most


def test_known_prefixes_cost_keys_but_no_prefill():
    """A prompt of which half is known: as many keys as the whole, prefill work of the other half."""
    r = np.random.default_rng(1)
    whole, half = np.full(50, 4000.0), np.full(50, 2000.0)
    output = r.integers(50, 200, 50).astype(float)
    of = lambda ask: predicted(deployment(max_seqs=8), ask)  # noqa: E731
    cold, warm = of(Ask(whole, output, None, None, None)), of(Ask(half, output, None, None, None, half))
    short = of(Ask(half, output, None, None, None))
    assert warm.tpot_s[0] == pytest.approx(cold.tpot_s[0], rel=1e-12)
    assert short.tpot_s[0] < warm.tpot_s[0]
    assert (short.ttft_s[0], short.requests_s[0]) < (warm.ttft_s[0], np.inf)
    assert warm.ttft_s[0] < cold.ttft_s[0]


def test_no_shape_is_an_error():
    with pytest.raises(InputError, match="no kind of replica"):
        wide([], lengths(np.random.default_rng(1), 10, 10, 0.1))


def test_counts_against_draws():
    """Chunks, the fullest of some ranks, the longest of some prompts: means of many draws."""
    r = np.random.default_rng(4)
    prompts = np.sort(r.lognormal(7, 0.7, 500))
    assert mean_chunks(prompts, 700.0) == pytest.approx(np.ceil(prompts / 700).mean(), rel=1e-12)
    for mean in (0.05, 0.8, 4.0):
        drawn = r.poisson(mean, (200_000, 8))
        assert most_of(mean, 8.0) == pytest.approx(drawn.max(axis=1).mean(), rel=0.01)
        steps = np.where(drawn.max(axis=1) > 0, np.ceil(drawn.max(axis=1) * 0.3), 0)
        assert prefill_steps(mean, 8.0, 0.3, 1.0) == pytest.approx(steps.mean(), rel=0.01)
    levels = np.quantile(prompts, (np.arange(32) + 0.5) / 32)
    longest = [r.choice(levels, k).max() if k else 0.0 for k in r.poisson(2.0, 20_000)]
    assert longest_of(2.0, levels) == pytest.approx(np.mean(longest), rel=0.02)
    tokens = [max(r.choice(levels, k).sum() for k in ranks) for ranks in r.poisson(0.2, (20_000, 8))]
    assert fullest(0.2, 8.0, levels.mean(), levels) == pytest.approx(np.mean(tokens), rel=0.1)


def test_a_processor_sharing_queue_by_hand():
    """x(n) constant: M/M/1 in numbers, mean ρ / (1 − ρ) in all; x(n) = n μ: M/M/c with its Erlang wait."""
    n = np.arange(1.0, 5)
    flat = Points(n, np.full(4, 2.0), np.zeros(4), n, n * 0 + 100.0, 50.0, np.zeros(4))
    load = loaded(flat, 1.0)
    assert load.inside + load.waiting == pytest.approx(1.0)
    assert load.board_w == pytest.approx(75.0)
    servers = loaded(Points(n, n, np.zeros(4), n * 0 + 1.0, n, 0.0, np.zeros(4)), 3.0)
    terms = [3.0**k / np.prod(np.arange(1, k + 1)) for k in range(4)]
    wait = 3.0**4 / 24 * 4
    erlang = wait / (sum(terms) + wait)
    assert servers.waiting == pytest.approx(erlang * 3, rel=1e-9)
    assert servers.ttft_s == pytest.approx(servers.waiting / 3)
    assert loaded(flat, 2.0).ttft_s == np.inf
