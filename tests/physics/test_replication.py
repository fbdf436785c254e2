"""Copies of experts: what they hold and read, and how far they even out ranks, against small simulations."""

import numpy as np
import pytest
from deployments import deployment, terms

from tokenworks.errors import UnsupportedError
from tokenworks.physics.compile import compile_worker
from tokenworks.physics.memory import memory_map
from tokenworks.physics.operators import Chip, covered, imbalance, routed
from tokenworks.physics.shard import Experts, shard
from tokenworks.physics.step import Machine

DEEPSEEK = {"accelerator": "b200", "model": "deepseek-r1", "weights": "nvfp4", "dp": 8, "ep": 8}


def experts(redundant: int, ranks: int = 8, total: int = 64) -> Experts:
    return Experts(total, 4, (total + redundant) / ranks, 1, ranks, 1e6, 1, "fp8", redundant)


def placed(copies: list[int], popularity: np.ndarray, ranks: int) -> np.ndarray:
    """(ranks, experts): the share of each expert's tokens on each rank. Heaviest slots first, onto the emptiest rank that has
    room and not yet this expert, as EPLB packs them."""
    share, load, held = np.zeros((ranks, len(copies))), np.zeros(ranks), np.zeros(ranks, dtype=int)
    room, rng = (
        sum(copies) // ranks,
        np.random.default_rng(11),
    )  # equally full ranks in any order: no loads are quite equal
    for expert in sorted(range(len(copies)), key=lambda e: -popularity[e] / copies[e]):
        free = [r for r in np.lexsort((rng.random(ranks), load.round(9))) if held[r] < room and share[r, expert] == 0]
        for rank in free[: copies[expert]]:
            share[rank, expert] = 1 / copies[expert]
            load[rank] += popularity[expert] / copies[expert]
            held[rank] += 1
    assert share.sum() == pytest.approx(len(copies))
    return share


def excess(share: np.ndarray, popularity: np.ndarray, picks: int) -> float:
    """Busiest rank over the mean, less one, in the mean over batches of this many picks."""
    loads = np.random.default_rng(5).multinomial(picks, popularity, size=3000) @ share.T
    return float(np.mean(loads.max(axis=1) / loads.mean(axis=1))) - 1


def dealt(redundant: int, popularity: np.ndarray) -> list[int]:
    copies = [1] * len(popularity)
    for _ in range(redundant):
        copies[max(range(len(copies)), key=lambda e: popularity[e] / copies[e])] += 1
    return copies


@pytest.mark.parametrize("redundant", [16, 32, 64, 128])
def test_uniform_routing_against_simulation(redundant):
    """The gain of copies; the level of both is a bound that a normal maximum sets (under it for few ranks)."""
    uniform, picks = np.full(64, 1 / 64), 4 * 500
    drawn = [excess(placed(dealt(n, uniform), uniform, 8), uniform, picks) for n in (0, redundant)]
    said = [imbalance(experts(n), np.array([500.0]))[0] - 1 for n in (0, redundant)]
    assert said[1] / said[0] == pytest.approx(drawn[1] / drawn[0], rel=0.12)
    assert all(0.5 * s < d < s for s, d in zip(said, drawn, strict=True))


@pytest.mark.parametrize("redundant", [16, 32])
def test_skewed_routing_gains_at_least_as_much(redundant):
    skewed = 1 / np.arange(1, 65) ** 0.7
    skewed /= skewed.sum()
    drawn = [excess(placed(dealt(n, skewed), skewed, 8), skewed, 2000) for n in (0, redundant)]
    said = [imbalance(experts(n), np.array([500.0]))[0] for n in (0, redundant)]
    assert drawn[0] - drawn[1] > said[0] - said[1] > 0


def test_every_expert_everywhere_is_even():
    assert imbalance(experts(64 * 7), np.array([3.0]))[0] == 1


@pytest.mark.parametrize("tokens", [1.0, 64.0, 100_000.0])
def test_more_copies_hold_and_read_more_and_even_out(tokens):
    n = np.array([tokens])
    steps = [experts(r) for r in (0, 8, 16, 64, 128, 448)]
    assert (np.diff([e.weight_bytes for e in steps]) > 0).all()
    assert (np.diff([covered(e, n)[0] * e.local for e in steps]) >= -1e-12).all()
    assert (np.diff([imbalance(e, n)[0] for e in steps]) <= 0).all()
    cost = [routed(Chip.load("b200"), terms(flop_experts=0.97, mem_experts=0.97), e, n) for e in steps]
    for e, c in zip(steps, cost, strict=True):
        assert 2 * tokens * 4 / 8 * e.parameters / c.seconds[0] <= Chip.load("b200").peak_flop_s("fp8")


def test_memory_and_steps_of_a_deployment():
    """32 copies of 44 M parameters in each of 58 layers, spread over 8 ranks: 4 a rank, 4.5 bits each."""
    plain, copied = deployment(**DEEPSEEK), deployment(**DEEPSEEK, redundant_experts=32)
    sizes = [memory_map(Machine.of(d, terms=terms())).weights for d in (plain, copied)]
    assert sizes[1] - sizes[0] == pytest.approx(4 * 58 * 3 * 7168 * 2048 * 4.5 / 8)
    tables = [compile_worker(d, terms=terms()).levels[0] for d in (plain, copied)]
    assert (
        tables[1].shared_decode[0, -1:] > tables[0].shared_decode[0, -1:]
    ).all()  # bound by the weights that are read
    assert (np.diff(tables[1].shared_decode) >= 0).all()
    assert (np.diff(tables[1].shared_mixed) >= 0).all()


@pytest.mark.parametrize(
    ("changes", "message"),
    [
        ({"redundant_experts": 30}, r"256 \+ 30 experts cannot be cut into ep = 8"),
        ({"redundant_experts": 8, "ep": 1}, r"256 \+ 8 experts are more than one of each on every rank of ep = 1"),
    ],
)
def test_impossible_copies(changes, message):
    with pytest.raises(UnsupportedError, match=message):
        shard(deployment(**{**DEEPSEEK, **changes}))
