"""Operator times against measured ones (tests/physics/data), and what the curves must keep to."""

import csv
from pathlib import Path

import numpy as np
import pytest
from deployments import terms

from tokenworks.catalog.loader import ids, load
from tokenworks.errors import CatalogError
from tokenworks.physics.curves import decode_curve, expert_curve, gemm_curve, link_share, prefill_share
from tokenworks.physics.operators import Chip, all_reduce, gemms, routed
from tokenworks.physics.precision import bytes_per_kv
from tokenworks.physics.shard import Experts, Gemm

LAUNCH = 3e-6  # of an isolated kernel, seconds; what `kernel_s` is to the model
ALONE = 5e-6  # latency of an all-reduce whose ranks start together, seconds
OF_EXPERTS = 7  # kernels around routed experts: router, top-k, sorting, two products, activation, merging


def rows(name):
    with (Path(__file__).parent / "data" / f"{name}.csv").open() as file:
        return list(csv.DictReader(file))


def said(name, seconds):
    """|log(said / measured)| of each row of a table, with the table."""
    table = rows(name)
    found = np.array([seconds(r) / float(r["microseconds"]) * 1e6 for r in table])
    return table, np.abs(np.log(found))


def one(value):
    return np.array([float(value)])


def gemm_seconds(r):
    matrix = Gemm("g", float(r["n"]), float(r["k"]), 1, r["weights"])
    return LAUNCH + gemms(Chip.load(r["accelerator"]), terms(), [matrix], one(r["m"]))[0].seconds[0]


def expert_seconds(r):
    hidden, inner, total = float(r["hidden"]), float(r["inner"]), int(r["experts"])
    experts = Experts(
        total, int(r["topk"]), total, 1, 1, 3 * hidden * inner, 1, r["weights"], hidden=hidden, inner=inner
    )
    return OF_EXPERTS * LAUNCH + routed(Chip.load(r["accelerator"]), terms(), experts, one(r["tokens"])).seconds[0]


def decode_seconds(r):
    chip, element = Chip.load(r["accelerator"]), bytes_per_kv(r["kv"])
    keys = float(r["sequences"]) * float(r["context"])
    share = decode_curve(chip.generation, round(element * 8), latent=False).memory
    return 2 * LAUNCH + keys * 2 * float(r["kv_heads"]) * 128 * element / (chip.bandwidth * share)


def reduce_seconds(r):
    return all_reduce(Chip.load(r["accelerator"]), terms(collective_s=ALONE), int(r["ranks"]), 8, one(r["bytes"]))[0]


def test_hopper_bf16_products():
    table, error = said("gemm", gemm_seconds)
    hopper = [r["accelerator"] in ("h100-sxm", "h200-sxm") and r["weights"] == "bf16" for r in table]
    assert sum(hopper) == 8
    assert np.median(error[hopper]) < 0.12
    assert error[hopper].max() < 0.4


@pytest.mark.parametrize(
    ("name", "seconds", "median", "p90"),
    [
        ("gemm", gemm_seconds, 0.15, 0.45),
        ("experts", expert_seconds, 0.2, 0.6),
        ("decode", decode_seconds, 0.2, 0.5),
        ("all_reduce", reduce_seconds, 0.3, 0.9),
    ],
)
def test_operators_against_measured_ones(name, seconds, median, p90):
    _, error = said(name, seconds)
    assert np.median(error) < median
    assert np.quantile(error, 0.9) < p90


def test_large_products_reach_their_share_and_small_ones_their_bytes():
    chip, curve = Chip.load("h100-sxm"), gemm_curve("hopper", "bf16")
    few, many = gemms(chip, terms(), [Gemm("g", 8192, 8192, 1, "bf16")], np.array([1.0, 16384.0]))[0].seconds
    assert 2 * 8192 * 8192 / (3350e9 * few) == pytest.approx(curve.memory, rel=0.1)
    assert 2 * 16384 * 8192 * 8192 / (989.4e12 * many) == pytest.approx(curve.compute, rel=0.03)


def test_nothing_costs_nothing():
    chip = Chip.load("b200")
    assert gemms(chip, terms(), [Gemm("g", 512, 512, 3, "nvfp4")], np.array([0.0]))[0].seconds[0] == 0
    experts = Experts(64, 4, 64.0, 1, 1, 1e6, 1, "nvfp4", hidden=4096, inner=1024)
    assert routed(chip, terms(), experts, np.array([0.0])).seconds[0] == 0


def test_rows_of_experts_cost_passes_through_memory():
    """Beyond the weights' time: passes over a token's row, and over each picked row outside and inside the expert."""
    chip, curve = Chip.load("h100-sxm"), expert_curve("hopper", "bf16")
    bare, full = (
        routed(chip, terms(), Experts(64, 4, 64.0, 1, 1, 1e7, 2, "bf16", hidden=h, inner=f), one(100)).seconds[0]
        for h, f in ((0.0, 0.0), (4096.0, 512.0))
    )
    passed = 100 * (curve.token_passes * 4096 + 4 * curve.pick_passes * (2 * 4096 + 3 * 512))
    assert full - bare == pytest.approx(2 * passed * 2 / 3350e9)


def test_every_accelerator_has_every_curve():
    formats = sorted(ids("precisions"))
    for name in ids("accelerators"):
        entry = load("accelerators", name)
        generation, link = entry["generation"], entry["link_kind"]
        for precision in formats:
            for curve in (gemm_curve(generation, precision), expert_curve(generation, precision)):
                assert 0 < curve.memory <= 1
                assert 0 < curve.compute <= 1
        for latent in (False, True):
            assert 0 < prefill_share(generation, latent) < 1
            assert 0 < decode_curve(generation, 8, latent).memory < 1
        assert all(0 < link_share(generation, link, ranks) < 1.3 for ranks in (2, 4, 8, 72))


def test_what_has_no_curve_takes_that_of_its_relatives():
    assert gemm_curve("hopper", "nvfp4") == gemm_curve("hopper", "bf16")  # unpacked and multiplied in 16 bits
    assert gemm_curve("cdna4", "fp8_block") == gemm_curve("blackwell", "fp8_block")
    with pytest.raises(CatalogError, match="no gemm curve for base7 on hopper"):
        gemm_curve("hopper", "base7")
