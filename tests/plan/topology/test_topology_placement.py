"""Groups get the bandwidth of their place: a tensor-parallel group that crosses a domain is slower, and by how much."""

import numpy as np
import pytest

from tokenworks.errors import CapacityError, InputError
from tokenworks.physics.compile import compile_worker
from tokenworks.physics.curves import link_share
from tokenworks.physics.deployment import Deployment
from tokenworks.physics.explain import explain
from tokenworks.physics.operators import Chip, all_reduce
from tokenworks.physics.step import Machine
from tokenworks.physics.terms import NAMES, Terms, priors
from tokenworks.physics.worker_model import TICKS_PER_S
from tokenworks.plan.topology import paired, placed, reaches, topology
from tokenworks.plan.topology.placement import Filling, filling, width


def deployment(**changes):
    base = {
        "accelerator": "h100-sxm", "model": "llama-3.1-70b", "engine": "vllm", "engine_version": "0.12", "date": "2025-12",
        "weights": "fp8", "kv": "fp8", "tp": 8, "pp": 1, "dp": 1, "ep": 1, "max_seqs": 64, "token_budget": 2048,
        "memory_fraction": 0.9, "kv_fraction_of_free": 1.0, "memory_reserve_gb": 2.0, "block_tokens": 16,
        "reserve_output": False, "prefill_alone": False, "chunked_prefill": True, "receive_interval": 1,
        "plans_ahead": False, "prefix_cache": False, "cuda_graph_max_seqs": 64, "eager_prefill": False,
        "async_scheduling": False, "draft_tokens": 0, "tokens_per_step": 1.0, "gpus_per_node": 8,
    }  # fmt: skip
    return Deployment(**{**base, **changes})


SUPERPOD = topology("dgx-h100", 1024)
TERMS = Terms(**{name: priors()[name].value for name in NAMES})


def test_a_group_across_domains_is_slower():
    """Eight ways in one domain, four and four in two, and two in each of four: each step slower than the one before."""
    inside, halves, quarters = (placed(deployment(), SUPERPOD, per_domain=n) for n in (8, 4, 2))
    assert (inside.gpus_per_node, halves.gpus_per_node, quarters.gpus_per_node) == (8, 4, 2)
    steps = [explain(d, batch=32, context=2048, prompt=2048) for d in (inside, halves, quarters)]
    assert steps[0].prefill.seconds < steps[1].prefill.seconds < steps[2].prefill.seconds
    assert steps[0].decode.seconds < steps[1].decode.seconds < steps[2].decode.seconds


def test_the_part_over_the_network_is_that_of_a_ring():
    """By hand: 2 · (2 − 1) / 2 · size / 4 over 50 GB/s, and twice as long when the leaf keeps half of its bandwidth."""
    size = np.array([1e9])
    for ratio in (1, 2):
        cluster = topology("dgx-h100", 4096, oversubscription=[ratio])
        far = placed(deployment(tp=8 * 64, model="llama-3.1-405b"), cluster)
        assert far.scale_out_gb_s == pytest.approx(50 / ratio, rel=0.02)
        machine = Machine.of(far, terms=TERMS)
        half = all_reduce(machine.chip, TERMS, 8, 4, size) - all_reduce(machine.chip, TERMS, 4, 4, size)
        rate = far.scale_out_gb_s * 1e9 * TERMS.link * link_share("hopper", "nvlink", 4)
        assert half[0] - TERMS.collective_s == pytest.approx(1e9 / 4 / rate, rel=1e-6)


def test_a_place_inside_the_domain_changes_nothing():
    """The network as usually built, and no group that crosses: same seconds and joules as without a topology."""
    plain = deployment()
    assert explain(placed(plain, SUPERPOD), 32, 2048, 2048).decode == explain(plain, 32, 2048, 2048).decode
    assert Machine.of(placed(plain, SUPERPOD)).chip.far_bytes_s == Chip.load("h100-sxm").far_bytes_s


