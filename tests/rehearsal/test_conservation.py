"""Tokens, joules and dollars of random factories × workloads, from the twin to usage events: exact."""

from dataclasses import replace
from decimal import Decimal

import numpy as np
import pytest
from allocation_cases import imbalances
from feature_cases import feature_case

from tokenworks.economics.request_costs import Rates, request_costs
from tokenworks.economics.shares import sums_by
from tokenworks.rehearsal.cells import simulate_in_cells
from tokenworks.rehearsal.events import RunKey, usage_table
from tokenworks.twin.cell import Cell, ServicePlan
from tokenworks.twin.departures import departed
from tokenworks.twin.simulate import simulate


def losses(seed: int) -> list[str]:
    """Accounts of one random factory and workload that do not balance."""
    cell, load, options = feature_case(seed)
    rng = np.random.default_rng((seed, 91))
    load = replace(load, tenant=rng.integers(0, 4, len(load)).astype(np.int32))
    result = simulate(cell, load, replace(options, allocate=True, record=True))
    found = imbalances(result)
    gpus = np.array([cell.models[m].gpus for m in cell.workers])
    rates = Rates(Decimal(str(rng.choice(["0.0007", "123456.789", "0"]))), Decimal(str(rng.choice(["3e-8", "0.02"]))))
    costs = request_costs(result.allocation, gpus, rates)
    found += unequal_dollars(cell, result, costs, gpus, rates, sums_by(load.tenant, costs.requests, 4))
    return found + unequal_events(cell, load, result, costs)


def unequal_dollars(cell, result, costs, gpus, rates, tenants) -> list[str]:
    """Against the meters, in exact decimals: length of the run × GPUs, dynamic and static joules."""
    gpu_s = Decimal(int(gpus.sum()) * result.end_ticks) / 10**11
    joules = Decimal(int(result.workers.dynamic_uj.sum()) + int(result.workers.static_uj.sum())) / 10**6
    exact = (gpu_s * rates.usd_per_gpu_s + joules * rates.usd_per_j) * 10**6
    found = [] if abs(exact - costs.total) <= Decimal("0.51") else [f"total of {costs.total} for {exact}"]
    if int(costs.requests.sum()) + int(costs.idle.sum()) + int(costs.lost.sum()) != costs.total:
        found.append("dollars")
    return found + (["dollars of tenants"] if tenants.sum() != costs.requests.sum() else [])


def unequal_events(cell, load, result, costs) -> list[str]:
    names = tuple(f"s{i}" for i in range(len(cell.services)))
    key = RunKey("run/1", names, names, ("a", "b", "c", "d"))
    some = next(departed(result, len(load)))
    table = usage_table(key, load, some, cost_micro_usd=costs.requests[some.number])
    total = lambda name: sum(x or 0 for x in table[name].to_pylist())  # noqa: E731
    done = result.log.status == 1
    finals = [i for i, final in enumerate(table["final"].to_pylist()) if final]
    inputs = sum(table[name].to_pylist()[i] for name in ("input_fresh", "cache_read") for i in finals)
    pairs = (
        ("output tokens", total("output_visible"), sum(s.output_tokens for s in result.services)),
        ("input tokens", inputs, int(load.input_tokens[done].sum())),
        ("microjoules of events", total("energy_uj"), int(result.allocation.energy_uj.sum())),
        ("dollars of events", total("cost_micro_usd"), int(costs.requests.sum())),
        ("requests", table.num_rows, sum(s.arrived for s in result.services)),
    )
    return [f"{what}: {a} ≠ {b}" for what, a, b in pairs if a != b]


def test_nothing_is_lost_between_meter_and_event():
    assert not {seed: found for seed in range(25) if (found := losses(seed))}


@pytest.mark.prove
def test_nothing_is_lost_in_500_random_factories(record_property):
    assert not {seed: found for seed in range(1000, 1500) if (found := losses(seed))}
    record_property("figure", "500 random factories: tokens, joules, dollars exact")


def test_a_wrong_meter_is_seen():
    cell, load, options = feature_case(2)
    result = simulate(cell, load, replace(options, allocate=True))
    result.workers.dynamic_uj[0] += 1
    assert "microjoules" in imbalances(result)


def test_cells_give_requests_and_workers_back_in_the_order_of_the_whole():
    cell, load, options = feature_case(4)
    plan = ServicePlan("s", workers=(0, 1, 2, 3), policy=2)
    whole = Cell(cell.models, (0, 0, 0, 0), (plan,))
    load = replace(load, service=np.zeros_like(load.service), session=np.full(len(load), -1))
    options = replace(options, allocate=True, record=True, horizon_ticks=0, clients=0)
    result = simulate_in_cells(whole, load, options, 2)
    assert imbalances(result) == []
    assert (result.allocation.worker == np.where(result.allocation.ticks > 0, result.log.worker, -1)).all()
