"""Low-rank adapters: sizes by hand, distinct adapters by simulation, bounds."""

from itertools import pairwise

import numpy as np
import pytest
from deployments import deployment, terms
from hypothesis import given, settings
from hypothesis import strategies as st

from tokenworks import catalog
from tokenworks.errors import CapacityError
from tokenworks.physics.compile import FINE_PER_S, compile_worker
from tokenworks.physics.curves import streamed_share
from tokenworks.physics.explain import explain
from tokenworks.physics.kernels import launches
from tokenworks.physics.lora import adapter, applied, distinct
from tokenworks.physics.memory import memory_map
from tokenworks.physics.operators import Chip
from tokenworks.physics.shard import shard
from tokenworks.physics.step import Machine

RELAXED = settings(derandomize=True, deadline=None, max_examples=40)
LLAMA = 32 * (4096 * 3 + 6144 + 4096 * 2 + 4096 * 2 + 2 * 14336 + 14336 + 4096)  # Σ (inputs + outputs) of all layers


def with_lora(adapters=8, rank=16, **changes):
    return deployment(lora_adapters=adapters, lora_rank=rank, **changes)


def test_an_adapter_by_hand():
    one = with_lora()
    assert (
        adapter(one, shard(one), shared=False).parameters == 16 * LLAMA == 41_943_040
    )  # what PEFT prints for all linear layers
    sizes = memory_map(Machine.of(one, terms=terms()))
    assert sizes.adapters == 8 * 16 * LLAMA * 2
    without = memory_map(Machine.of(deployment(), terms=terms()))
    assert sizes.kv == pytest.approx(without.kv - sizes.adapters)
    assert sizes.weights == without.weights


def test_a_shard_holds_the_cut_side_of_each_projection():
    """Two ranks: outputs of the first projections are halved, inputs of the second; the other sides are whole."""
    cut = with_lora(tp=2)
    whole = 4096 * 3 + 4096 + 2 * 4096 + 4096  # what every rank holds of a layer
    assert adapter(cut, shard(cut), shared=False).parameters == 16 * (32 * whole + 32 * (6144 + 4096 + 3 * 14336) / 2)


def test_two_kernels_an_adapted_projection():
    for name, projections in (("llama-3.1-8b", 32 * 4), ("deepseek-r1", 61 * 4 + 3 * 2)):
        model = catalog.load("models", name)
        more = launches(with_lora(model=name), model) - launches(deployment(model=name), model)
        assert more == 2 * projections


@pytest.mark.parametrize(("adapters", "sequences"), [(1, 5), (8, 3), (8, 40), (100, 64)])
def test_distinct_adapters_against_simulation(adapters, sequences):
    rng = np.random.default_rng(3)
    drawn = [len(np.unique(rng.integers(0, adapters, sequences))) for _ in range(400)]
    expected = distinct(adapters, np.array([float(sequences)]))[0]
    assert np.mean(drawn) == pytest.approx(expected, abs=3 * np.std(drawn) / 20 + 1e-9)


@RELAXED
@given(adapters=st.integers(1, 64), rank=st.integers(1, 128), tokens=st.integers(1, 20_000))
def test_never_above_peak_nor_bandwidth(adapters, rank, tokens):
    d, chip = with_lora(adapters, rank), Chip.load("h100-sxm")
    cost = applied(chip, terms(flop_dense=0.97, mem_dense=0.97), d, shard(d), np.array([float(tokens)]), shared=False)
    assert 2 * tokens * rank * LLAMA / cost.seconds[0] <= 989.4e12
    assert 2 * rank * LLAMA / cost.seconds[0] <= 3350e9


@pytest.mark.parametrize("changes", [{}, {"pp": 2}, {"model": "deepseek-r1", "weights": "nvfp4", "dp": 8, "ep": 8}])
def test_steps_grow_with_sequences_adapters_and_rank(changes):
    base = {"accelerator": "b200", **changes}
    tables = [compile_worker(deployment(**base), terms=terms()).levels[0]]
    tables += [compile_worker(with_lora(a, r, **base), terms=terms()).levels[0] for a, r in ((1, 16), (8, 16), (8, 64))]
    for name in ("decode", "mixed", "seqs", "shared_decode", "joule_decode", "joule_mixed", "joule_shared_mixed"):
        grown = [getattr(table, name) for table in tables]
        assert all((np.diff(table, axis=-1) >= 0).all() for table in grown), name
        assert all((more >= less).all() for less, more in pairwise(grown)), name


def test_a_decode_step_reads_the_adapters_of_its_batch():
    """Without launches, one adapter apart from activations per sequence, then 8·(1 − (7/8)^n) of them."""
    quiet = terms(kernel_s=1e-12)
    on, off = (compile_worker(d, terms=quiet).levels[0].decode[0] / FINE_PER_S for d in (with_lora(), deployment()))
    size, moved = 16 * LLAMA * 2, adapter(with_lora(), shard(with_lora()), shared=False).moved * 2
    for n in (1, 8, 64):
        expected = (8 * (1 - (7 / 8) ** n) * size + n * moved) / (3350e9 * streamed_share())
        assert (on - off)[n] == pytest.approx(expected, rel=1e-3)


def test_too_many_adapters_do_not_fit():
    with pytest.raises(CapacityError, match=r"LoRA adapters 335\.5, reserve 2\.0"):
        compile_worker(with_lora(adapters=1000, rank=64), terms=terms())


def test_estimate_shows_them():
    found = explain(with_lora(), 32, 1024, 1024)
    assert {"lora", "more lora adapters"} <= {operator.name for operator in found.decode.operators}
    assert found.memory.adapters > 0
