"""Bounds hold for every configuration, and the search that uses them finds what looking at everything finds."""

import numpy as np
import pytest
from random_replicas import lengths, replica

from tokenworks.plan.allowed import Allowed
from tokenworks.plan.ask import Ask
from tokenworks.plan.bounds import limits
from tokenworks.plan.machines import Machines
from tokenworks.plan.shapes import Shape, shapes
from tokenworks.plan.survivors import keeps, survivors
from tokenworks.plan.wide import wide
from tokenworks.plan.wide.traffic import Traffics


@pytest.mark.parametrize("seed", range(60))
def test_no_configuration_beats_its_bound(seed):
    r = np.random.default_rng(seed)
    d = replica(
        r,
        cuda_graph_max_seqs=int(r.choice([0, 64, 512])),
        draft_tokens=int(r.choice([0, 0, 1])),
        receive_interval=int(r.choice([1, 1, 5])),
    )
    shape = Shape("", ("serve", "serve", "prefill", "decode")[r.integers(4)], d)
    ask = lengths(r, float(r.integers(20, 8000)), float(r.integers(2, 800)), float(r.uniform(0, 1)))
    machine = Machines().of(d)
    bound, found = limits(shape, machine, Traffics(ask).of(machine)), wide([shape], ask)
    at = np.searchsorted(bound.batch, found.batch)
    assert (found.requests_s <= bound.requests_s[at] * (1 + 1e-9)).all()
    assert (found.tpot_s >= bound.tpot_s[at] * (1 - 1e-9)).all()
    assert (found.ttft_s >= bound.ttft_s * (1 - 1e-9)).all()


def space(seed):
    """A small space with objectives that some of it keeps, and a price for each system."""
    r = np.random.default_rng(1000 + seed)
    model = ("llama-3.1-8b", "gpt-oss-120b", "qwen3-30b-a3b", "gemma-3-27b")[seed % 4]
    systems = tuple(r.choice(["hgx-h100", "hgx-h200", "hgx-b200", "mi355x-8", "dgx-a100"], 2, replace=False))
    ask = lengths(r, float(r.integers(100, 4000)), float(r.integers(20, 600)), 0.6)
    kinds = shapes(
        model, ask, Allowed(systems, engines=("vllm", "sglang"), most_gpus=8, max_seqs=256, pp=(1,), roles=("serve",))
    )
    prices = {system: float(r.uniform(1, 6)) for system in systems}
    found = wide(kinds, ask)
    limits = np.quantile(found.ttft_s, r.uniform(0.05, 0.9)), np.quantile(found.tpot_s, r.uniform(0.02, 0.9))
    ask = Ask(ask.input_tokens, ask.output_tokens, float(limits[0]), float(limits[1]), None)
    return kinds, ask, [prices[s.system] * s.deployment.gpus for s in kinds]


def best(kinds, found, ask, usd_h):
    """(dollars per request, shape, batch) of the cheapest configuration that keeps the objectives; ties by shape, batch."""
    price = np.array(usd_h)[found.shape] / 3600 / found.requests_s
    fits = np.flatnonzero(keeps(found, ask))
    if not len(fits):
        return None
    return min((price[i], kinds[found.shape[i]], int(found.batch[i])) for i in fits[price[fits] == price[fits].min()])


def test_pruned_search_is_exhaustive_search():
    """Forty small spaces: the same best configuration, with part of the shapes priced."""
    priced = looked = 0
    for seed in range(40):
        kinds, ask, usd_h = space(seed)
        everything = best(kinds, wide(kinds, ask), ask, usd_h)
        kept, found = survivors(kinds, ask, usd_h)
        mine = None if found is None else best([kinds[i] for i in kept], found, ask, [usd_h[i] for i in kept])
        assert mine == everything
        priced, looked = priced + len(kept), looked + len(kinds)
    assert priced < 0.7 * looked


def test_slack_keeps_all_that_are_nearly_as_cheap():
    kinds, ask, usd_h = space(2)
    found = wide(kinds, ask)
    price = np.where(keeps(found, ask), np.array(usd_h)[found.shape] / 3600 / found.requests_s, np.inf)
    near = {int(s) for s in found.shape[price <= 1.2 * price.min()]}
    kept, _ = survivors(kinds, ask, usd_h, slack=0.2)
    assert near <= set(kept)
