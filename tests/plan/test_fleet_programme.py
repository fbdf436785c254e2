"""The programme of a fleet over time: closed forms, a brute-force reference, and what must move when prices do."""

from __future__ import annotations

from dataclasses import replace
from itertools import product

import numpy as np
import pytest

from tokenworks.plan.fleet.linear import NoScheduleError
from tokenworks.plan.fleet.problem import Kind, Offer, Problem
from tokenworks.plan.fleet.programme import solve

YEAR_S = 31_557_600.0


def kind(periods: int, price: float = 100.0, keep: float = 1.0, life: int = 4, **fields: object) -> Kind:
    base = Kind(
        name="server",
        owned=True,
        gpus=8,
        price_usd=np.full(periods, price),
        keep_usd=np.full(periods, keep),
        idle_w=0.0,
        first=0,
        life=life,
        value_share=np.linspace(1.0, 0.0, life + 1),
    )
    return replace(base, **fields)  # type: ignore[arg-type]


def problem(
    kinds: list[Kind], demand: list[list[float]], offers: list[Offer] | None = None, **fields: object
) -> Problem:
    periods = len(demand[0])
    if offers is None:
        offers = [Offer(k, s, "tp8", 10.0, 1.0, 0.0) for k in range(len(kinds)) for s in range(len(demand))]
    base = Problem(
        tuple(kinds),
        tuple(offers),
        tuple(f"s{i}" for i in range(len(demand))),
        np.array(demand),
        YEAR_S / 4,
        np.zeros(periods),
        np.ones(periods + 1),
        np.full(periods, np.inf),
        np.full(periods, np.inf),
        0.0,
    )
    return replace(base, **fields)  # type: ignore[arg-type]


def test_one_period_costs_what_the_systems_lose_and_need() -> None:
    found = solve(problem([kind(1)], [[35.0]]))
    assert found.bought.tolist() == [[4]]
    # four systems lose a quarter of 100 each and cost 1 each to keep
    assert found.npv_usd == pytest.approx(4 * (25 + 1))
    assert found.value_usd == pytest.approx(300)
    assert found.gap < 1e-6


def test_systems_are_bought_as_demand_grows_and_leave_when_their_life_ends() -> None:
    found = solve(problem([kind(4, life=2)], [[10.0, 20.0, 30.0, 10.0]]))
    assert found.there.tolist() == [[1, 2, 3, 1]]
    age = [found.bought[0, max(0, t - 1) : t + 1].sum() for t in range(4)]
    assert all(there <= young for there, young in zip(found.there[0], age, strict=True))


def test_dollars_by_cause_add_up_to_what_was_minimised() -> None:
    rented = kind(6, price=0.0, keep=30.0, life=2, owned=False, value_share=np.zeros(3), name="rented")
    discount = 0.97 ** np.arange(7)
    made = problem(
        [kind(6, life=4, idle_w=1000.0, have=((2, 1),)), rented],
        [[10.0, 25.0, 40.0, 15.0, 35.0, 5.0]],
        [Offer(0, 0, "a", 10.0, 1.0, 500.0), Offer(1, 0, "b", 10.0, 1.0, 0.0)],
        usd_per_j=np.full(6, 2e-10),
        discount=discount,
        move_usd=0.5,
    )
    found = solve(made)
    # one unit stopped and restarted is moved once, so the programme's own dollars by cause must give its objective
    dollars = sum(found.usd.values())
    assert float(discount[:-1] @ dollars - discount[6] * found.value_usd) == pytest.approx(found.npv_usd, rel=1e-6)
    assert (found.there[0] >= found.units[0]).all()
    assert found.power_w == pytest.approx(1000.0 * found.there[0] + 500.0 * found.units[0])


@pytest.mark.parametrize("seed", range(12))
def test_equals_trying_everything(seed: int) -> None:
    draw = np.random.default_rng(seed)
    periods = 3
    kinds = [
        kind(periods, price=float(draw.integers(50, 150)), keep=float(draw.integers(0, 20)), life=3, name="old"),
        kind(
            periods,
            price=float(draw.integers(80, 300)),
            keep=float(draw.integers(0, 10)),
            life=3,
            first=int(draw.integers(0, 3)),
            name="new",
        ),
    ]
    offers = [Offer(0, 0, "a", 10.0, 1.0, 0.0), Offer(1, 0, "b", 25.0, 1.0, 0.0)]
    made = problem(
        kinds, [draw.integers(5, 45, periods).astype(float).tolist()], offers, discount=0.95 ** np.arange(periods + 1)
    )
    assert solve(made).npv_usd == pytest.approx(_by_hand(made, most=9), rel=1e-6)


