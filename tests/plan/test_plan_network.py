"""The network of a plan: who needs which, by counting; what is there is not bought again; nothing is free to run."""

from dataclasses import replace

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from tokenworks import catalog
from tokenworks.errors import SpecError
from tokenworks.events.results import RunResult
from tokenworks.plan.cost import between, changed, prices
from tokenworks.plan.make import make_plan
from tokenworks.plan.network import crosses, joined, joined_gpus, scale_out, unknown
from tokenworks.plan.reading import loads
from tokenworks.plan.result import Option
from tokenworks.plan.systems import Kind
from tokenworks.plan.topology import topology
from tokenworks.rehearsal import rehearse
from tokenworks.spec import loading

TEXT = """demand: small
site: {{region: us-texas, cooling: liquid}}
services: [{{name: chat, model: llama-3.1-8b, engines: [vllm], precisions: [fp8], slo: {{ttft_p95: 1 s, tpot_p95: 30 ms}}}}]
workload: [{{service: chat, arrivals: {{kind: poisson}}, rate: {rate}, input: {{kind: fixed, mean: 600}}, output: {{kind: fixed, mean: 150}}}}]
may_use: {{systems: [{system}], serving: {serving}, pay: [{pay}], max_degrees: {{tp: 2, pp: 1}}}}
run: {{requests: 400, refine: false}}
"""


def planned(system="hgx-h100", serving="aggregated", pay="own", rate="100/s") -> Option:
    best = make_plan(loads(TEXT.format(system=system, serving=serving, pay=pay, rate=rate))).best
    assert best is not None
    return best


@pytest.mark.parametrize(
    ("system", "gpus"),
    [("hgx-h100", 8), ("mgx-h100-nvl-8", 8), ("gb200-nvl72", 72), ("superpod-h100-su", 8), ("jetson-orin", 1)],
)
def test_what_needs_no_network(system, gpus):
    """A server, a pair of bridged cards in one, a rack of trays joined by NVLink, 32 servers sold as one."""
    assert joined_gpus(system) == gpus


def test_what_crosses():
    def one(system, systems, worker, apart):
        return bool(crosses(system, np.array([systems]), np.array([worker]), np.array([apart]))[0])

    assert not one("hgx-h100", 40.0, 8, False)  # replicas pass nothing to each other
    assert not one("hgx-h100", 1.0, 4, True)  # both pools in one server
    assert one("hgx-h100", 2.0, 4, True)
    assert not one("gb200-nvl72", 1.0, 32, True)
    assert one("gb200-nvl72", 2.0, 32, True)
    assert one("superpod-h100-su", 1.0, 16, False)  # a worker over two servers of one unit
    assert not one("superpod-h100-su", 1.0, 8, False)
    assert one("superpod-h100-su", 1.0, 8, True)


@pytest.mark.parametrize("system", ["hgx-h100", "mi355x-8", "gb200-nvl72"])
def test_the_sum_is_the_frontend_and_the_counted_tree(system):
    entry, systems = catalog.load("systems", system), np.array([1.0, 7.0, 7.0])
    hosts = int(entry["gpus"]) // int(entry.get("node_gpus") or entry["gpus"])
    found = joined(system, systems, np.array([False, False, True]))
    tree = topology(system, 7 * int(entry["gpus"]))
    assert found.usd.tolist() == pytest.approx([1000 * hosts, 7000 * hosts, 7000 * hosts + tree.usd])
    assert found.watts.tolist() == pytest.approx([20 * hosts, 140 * hosts, 140 * hosts + tree.network_w])
    assert tree.usd == sum(p.count * p.usd for p in tree.bill.parts) > 0


@settings(max_examples=80)
@given(system=st.sampled_from(["hgx-h200", "mi355x-8", "gb200-nvl72", "dgx-b300"]), n=st.integers(1, 4000))
def test_more_systems_never_need_less(system, n):
    """What the pairing of pools rests on."""
    assert all(a <= b for a, b in zip(scale_out(system, n), scale_out(system, n + 1), strict=True))


