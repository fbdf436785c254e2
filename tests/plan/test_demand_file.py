"""The demand file: what it takes, and what it says of everything that is wrong."""

import re
from pathlib import Path

import pytest

from tokenworks.errors import InputError, SpecError
from tokenworks.plan.reading import examples, load, loads
from tokenworks.spec.messages import near

GOOD = """demand: small
site: {region: us-texas}
services:
  - {name: chat, model: llama-3.1-8b, slo: {ttft_p95: 1 s, tpot_p95: 40 ms}}
workload:
  - {service: chat, arrivals: {kind: poisson}, rate: 30/s, input: {kind: fixed, mean: 500}, output: {kind: fixed, mean: 100}}
may_use: {systems: [hgx-h100], serving: aggregated, max_degrees: {tp: 2}}
objective: usd_per_mtok
"""


def problems(text: str) -> list[tuple[int, str, str]]:
    with pytest.raises(SpecError) as caught:
        loads(text)
    return [(p.line, p.field, p.message) for p in caught.value.problems]


def test_a_good_file_is_read_with_its_units():
    demand = loads(GOOD.replace("objective", "limits: {capex: $30 M, usd_per_hour: $900/h, co2: 2 kg/Mtok}\nobjective"))
    assert (demand.limits.capex_usd, demand.limits.usd_h, demand.limits.carbon_g_mtok) == (30e6, 900.0, 2000.0)
    assert demand.objectives == ("usd_per_mtok",)
    assert demand.workload[0].scale.value == 30.0
    plain = demand.workload[0].plain()
    assert "rate" not in plain.model_dump(mode="json", by_alias=True, exclude_defaults=True)["arrivals"]


@pytest.mark.parametrize("name", sorted(examples()))
def test_shipped_demands_are_right(name):
    assert load(name).services


@pytest.mark.parametrize(
    ("old", "new", "line", "field", "said"),
    [
        ("llama-3.1-8b", "lama-3.1-8b", 4, "services[0].model", "Did you mean llama-3.1-8b"),
        ("hgx-h100", "hgx-h10", 7, "may_use.systems[0]", "Did you mean hgx-h100"),
        ("us-texas", "us-texs", 2, "site.region", "us-texas"),
        ("serving: aggregated", "serving: agregated", 7, "may_use.serving", "aggregated"),
        ("max_degrees", "max_degres", 7, "may_use.max_degres", "max_degrees"),
        ("rate: 30/s", "rate: 0/s", 6, "workload[0].rate", "nobody asks"),
        ("rate: 30/s", "rate: 30", 6, "workload[0].rate", "has no unit"),
        ("rate: 30/s", "rate: 30/s, scale: 2x", 6, "workload[0].rate", "either a rate or a scale"),
        ("rate: 30/s", "scale: 70% of sustainable", 6, "workload[0].scale", "absolute rate"),
        ("kind: poisson}, rate: 30/s", "kind: closed-loop, clients: 3}", 6, "workload[0].arrivals.kind", "has no rate"),
        ("service: chat", "service: chet", 6, "workload[0].service", "chat"),
        ("objective: usd_per_mtok", "objective: goodput", 8, "objective", "set a limit"),
        ("objective: usd_per_mtok", "objective: [capex, capex]", 8, "objective", "twice"),
        ("objective: usd_per_mtok", "run: {horizon: -1 h}", 8, "run.horizon", "negative"),
        ("objective: usd_per_mtok", "run: {horizon: 10 s, warmup: 20 s}", 8, "run.warmup", "leaves nothing"),
        ("objective: usd_per_mtok", "headroom: 97%", 8, "headroom", "at most 95%"),
        ("objective: usd_per_mtok", "limits: {availability: {share: 100%}}", 8, "limits.availability.share", "below 100%"),
        ("objective: usd_per_mtok", "existing: [{system: dgx-h10}]", 8, "existing[0].system", "dgx-h100"),
        ("objective: usd_per_mtok", "calibration: nope.json", 8, "calibration", "no such site calibration: nope.json"),
        ("serving: aggregated", "vendors: [NVIDEA]", 7, "may_use.vendors[0]", "NVIDIA"),
        ("serving: aggregated", "vendors: [AMD]", 7, "may_use", "exclude each other"),
    ],
)  # fmt: skip
def test_every_mistake_is_named_at_its_place(old, new, line, field, said):
    assert old in GOOD
    found = problems(GOOD.replace(old, new))
    assert [(at, name) for at, name, _ in found] == [(line, field)]
    assert said in found[0][2]


def test_the_demand_of_the_page_is_right():
    page = (Path(__file__).parents[2] / "docs" / "plan.md").read_text()
    (text,) = re.findall(r"^```yaml\n(.*?)^```$", page, re.DOTALL | re.MULTILINE)
    assert loads(text).services[0].model == "deepseek-r1"


def test_everything_is_said_at_once():
    found = problems(GOOD.replace("llama-3.1-8b", "lama").replace("hgx-h100", "hgx").replace("40 ms", "40"))
    assert {field for _, field, _ in found} == {
        "services[0].model", "services[0].slo.tpot_p95", "may_use.systems[0]",
    }  # fmt: skip


def test_a_service_that_nobody_asks_is_zero_demand():
    text = GOOD.replace("services:", "services:\n  - {name: idle, model: llama-3.1-8b}")
    assert problems(text) == [(4, "services[0].name", "'idle' has no workload: zero demand needs no plan")]


def test_a_factory_file_is_told_from_a_demand():
    assert "`run` takes it" in problems("factory: x\n")[0][2]
    assert "demand: NAME" in problems("- 1\n")[0][2]


def test_a_missing_file_names_the_shipped_ones():
    with pytest.raises(InputError, match="chat"):
        load("nowhere.yaml")


def test_power_stands_in_one_place():
    text = GOOD.replace("{region: us-texas}", "{power: {budget: 1 MW}}").replace(
        "objective: usd_per_mtok", "limits: {power: {budget: 2 MW}}"
    )
    assert problems(text) == [(8, "limits.power", "site.power says it already: leave one of them out")]


def test_capitals_are_no_difference_in_what_is_nearest():
    assert near("amd", ["AMD", "Intel"]) == ". Did you mean AMD?"
    assert near("Poisson", ["poisson", "gamma"]) == ". Did you mean poisson?"
    assert near("qqq", ["AMD"]) == "; known are AMD"
