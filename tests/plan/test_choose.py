"""The choice under limits: equal to a plain search over every combination, for one service and several."""

from dataclasses import replace
from itertools import product

import numpy as np
import pytest

from tokenworks import catalog
from tokenworks.plan import choose
from tokenworks.plan.ask import Ask
from tokenworks.plan.candidates import NONE, Space, Table
from tokenworks.plan.choose import least_usd_h, search, shortlist
from tokenworks.plan.cost import Between, fleet, prices
from tokenworks.plan.fronts import pareto
from tokenworks.plan.limits import Tails
from tokenworks.plan.market import Market, columns, worth
from tokenworks.plan.pairing import together
from tokenworks.plan.reading import loads
from tokenworks.plan.sample import Asked
from tokenworks.plan.systems import Kind
from tokenworks.plan.topology import topology
from tokenworks.plan.wide import Wide
from tokenworks.spec.site import Power

SYSTEMS = ("hgx-h100", "hgx-b200", "mi355x-8")
TEXT = """demand: made-up
site: {{region: us-texas, power: {{budget: {budget:g} W, scope: {scope}}}}}
services: [{services}]
workload: [{loads}]
may_use: {{systems: [hgx-h100, hgx-b200, mi355x-8]}}
objective: {objective}
"""


def market(seed: int, services: int, rows: int, objective: str = "usd_per_mtok", scope: str = "facility") -> Market:
    """Made-up configurations on real systems; about half keep their objectives, and the power binds now and then."""
    rng = np.random.default_rng(seed)
    names = [f"s{i}" for i in range(services)]
    demand = loads(
        TEXT.format(
            budget=float(rng.uniform(2e4, 8e4)) * services,
            scope=scope,
            objective=objective,
            services=", ".join(
                f"{{name: {n}, model: llama-3.1-8b, slo: {{ttft_p95: 1 s, tpot_p95: 50 ms}}}}" for n in names
            ),
            loads=", ".join(f"{{service: {n}, arrivals: {{kind: poisson}}, rate: 10/s}}" for n in names),
        )
    )
    kinds = tuple(Kind(name, "own", int(rng.integers(0, 3)), None) for name in SYSTEMS)
    tables = tuple(_table(rng, rows) for _ in names)
    nothing = Wide(**{f: np.zeros(0) for f in Wide.__dataclass_fields__})
    spaces = tuple(
        Space(
            Asked(s, Ask(np.ones(1), np.ones(1), 1.0, 0.05, None), 10.0, 100.0, 100.0 + 50 * i, 200.0, False),
            (), nothing, kinds, {}, {k.system: 100.0 for k in kinds},
        )
        for i, s in enumerate(demand.services)
    )  # fmt: skip
    ones = tuple(Tails() for _ in names)
    return Market(demand, spaces, tuple(prices(demand, k) for k in kinds), ones, (1.0,) * services, False, tables)


def _table(rng: np.random.Generator, n: int) -> Table:
    gpus = rng.integers(1, 40, n).astype(float)
    apart = rng.random(n) < 0.3
    return Table(
        kind=rng.integers(0, len(SYSTEMS), n), main=np.arange(n), prefill=np.where(apart, 0, NONE), workers=gpus,
        prefill_workers=np.zeros(n), gpus=gpus, share=gpus / 8, capacity_s=np.full(n, 12.0), rate_s=np.full(n, 10.0),
        ttft_s=rng.uniform(0.2, 1.4, n), tpot_s=rng.uniform(0.02, 0.06, n), e2e_s=np.ones(n),
        board_w=gpus * rng.uniform(150, 700, n), busy=rng.uniform(0.2, 1, n), kv_share=rng.uniform(0.1, 1.2, n),
    )  # fmt: skip


def network_by_hand(of, n: int, apart: bool) -> Between:
    """1,000 dollars and 20 watts a server; the network of `topology` besides where pools lie in several servers."""

    def whole(systems: int) -> tuple[float, float]:
        if not systems:
            return 0.0, 0.0
        scale_out = topology(of.kind.system, 8 * systems)
        more = (scale_out.usd, scale_out.network_w) if apart else (0.0, 0.0)
        return 1000.0 * systems + more[0], 20.0 * systems + more[1]

    bought = whole(n)[0] - whole(min(n, of.kind.have))[0]
    return Between(np.array([bought]), np.array([whole(n)[1]]))


def plain(m: Market) -> tuple[float, int]:
    """The best value and the number of fleets that keep all limits, one by one."""
    best, count = np.inf, 0
    good = [
        [r for r in range(len(t)) if t.ttft_s[r] <= 1.0 and t.tpot_s[r] <= 0.05 and t.kv_share[r] <= 1.0]
        for t in m.tables
    ]
    tokens_s = sum(10.0 * s.asked.output_tokens for s in m.spaces)
    for chosen in product(*good):
        usd = power = 0.0
        for k, of in enumerate(m.prices):
            mine = [(t, r) for t, r in zip(m.tables, chosen, strict=True) if t.kind[r] == k]
            if not mine:
                continue
            n = int(np.ceil(sum(t.gpus[r] for t, r in mine) / 8))
            used = sum(t.gpus[r] for t, r in mine)
            idle = float(catalog.load("accelerators", of.kind.entry["accelerator"])["idle_w"])
            watts = sum(t.board_w[r] for t, r in mine) + (8 * n - used) * idle
            busy = sum(t.busy[r] * t.gpus[r] for t, r in mine) / (8 * n)
            apart = n > 1 and any(t.prefill[r] != NONE for t, r in mine)
            joins = network_by_hand(of, n, apart)
            found = fleet(of, np.array([float(n)]), np.array([watts]), np.array([busy]), joins)
            usd += float(found.usd_s[0])
            power += float(getattr(found, f"{m.demand.planned_site.power.scope}_w")[0])
        if power <= m.demand.planned_site.power.budget_w:
            count += 1
            best = min(best, usd / tokens_s * 1e6)
    return best, count


