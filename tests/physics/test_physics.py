"""Physics against hand calculation, bounds and monotony."""

import numpy as np
import pytest
from deployments import deployment, terms
from hypothesis import given, settings
from hypothesis import strategies as st

from tokenworks import catalog
from tokenworks.errors import CapacityError, UnsupportedError
from tokenworks.physics.compile import EXACT, FINE_PER_S, compile_worker, graph_padded, grid
from tokenworks.physics.curves import gemm_curve, link_share, streamed_share
from tokenworks.physics.memory import kv_blocks, memory_map
from tokenworks.physics.operators import Chip, all_reduce, covered, gemms, imbalance, routed
from tokenworks.physics.shard import Experts, Gemm, shard
from tokenworks.physics.step import Machine

RELAXED = settings(derandomize=True, deadline=None, max_examples=60)
MODELS = ["llama-3.1-8b", "gpt-oss-120b", "deepseek-r1", "qwen3-30b-a3b", "gemma-3-27b", "nemotron-nano-9b-v2"]


def test_decode_of_one_sequence_streams_the_weights_once():
    """Llama-3.1-8B in bf16: 8.03 G parameters less the embedding table, 2 bytes, over the share of 3,350 GB/s that
    products reach; each product also walks along its reduction."""
    sharp, curve = terms(kernel_s=0.0, step_s=0.0, seq_s=0.0), gemm_curve("hopper", "bf16")
    model = compile_worker(deployment(), terms=sharp)
    seconds = model.levels[0].decode[0, 1] / FINE_PER_S
    streamed = 2 * (8.03e9 - 128256 * 4096)
    walked = (32 * (3 * 4096 + 14336) + 4096) * curve.reduction_ns * 1e-9
    assert seconds == pytest.approx(streamed / (3350e9 * curve.memory) + walked, rel=0.01)


def test_prefill_is_bound_by_tensor_cores():
    """2 FLOP a parameter and token: 2,048 tokens of 6.98 G layer parameters at their share of 989.4 TFLOP/s; between
    the products, norms, rotary embeddings and activations pass through memory at a share of 3.35 TB/s."""
    sharp, curve = terms(kernel_s=0.0, step_s=0.0, prompt_s=0.0, seq_s=0.0, gemm_edge=0.0), gemm_curve("hopper", "bf16")
    model = compile_worker(deployment(token_budget=2048), terms=sharp)
    seconds = model.levels[0].mixed[0, 2048] / FINE_PER_S
    layers = 32 * (4096 * (32 + 16) * 128 + 4096 * 4096 + 3 * 4096 * 14336)
    passed = 2 * 32 * (2 * 4 * 4096 + 2 * 48 * 128 + 3 * 14336)  # bytes of a token, two an element
    products, between = 2 * layers / (989.4e12 * curve.compute), passed / (3.35e12 * streamed_share())
    walked = 32 * (3 * 4096 + 14336) * curve.reduction_ns * 1e-9
    assert seconds == pytest.approx(2048 * (products + between) + walked, rel=0.001)


def test_attention_rates_by_hand():
    """Per pair 4·heads·d FLOP in each of 32 layers; per key 2·8·128 elements of 2 bytes in each layer."""
    part = shard(deployment()).attention
    assert part.prefill_flop[0] == 32 * 4 * 32 * 128
    assert part.decode_bytes[0] == 32 * 2 * 8 * 128 * 2
    assert shard(deployment(tp=8)).attention.decode_bytes[0] == 32 * 2 * 1 * 128 * 2


def test_mla_reads_one_latent_on_every_rank():
    one = shard(deployment(model="deepseek-r1", weights="fp8_block", kv="fp8", tp=1)).attention
    eight = shard(deployment(model="deepseek-r1", weights="fp8_block", kv="fp8", tp=8)).attention
    assert one.decode_bytes == eight.decode_bytes == (61 * 576.0, 0.0, 0.0)
    assert eight.decode_flop[0] == one.decode_flop[0] / 8


@pytest.mark.parametrize("model", MODELS)
def test_weight_bytes_match_the_parameter_count(model):
    """All GPUs of a replica hold the model once (replicated latent projections and KV heads aside)."""
    for tp in (1, 2, 4):
        part = shard(deployment(model=model, tp=tp))
        entry = catalog.load("models", model)
        whole = entry["params_b"] * 2e9
        assert whole * 0.97 < part.weight_bytes * tp < whole * 1.12


@pytest.mark.parametrize("model", MODELS)
def test_costs_grow_with_tokens_and_sequences(model):
    table = compile_worker(deployment(accelerator="mi325x", model=model, weights="fp8", tp=8), terms=terms()).levels[0]
    for name in ("decode", "mixed", "seqs", "joule_decode", "joule_mixed"):
        assert (np.diff(getattr(table, name)) >= 0).all(), name


@RELAXED
@given(rows=st.floats(1, 50_000), n=st.integers(64, 20_000), k=st.integers(64, 20_000))
def test_no_gemm_beats_peak_or_bandwidth(rows, n, k):
    chip, t = Chip.load("h200-sxm"), terms(flop_dense=0.97, mem_dense=0.97)
    cost = gemms(chip, t, [Gemm("g", n, k, 1, "bf16")], np.array([rows]))[0]
    assert 2 * rows * n * k / cost.seconds[0] <= 989.4e12
    assert n * k * 2 / cost.seconds[0] <= 4800e9