@pytest.mark.parametrize("systems", [511, 512, 513, 3001, 99_999])
def test_many_systems_are_rounded_up_a_little(systems):
    exact, found = topology("hgx-h100", 8 * systems), scale_out("hgx-h100", systems)
    assert 1.0 <= found[0] / exact.usd < (1.0 + 1e-12 if systems <= 512 else 1.005)
    assert 1.0 <= found[1] / exact.network_w < 1.005


def test_no_number_of_systems_is_too_large():
    """A search for goodput without limits looks at them, and no plan has them."""
    usd, watts = scale_out("gb200-nvl72", 2**24)
    assert usd / scale_out("gb200-nvl72", 2**23)[0] == pytest.approx(2.0, rel=0.3)
    assert watts > 0


@given(have=st.integers(0, 30), more=st.integers(0, 30), crossed=st.booleans(), factor=st.floats(0.5, 2.0))
@settings(max_examples=40)
def test_what_is_there_is_not_bought_again_and_draws_all_the_same(have, more, crossed, factor):
    demand = loads(TEXT.format(system="hgx-h100", serving="both", pay="own", rate="1/s"))
    of = prices(demand, Kind("hgx-h100", "own", have, None))
    n, flag = np.array([float(max(1, have + more))]), np.array([crossed])
    found, new = between(of, n, flag), between(replace(of, kind=replace(of.kind, have=0)), n, flag)
    there = joined("hgx-h100", np.minimum(n, have), flag)
    assert found.bought_usd[0] == pytest.approx(new.bought_usd[0] - there.usd[0], abs=1e-6)
    assert found.watts == new.watts
    assert between(changed(of, hardware=factor), n, flag).bought_usd[0] == pytest.approx(found.bought_usd[0] * factor)


def test_rent_holds_the_dollars_and_not_the_watts():
    demand = loads(TEXT.format(system="hgx-h100", serving="both", pay="rent", rate="1/s"))
    of, n, flag = prices(demand, Kind("hgx-h100", "rent", 0, None)), np.array([9.0]), np.array([True])
    found = between(of, n, flag)
    assert found.bought_usd.tolist() == [0.0]
    assert found.watts[0] == pytest.approx(topology("hgx-h100", 72).network_w + 180)


def test_a_network_with_rent_has_no_price():
    text = planned(pay="rent").yaml
    assert "power: 20 W" in text
    with pytest.raises(SpecError, match="the rent of a system includes its network"):
        loading.loads(text.replace("power: 20 W", "power: 20 W\n    price: $5"))


@pytest.mark.parametrize(("serving", "between_servers"), [("aggregated", False), ("disaggregated", True)])
def test_a_plan_and_the_run_of_its_file_pay_the_same_network(serving, between_servers):
    best = planned(serving=serving, rate="300/s")
    (fleet,), f = best.systems, best.figures
    assert fleet.count > 1
    tree = topology("hgx-h100", fleet.gpus)
    usd, watts = (tree.usd, tree.network_w) if between_servers else (0.0, 0.0)
    assert f["network_usd"] == pytest.approx(1000 * fleet.count + usd)
    assert f["network_w"] == pytest.approx(20 * fleet.count + watts)
    assert f["capex_usd"] == pytest.approx(260_000 * fleet.count + f["network_usd"])
    assert best.predicted["network_usd_h"] == pytest.approx(f["network_usd_h"], rel=1e-9)
    run = run_of(best)
    hours = run.horizon_s / 3600
    parts = {p.label: p.value for p in run.money.parts}
    assert parts["network"] / hours == pytest.approx(f["network_usd_h"], rel=1e-9)
    assert parts["depreciation"] / hours + parts["maintenance"] / hours + parts["staff"] / hours == pytest.approx(
        f["hardware_usd_h"], rel=1e-9
    )
    joules = {p.label: p.value for p in run.energy.parts}
    assert joules["network between systems"] == pytest.approx(f["network_w"] * run.horizon_s, rel=1e-9)
    of_it = sum(p.value for p in run.energy.parts if p.parent == "IT")
    assert of_it == pytest.approx(run.energy.it_j, rel=1e-9)


def run_of(best: Option) -> RunResult:
    return rehearse(loading.loads(best.yaml)).result


def test_nothing_is_said_to_be_unknown_that_is_known():
    assert unknown("hgx-h100") == ""