@pytest.mark.parametrize("seed", range(12))
def test_one_service_equals_plain_search(seed):
    m = market(seed, 1, 60)
    value, count = plain(m)
    found = search(m)
    assert found.feasible == (count > 0)
    if count:
        assert len(found.picks) == count
        assert found.picks.columns["usd_per_mtok"][0] == pytest.approx(value, rel=1e-12)


@pytest.mark.parametrize("scope", ["facility", "board"])
@pytest.mark.parametrize("seed", range(8))
def test_two_services_share_servers_and_power_and_equal_plain_search(seed, scope):
    m = market(100 + seed, 2, 30, scope=scope)
    value, count = plain(m)
    found = search(m)
    assert found.exact
    assert found.feasible == (count > 0)
    if count:
        assert found.picks.columns["usd_per_mtok"][0] == pytest.approx(value, rel=1e-12)


@pytest.mark.parametrize("seed", range(6))
def test_the_heuristic_stays_within_its_bound(seed, monkeypatch):
    m = market(200 + seed, 2, 30)
    m = replace(
        m,
        demand=m.demand.model_copy(
            update={
                "site": m.demand.site.model_copy(
                    update={"power": m.demand.site.power.model_copy(update={"budget_w": 0.0})}
                )
            }
        ),
    )
    value = search(m).picks.columns["usd_per_mtok"][0]
    monkeypatch.setattr(choose, "EXACT", 0)
    found = search(m)
    got = found.picks.columns["usd_per_mtok"][0]
    assert not found.exact
    assert value * (1 - 1e-12) <= got <= value * 1.05
    assert got / (1 + found.gap) <= value * (1 + 1e-9)  # the bound is below the best


def test_the_front_holds_what_nothing_beats():
    values = np.random.default_rng(1).integers(0, 12, (200, 3)).astype(float)
    kept = set(pareto(values).tolist())
    for i, row in enumerate(values):
        beaten = [(other <= row).all() and (other < row).any() for other in values]
        if any(beaten):
            assert i not in kept
        else:
            assert any((values[k] == row).all() for k in kept)


def test_two_objectives_are_both_on_the_front():
    m = market(3, 1, 60, objective="[usd_per_mtok, tokens_per_joule]")
    found = search(m).picks
    front = found.take(pareto(worth(m.demand, found.columns)))
    assert front.columns["usd_per_mtok"].min() == found.columns["usd_per_mtok"].min()
    assert front.columns["tokens_per_joule"].max() == found.columns["tokens_per_joule"].max()


@pytest.mark.parametrize("seed", range(30))
def test_workers_of_two_sizes_are_packed_as_tightly_as_first_fit(seed):
    rng = np.random.default_rng(seed)
    size = int(rng.choice([8, 16, 72]))
    a, b = (int(2 ** rng.integers(0, 4)) for _ in range(2))
    n, m = (int(rng.integers(1, 20)) for _ in range(2))
    bins: list[int] = []
    for piece in sorted([a] * n + [b] * m, reverse=True):
        place = next((i for i, free in enumerate(bins) if free >= piece), None)
        if place is None:
            bins.append(size)
            place = len(bins) - 1
        bins[place] -= piece
    found = together(size, np.array([float(a)]), np.array([float(n)]), np.array([float(b)]), np.array([float(m)]))
    assert found[0] == len(bins)


def with_rows(m: Market, **chosen: list[float]) -> Market:
    """Every service with these configurations alone, on the first kind of system; all keep their objectives."""
    n = len(next(iter(chosen.values())))
    given = {"kind": np.zeros(n, int), "main": np.arange(n), "ttft_s": np.full(n, 0.1), "tpot_s": np.full(n, 0.01),
             "kv_share": np.full(n, 0.5), "busy": np.full(n, 0.5)}  # fmt: skip
    fields = {name: np.array(values) for name, values in chosen.items()}
    one = replace(m.tables[0].take(np.arange(n)), **given, **fields, share=fields["gpus"] / 8)
    return replace(m, tables=(one,) * len(m.tables))


def bare(services: int) -> Market:
    m = market(0, services, 8)
    fresh = tuple(prices(m.demand, replace(of.kind, have=0)) for of in m.prices)
    return replace(
        m,
        prices=fresh,
        demand=m.demand.model_copy(update={"site": m.demand.site.model_copy(update={"power": Power()})}),
    )


def test_what_does_without_a_network_is_not_beaten_by_a_few_watts():
    """Pools apart draw less here, but their network costs more than the watts are worth."""
    m = with_rows(bare(2), prefill=[0, NONE], gpus=[16.0, 16.0], board_w=[4000.0, 4001.0], workers=[16.0, 16.0])
    assert shortlist(m, 0, np.arange(2)).tolist() == [0, 1]
    assert search(m).picks.rows[0].tolist() == [1, 1]


def test_the_bound_lets_services_share_a_network():
    """Twelve GPUs each: alone two servers with a switch, together three with one switch."""
    m = with_rows(bare(2), prefill=[0], gpus=[12.0], board_w=[4000.0], workers=[12.0])
    together = columns(m, m.tables, np.zeros((1, 2), int))["usd_h"][0]
    assert sum(least_usd_h(m, i, np.zeros(1, int)) for i in range(2)) <= together