def _by_hand(made: Problem, most: int) -> float:
    """The least cost over every number bought and kept in every period: systems leave the oldest or the newest first alike
    here, so all ways of leaving are tried, too."""
    best = np.inf
    plans = [list(_plans(k, made, most)) for k in made.kinds]
    for a, b in product(*plans):
        capacity = 10.0 * np.array(a[0]) + 25.0 * np.array(b[0])
        if (capacity >= made.demand_s[0]).all():
            best = min(best, a[1] + b[1])
    return float(best)


def _plans(of: Kind, made: Problem, most: int):  # type: ignore[no-untyped-def]
    """(systems there by period, cost) of every cohort and moment of leaving; the cheapest for each count."""
    T = made.periods
    singles = []  # one system: bought at b, leaves at e
    for b in range(of.first, T):
        for e in range(b + 1, T + 1):
            there = [1 if b <= t < e else 0 for t in range(T)]
            cost = made.discount[b] * of.price_usd[b] + sum(made.discount[t] * of.keep_usd[t] for t in range(b, e))
            singles.append(
                (
                    there,
                    cost
                    - made.discount[e]
                    * min(of.price_usd[b], of.price_usd[min(e, len(of.price_usd) - 1)])
                    * of.value_share[e - b],
                )
            )
    known: dict[tuple[int, ...], float] = {(0,) * T: 0.0}
    for _ in range(most):
        for there, cost in list(known.items()):
            for one, more in singles:
                total = tuple(x + y for x, y in zip(there, one, strict=True))
                known[total] = min(known.get(total, np.inf), cost + more)
    return known.items()


def test_waits_for_a_better_generation_that_comes_soon() -> None:
    old = kind(4, price=100.0, life=4, name="old", value_share=np.array([1.0, 0.3, 0.2, 0.1, 0.0]))
    rented = kind(4, price=0.0, keep=40.0, life=1, owned=False, value_share=np.zeros(2), name="rented")
    new = kind(4, price=100.0, life=4, first=1, name="new", value_share=np.array([1.0, 0.8, 0.6, 0.4, 0.2]))
    offers = [Offer(0, 0, "a", 10.0, 1.0, 0.0), Offer(1, 0, "b", 10.0, 1.0, 0.0), Offer(2, 0, "c", 30.0, 1.0, 0.0)]
    found = solve(problem([old, rented, new], [[30.0] * 4], offers))
    assert found.bought[0].sum() == 0
    assert found.there[1].tolist() == [3, 0, 0, 0]
    assert found.bought[2].tolist() == [0, 1, 0, 0]


def test_power_decides_what_is_bought() -> None:
    cheap = kind(1, price=50.0, idle_w=1000.0, name="hot")
    dear = kind(1, price=100.0, idle_w=400.0, name="cool")
    made = problem([cheap, dear], [[20.0]])
    assert solve(made).bought[:, 0].tolist() == [2, 0]
    assert solve(replace(made, power_w=np.array([1400.0]))).bought[:, 0].tolist() == [1, 1]
    with pytest.raises(NoScheduleError):
        solve(replace(made, power_w=np.array([700.0])))


def test_a_budget_of_a_period_moves_purchases_before_it() -> None:
    made = problem([kind(2)], [[10.0, 30.0]])
    assert solve(made).bought[0].tolist() == [1, 2]
    assert solve(replace(made, capex_usd=np.array([300.0, 100.0]))).bought[0].tolist() == [2, 1]


def test_services_share_a_system() -> None:
    offers = [Offer(0, 0, "tp2", 5.0, 0.25, 0.0), Offer(0, 1, "tp4", 5.0, 0.5, 0.0)]
    found = solve(problem([kind(1)], [[10.0], [5.0]], offers))
    assert found.bought.tolist() == [[1]]
    assert found.units[:, 0].tolist() == [2, 1]


def test_a_service_that_nothing_serves_is_named() -> None:
    with pytest.raises(NoScheduleError, match="s1"):
        solve(problem([kind(1)], [[10.0], [5.0]], [Offer(0, 0, "tp2", 5.0, 1.0, 0.0)]))