@RELAXED
@given(tokens=st.integers(0, 5000), more=st.integers(1, 5000))
def test_expert_coverage_is_a_share_and_grows(tokens, more):
    experts = Experts(256, 8, 256.0, 1, 1, 1e6, 1, "fp8")
    few, many = covered(experts, np.array([float(tokens), float(tokens + more)]))
    assert 0 <= few <= many <= 1
    assert covered(experts, np.array([1.0]))[0] == pytest.approx(8 / 256)


def test_expert_coverage_against_simulation():
    rng = np.random.default_rng(1)
    drawn = [len(np.unique([rng.choice(64, 4, replace=False) for _ in range(20)])) / 64 for _ in range(300)]
    experts = Experts(64, 4, 64.0, 1, 1, 1e6, 1, "fp8")
    assert np.mean(drawn) == pytest.approx(covered(experts, np.array([20.0]))[0], abs=3 * np.std(drawn) / 17)


def test_imbalance_fades_with_load():
    experts = Experts(256, 8, 32.0, 1, 8, 1e6, 1, "fp8")
    skew = imbalance(experts, np.array([1.0, 100.0, 1e6]))
    assert skew[0] > skew[1] > skew[2] > 1
    assert skew[2] < 1.01


def test_experts_are_never_faster_than_their_bytes():
    chip, t = Chip.load("b200"), terms()
    experts = Experts(128, 4, 128.0, 1, 1, 3 * 2880 * 2880, 36, "mxfp4")
    cost = routed(chip, t, experts, np.array([10_000.0]))
    assert cost.seconds[0] >= 128 * 3 * 2880 * 2880 * 36 * 4.25 / 8 / 7700e9


def test_all_reduce_bus_factor():
    """nccl-tests: 2(n−1)/n of the bytes cross the slowest link."""
    chip, t = Chip.load("h100-sxm"), terms(collective_s=1e-9, link=1.0)
    seconds = all_reduce(chip, t, 8, 8, np.array([371e9]))[0]
    assert seconds == pytest.approx(2 * 7 / 8 / link_share("hopper", "nvlink", 8), rel=1e-6)
    assert all_reduce(chip, t, 1, 8, np.array([1e9]))[0] == 0


def test_collectives_across_nodes_cost_more():
    chip, t = Chip.load("h100-sxm"), terms()
    size = np.array([1e8])
    assert all_reduce(chip, t, 16, 8, size) > all_reduce(chip, t, 8, 8, size)


def test_memory_adds_up():
    machine = Machine.of(deployment(), terms=terms())
    sizes = memory_map(machine)
    assert sizes.weights + sizes.reserve + sizes.fixed_kv + sizes.kv == pytest.approx(sizes.usable)
    assert kv_blocks(machine) * 16 * machine.part.kv_bytes_per_token <= sizes.kv


def test_what_does_not_fit_says_so():
    with pytest.raises(CapacityError, match=r"llama-3.1-405b in bf16 does not fit on 8 x h100-sxm: needs 1\d\d\.\d GB"):
        compile_worker(deployment(model="llama-3.1-405b", tp=8), terms=terms())


@pytest.mark.parametrize(
    ("changes", "message"),
    [
        ({"tp": 3}, "32 attention heads cannot be cut into tp = 3"),
        ({"pp": 33}, "32 layers cannot be cut into pp = 33"),
        ({"model": "qwen3-30b-a3b", "tp": 8, "ep": 7}, "128 experts cannot be cut into ep = 7"),
        ({"accelerator": "gaudi3", "weights": "int8"}, ""),
    ],
)
def test_impossible_parallelism(changes, message):
    if not message:
        compile_worker(deployment(**changes), terms=terms())  # int8 weights are multiplied in bf16 there
        return
    with pytest.raises(UnsupportedError, match=message):
        compile_worker(deployment(**changes), terms=terms())


def test_attention_dp_moves_experts_to_the_shared_tables():
    plain = compile_worker(
        deployment(model="deepseek-r1", accelerator="b200", weights="nvfp4", tp=8, ep=8), terms=terms()
    )
    spread = compile_worker(
        deployment(model="deepseek-r1", accelerator="b200", weights="nvfp4", dp=8, ep=8), terms=terms()
    )
    assert not plain.levels[0].shared_decode.any()
    assert spread.levels[0].shared_decode.any()
    assert spread.ranks == 8


def test_graph_padding_and_grid():
    assert list(graph_padded(np.array([1.0, 3.0, 5.0, 9.0, 70.0]), 64)) == [1, 4, 8, 16, 70]
    points = grid(20_000)
    assert list(points[: EXACT + 1]) == list(range(EXACT + 1))
    assert points[-1] == 20_000
    assert (np.diff(points) > 0).all()


def test_speculation_costs_more_a_step():
    plain = compile_worker(deployment(), terms=terms()).levels[0].decode[0, 32]
    spec = compile_worker(deployment(draft_tokens=3, tokens_per_step=2.5), terms=terms()).levels[0].decode[0, 32]
    assert plain < spec < 4 * plain