def test_oversubscription_slows_what_leaves_the_leaf():
    """512 GPUs leave a group of 256: seconds grow with one over the bandwidth that the leaves leave them."""
    wide = deployment(tp=8, dp=64, model="deepseek-v3", ep=256)
    here = [placed(wide, topology("dgx-h100", 4096, oversubscription=[ratio])) for ratio in (1, 2, 4)]
    slow = [1 / d.scale_out_gb_s for d in here]
    seconds = [explain(d, 32, 2048, 2048).decode.seconds for d in here]
    assert seconds[0] < seconds[1] < seconds[2]
    grown = (seconds[2] - seconds[0]) / (seconds[1] - seconds[0])
    assert grown == pytest.approx((slow[2] - slow[0]) / (slow[1] - slow[0]), rel=1e-6)


def test_reaches_of_a_superpod():
    """256 GPUs of a scalable unit one switch apart, all of them three."""
    assert [(r.name, r.gpus, r.hops, r.gb_s) for r in reaches(SUPERPOD)] == [
        ("domain", 8, 1, 371.0),
        ("leaf", 256, 1, 50.0),
        ("spine", 1024, 3, 50.0),
    ]


@pytest.mark.parametrize(
    ("changes", "domain", "wanted"),
    [
        ({"tp": 4}, 8, 8),  # does not fill it
        ({"tp": 16}, 8, 8),  # two domains of eight
        ({"tp": 12}, 8, 6),  # six and six, not eight and four
        ({"tp": 4, "dp": 5}, 8, 4),  # whole tensor-parallel groups, an equal number of them
        ({"tp": 8, "dp": 9}, 72, 72),
        ({"tp": 8, "dp": 12}, 72, 48),
    ],
)
def test_a_group_is_spread_evenly(changes, domain, wanted):
    assert width(deployment(**changes), domain) == wanted


def test_a_pair_in_one_domain_hands_kv_over_nvlink():
    """GB300: 8 + 8 GPUs fit a domain of 72, four prefill workers of 16 beside one of 16 do not."""
    rack = topology("gb300-nvl72", 720)
    near = paired(side(8), 1, side(8), 1, rack)
    far = paired(side(16), 4, side(16), 1, rack)
    assert (near[2].name, far[2].name) == ("domain", "leaf")
    seconds = [compile_worker(p[1]).transfer_ticks_per_token / TICKS_PER_S for p in (near, far)]
    per_token = compile_worker(near[1]).kv_bytes_per_token, compile_worker(far[1]).kv_bytes_per_token
    assert seconds[0] == pytest.approx(per_token[0] / 722e9, abs=1e-11)
    assert seconds[1] == pytest.approx(per_token[1] / 100e9, abs=1e-11)


def side(tp):
    return deployment(accelerator="gb300", tp=tp, gpus_per_node=72)


def test_filling_domains():
    """Replicas of 16 in domains of 72: four each, eight GPUs left over; of 8 in domains of 8: none left."""
    rack = topology("gb300-nvl72", 720)
    assert filling(rack, 16, 10) == Filling(4, 3, 3 * 72 - 160)
    assert filling(SUPERPOD, 8, 128).idle_gpus == 0
    assert filling(SUPERPOD, 16, 64).domains == 128
    with pytest.raises(CapacityError, match="need 129 domains; here are 128, for 128"):
        filling(SUPERPOD, 8, 129)


@pytest.mark.parametrize(
    ("made", "error", "said"),
    [
        (lambda: placed(deployment(accelerator="b200"), SUPERPOD), InputError, "dgx-h100 has h100-sxm, not b200"),
        (lambda: placed(deployment(), SUPERPOD, per_domain=9), InputError, "1 to 8 GPUs share a domain"),
        (lambda: placed(deployment(tp=2048), SUPERPOD), CapacityError, "2,048 GPUs do not fit a cluster of 1,024"),
        (lambda: paired(deployment(), 0, deployment(), 1, SUPERPOD), InputError, "workers on both sides"),
    ],
)
def test_what_has_no_place_is_refused(made, error, said):
    with pytest.raises(error, match=said):
        made()
