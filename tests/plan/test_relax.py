"""Infeasible demands: conflicts are minimal, ways out are the nearest."""

from itertools import combinations

import numpy as np
import pytest

from tokenworks.plan.limits import Need, all_kept
from tokenworks.plan.relax import conflict, impossible, ways_out


def made(seed: int) -> tuple[list[Need], np.ndarray]:
    rng = np.random.default_rng(seed)
    needs = [Need(f"n{i}", "s", float(rng.uniform(0.2, 0.5)), rng.uniform(0.1, 1.0, 12), f"f{i}") for i in range(5)]
    return needs, rng.uniform(1, 9, 12)


def infeasible() -> list[int]:
    return [seed for seed in range(60) if not all_kept(made(seed)[0], 12).any()][:25]


@pytest.mark.parametrize("seed", infeasible())
def test_a_conflict_is_minimal(seed):
    needs, _ = made(seed)
    found = conflict(needs, 12)
    assert not all_kept(list(found), 12).any()
    for left in combinations(found, len(found) - 1):
        assert all_kept(list(left), 12).any()


@pytest.mark.parametrize("seed", infeasible())
def test_a_way_out_leads_out_and_none_is_nearer(seed):
    needs, price = made(seed)
    ways = ways_out(needs, price)
    assert ways
    for way in ways:
        moved = {need.name: value for need, value in way.moved}
        eased = [Need(n.name, n.unit, moved.get(n.name, n.limit), n.needs, n.field) for n in needs]
        kept = all_kept(eased, 12)
        assert kept[way.row]
        assert price[way.row] == price[kept].min() or len(way.moved) > 1
        if len(way.moved) == 1:
            tighter = [
                Need(n.name, n.unit, n.limit if n.name not in moved else moved[n.name] * 0.999, n.needs, n.field)
                for n in needs
            ]
            assert not all_kept(tighter, 12).any()
    assert [price[w.row] for w in ways] == sorted(price[w.row] for w in ways)


def test_what_nothing_keeps_is_named_alone():
    needs = [Need("a", "s", 1.0, np.array([2.0, 3.0]), "a"), Need("b", "s", 1.0, np.array([0.5, 2.0]), "b")]
    assert [n.name for n in impossible(needs)] == ["a"]
    assert [n.name for n in conflict(needs, 2)] == ["a"]


def test_memory_cannot_be_asked_for_less():
    needs = [Need("KV cache", "share", 1.0, np.array([2.0, 0.5]), ""), Need("x", "s", 1.0, np.array([0.5, 3.0]), "x")]
    ways = ways_out(needs, np.array([1.0, 2.0]))
    assert [[need.name for need, _ in way.moved] for way in ways] == [["x"]]
