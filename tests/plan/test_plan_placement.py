"""Replicas of a plan get the bandwidth of the place where the topology puts them."""

from dataclasses import replace

import numpy as np
import pytest
import yaml
from random_replicas import lengths

from tokenworks import catalog
from tokenworks.errors import InputError
from tokenworks.physics.fleet import deployment, fleet
from tokenworks.physics.pools import side_by_side
from tokenworks.physics.step import Machine
from tokenworks.plan.allowed import Allowed
from tokenworks.plan.build import Layout
from tokenworks.plan.shapes import survey
from tokenworks.plan.topology import paired, placed, topology
from tokenworks.plan.where import placement
from tokenworks.plan.wide.steps import MOVE_S, NEAR_S, constants
from tokenworks.spec.factory import Service, System
from tokenworks.spec.loading import loads

SYSTEMS = [name for name in catalog.ids("systems") if catalog.load("systems", name).get("nics")]


def one(system, **changes):
    service = Service.model_validate({"name": "a", "model": "llama-3.1-8b"})
    return replace(deployment(service, System.model_validate({"id": "a", "system": system})), **changes)


@pytest.mark.parametrize("system", SYSTEMS)
def test_the_network_between_domains_is_that_of_the_placement(system):
    """Of every system with adapters: what a run and the wide pass compute with is what the topology leaves."""
    gpus = int(catalog.load("systems", system)["gpus"])
    for tp in {1, min(8, gpus), 1 << (gpus.bit_length() - 1)}:
        d = one(system, tp=tp)
        try:
            there = placed(d, topology(system, 4 * gpus))
        except InputError as error:
            pytest.skip(str(error))
        chip = Machine.of(d).chip
        assert chip.far_bytes_s == pytest.approx(there.scale_out_gb_s * 1e9)
        if tp % d.gpus_per_node == 0 or tp <= d.gpus_per_node:
            assert (d.gpus <= d.gpus_per_node) == (there.gpus <= there.gpus_per_node)


def test_pairs_inside_a_rack_count_on_no_more_than_their_placement_gives():
    d = one("gb200-nvl72", tp=8)
    prefill, decode, reach = paired(d, 2, d, 2, topology("gb200-nvl72", 72))
    assert reach.name == "domain"
    assert Machine.of(d).chip.far_bytes_s / 1e9 < prefill.transfer_gb_s == decode.transfer_gb_s


def test_groups_that_would_be_spread_unevenly_are_left_out():
    allowed = Allowed(
        ("superpod-gb200-su",), engines=("vllm",), weights=("fp8_block",), kv=("fp8",), tp=(8,), pp=(1,), dp=(1, 8, 16), ep=(1,),
        roles=("serve",),
    )  # fmt: skip
    found = survey("deepseek-r1", lengths(np.random.default_rng(1), 500, 100, 0.5), allowed)
    assert {s.deployment.gpus for s in found.shapes} == {8, 64}
    assert found.left_out["its groups cannot be spread evenly over domains of 72 GPUs"] == 1


def laid(main, workers, prefill=None, prefill_workers=0):
    return Layout(0, 0, main, prefill, 8, workers, prefill_workers, 1.0, 1.0, 1.0, 1.0)


def test_a_plan_says_where_its_workers_stand():
    inside = placement("hgx-b200", 2, laid(one("hgx-b200", tp=4), 3))
    assert inside == "each worker inside one scale-up domain (4 of 8 GPUs)"
    wide = placement("superpod-b200-su", 1, laid(one("superpod-b200-su", tp=8, dp=4), 3))
    assert wide == "each worker over 4 scale-up domains of 8 GPUs, 50 GB/s a GPU between them"
    d = one("gb200-nvl72", tp=8)
    near, far = (placement("gb200-nvl72", 2, laid(d, n, d, n)) for n in (2, 6))
    assert near.endswith("KV from prefill to decode inside the domain at 722 GB/s a GPU")
    assert far.endswith("KV from prefill to decode over the network at 50 GB/s a GPU")


@pytest.mark.parametrize(
    ("system", "workers", "inside"), [("gb200-nvl72", 4, True), ("gb200-nvl72", 5, False), ("hgx-b200", 1, False)]
)
def test_pools_that_fit_a_domain_hand_over_by_its_links(system, workers, inside):
    """As the topology places the pair, in runs and in the wide pass."""
    d, size = one(system, tp=8), int(catalog.load("systems", system)["gpus"])
    cell = 2 * workers * d.gpus
    near = side_by_side(d, cell, size)
    assert (near != d) == inside
    wanted, _, reach = paired(d, workers, d, workers, topology(system, 4 * size))
    assert (reach.name == "domain") == inside
    if inside:
        assert near.transfer_gb_s == wanted.transfer_gb_s
        assert (
            constants(Machine.of(d))[NEAR_S] == constants(Machine.of(near))[MOVE_S] < constants(Machine.of(d))[MOVE_S]
        )
    pool = {"tp": 8, "workers": workers}
    service = {"name": "a", "model": "llama-3.1-8b", "prefill": pool, "decode": pool}
    load = {"service": "a", "arrivals": {"kind": "poisson"}, "scale": "1 req/s"}
    text = yaml.safe_dump(
        {
            "factory": "f",
            "systems": [{"id": "a", "system": system, "count": 2}],
            "services": [service],
            "workload": [load],
        }
    )
    assert {g.deployment.transfer_gb_s for g in fleet(loads(text))[0].groups} == {near.transfer_gb_s}
