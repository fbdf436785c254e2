"""What no factory can be: amounts out of bounds, fields that do not go together; each said where it stands."""

import pytest
from test_factory_file import GOOD, problems

from tokenworks import spec
from tokenworks.spec.demand import ARRIVALS_TAKE, Arrivals, Lengths
from tokenworks.spec.factory import Factory

SOURCE = "trace: azure-2023-conversation, scale: 70% of sustainable"


def with_(old: str, new: str) -> str:
    assert old in GOOD
    return GOOD.replace(old, new, 1)


def load(text: str) -> str:
    return with_(SOURCE, text)


def service(text: str) -> str:
    return with_("    workers: 9\n", f"    workers: 9\n    {text}\n")


def run(text: str) -> str:
    return with_("horizon: 1 h, seed: 7", text)


def site(text: str) -> str:
    return with_("site:\n", f"site:\n  {text}\n")


AMOUNTS = [
    (load("arrivals: {kind: poisson, rate: 1e9}"), ":16:57  workload[0].arrivals.rate: '1e9' is too large: at most 1,000,000"),
    (load("arrivals: {kind: gamma, rate: 1, cv: 1e9}"), "arrivals.cv: '1e9' is too large: at most 100"),
    (load("arrivals: {kind: mmpp, rate: 1, peak_to_mean: 101}"), "arrivals.peak_to_mean: 101 is too large: at most 100"),
    (load("arrivals: {kind: mmpp, rate: 1, dwell: 1 us}"), "arrivals.dwell: '1 us' is too little: at least 100 ms"),
    (load("arrivals: {kind: closed-loop, clients: 1000000000}"), "arrivals.clients: 1000000000 is too large: at most 1,000,000"),
    (load("arrivals: {kind: offline, requests: 1000000000}"), "arrivals.requests: 1000000000 is too large: at most 10,000,000"),
    (load("arrivals: {kind: poisson, rate: 1}, input: {mean: 1e30}"), "input.mean: '1e30' is too large: at most 100,000,000"),
    (load("arrivals: {kind: poisson, rate: 1}, output: {kind: uniform, low: 1, high: 1000000000000}"), "output.high: 1000000000000 is too large: at most 100,000,000"),
    (load("arrivals: {kind: poisson, rate: 1}, tenants: 10000000"), "tenants: 10000000 is too large: at most 1,000,000"),
    (load("arrivals: {kind: poisson, rate: 9}, sessions: {turns: 1000, gap: 1 h}"), "workload[0].sessions: conversations of 1000 turns 3600 s apart last longer than 30 days"),
    (load("arrivals: {kind: poisson, rate: 9}, sessions: {turns: 700, gap: 1 h}"), "workload[0].sessions: conversations begin 8 mean lives before the run, here 233 days with 1.81e+08 requests: at most 10,000,000"),
    (load("trace: azure-2023-conversation, scale: 10000000x"), "scale: 10000000.0 is too large: at most 1,000,000"),
    (load("trace: azure-2023-conversation, offset: 1e300 y"), "offset: '1e300 y' is too much: at most 180 d"),
    (load("arrivals: {kind: poisson, rate: 500_000}"), "workload[0]: 5e+05 requests a second for 3,600 s are more than 1,000,000,000 requests: at most 2.778e+05 a second, or a shorter horizon"),
    (load("trace: azure-2023-conversation, scale: 400000 req/s"), "workload[0]: 4e+05 requests a second for 3,600 s are more than"),
    (with_("nvl72}", "nvl72, count: 1000000000}"), ":5:44  systems[0].count: 1000000000 is too large: at most 100,000"),
    (with_("nvl72}", "nvl72, own: {depreciation: 0 y}}"), "own.depreciation: '0 y' is too little: at least 30 d"),
    (with_("nvl72}", "nvl72, own: {price: 1e30}}"), "own.price: '1e30' is too much: at most $1000 B"),
    (with_("workers: 9", "workers: 1000000000"), "services[0].workers: 1000000000 is too large: at most 1,000,000"),
    (with_("tp: 8", "tp: 1000000000"), "services[0].tp: 1000000000 is too large: at most 4,096"),
    (service("speculative: {draft_tokens: 1000000000}"), "speculative.draft_tokens: 1000000000 is too large: at most 64"),
    (service("kv_tiers: [{name: host, capacity: 1 GB, bandwidth: 0 GB/s}]"), "kv_tiers[0].bandwidth: '0 GB/s' is too little: at least 1 MB/s"),
    (service("timeout: 1e300 y"), "services[0].timeout: '1e300 y' is too much: at most 7 d"),
    (service("max_seqs: 1000000000"), "services[0].max_seqs: 1000000000 is too large: at most 65,536"),
    (service("token_budget: 1000000000"), "services[0].token_budget: 1000000000 is too large: at most 1,048,576"),
    (with_("ttft_p95: 2 s", "ttft_p95: 0 s"), "slo.ttft_p95: '0 s' is too little: at least 1 us"),
    (run("horizon: 4 y"), ":17:16  run.horizon: '4 y' is too much: at most 2 y"),
    (run("horizon: 1e-12 s"), "run.horizon: '1e-12 s' is too little: at least 1 s"),
    (run("seed: 1e30"), ":17:13  run.seed: '1e30' is not a whole number"),
    (run("seed: 1000000000000000000000"), "run.seed: 1000000000000000000000 is too large: at most 4,611,686,018,427,387,904"),
    (run("control_interval: 0 s"), "run.control_interval: '0 s' is too little: at least 1 ms"),
    (run("cells: 10"), ":17:14  run.cells: 10 cells need a worker each, and reasoner has 9: write at most 9"),
    (site("temperature: -400 C"), ":3:16  site.temperature: '-400 C' is no temperature of a place: -90 C to 60 C"),
    (site("path: [{name: ups, efficiency: 1e-9}]"), "site.path[0].efficiency: '1e-9' is too little: at least 50%"),
    (site("carbon: 100000"), "site.carbon: 100000 g/kWh is too much: at most 10,000"),
    (site("energy_price: 500/kWh"), "site.energy_price: '500/kWh' is too much: at most $100/kWh"),
    (with_("factory: tulsa", "factory: ''"), ":1:10  factory: a name is one line of text that is not empty"),
    (with_("factory: tulsa", 'factory: "a\\nb"'), ":1:10  factory: a name is one line of text that is not empty"),
    (with_("id: rack", "id: ' '"), "systems[0].id: a name is one line of text that is not empty"),
    (with_("1 MW", "'1,5 MW'"), ":3:19  site.power.budget: '1,5' has a comma: write 1.5 MW"),
    (with_("1 MW", "1,5 MW"), "site.power.5 MW: unknown key; a comma ends a value: write a decimal point"),
    (with_("1 MW", "'1,500 kW'"), "site.power.budget: '1,500' has a comma: write 1.500 kW or 1500 kW"),
    (with_("gb200-nvl72}", "hgx-b200, count: 9}").replace("workers: 9", "workers: 9\n    kv_tiers: [{name: grace, capacity: 1 GB}]"), "kv_tiers[0].name: hgx-b200 has no Grace CPUs but "),
]  # fmt: skip


@pytest.mark.parametrize(("text", "message"), AMOUNTS, ids=range(len(AMOUNTS)))
def test_an_amount_out_of_bounds_is_said_with_the_nearest_one(text, message):
    assert message in problems(text)


@pytest.mark.parametrize(
    ("arrivals", "messages"),
    [
        ("kind: closed-loop", ["clients: a closed loop needs clients: how many callers there are"]),
        ("kind: static", ["requests: static needs requests"]),
        ("kind: offline", ["requests: offline needs requests"]),
        ("kind: weekly, rate: 1, peak_to_mean: 3", ["peak_to_mean: weekly swings between 0 and twice the mean"]),
        ("kind: closed-loop, clients: 2, rate: 5, cv: 2", ["rate: belongs to poisson, gamma,", "cv: belongs to gamma, weibull, not to closed-loop"]),
        *((f"kind: {kind}", [f"rate: {kind} needs a rate, or scale says it"]) for kind, taken in ARRIVALS_TAKE.items() if "rate" in taken),
    ],
)  # fmt: skip
def test_each_kind_of_arrivals_needs_and_takes_its_own_fields(arrivals, messages):
    text = problems(load(f"arrivals: {{{arrivals}}}"))
    for message in messages:
        assert f"workload[0].arrivals.{message}" in text
    assert text.endswith(f"{len(messages)} error{'s' * (len(messages) > 1)}. Nothing was run.")


def test_counted_arrivals_have_no_rate_to_scale():
    text = problems(load("arrivals: {kind: static, requests: 5}, scale: 70% of sustainable"))
    assert ":16:71  workload[0].scale: static arrivals have no rate to scale" in text


@pytest.mark.parametrize(
    ("lengths", "message"),
    [
        ("kind: uniform, low: 9, high: 3", "low: 9 is above high, 3: swap them"),
        ("kind: uniform, low: 9", "high: uniform needs low and high"),
        ("sigma: 2", "sigma: belongs to lognormal, not to fixed, which takes mean"),
        ("kind: empirical", "values: empirical lengths come either from values or from a trace"),
        ("kind: empirical, values: [5, 6], weights: [1]", "weights: 2 values need as many weights"),
    ],
)
def test_lengths_take_the_fields_of_their_kind(lengths, message):
    text = problems(load(f"arrivals: {{kind: poisson, rate: 1}}, input: {{{lengths}}}"))
    assert f"workload[0].input.{message}" in text


def test_a_closed_loop_has_one_cell():
    text = run("cells: 2").replace(SOURCE, "arrivals: {kind: closed-loop, clients: 5}")
    assert "run.cells: a closed loop has one router domain: leave cells out" in problems(text)


def test_commas_that_can_only_be_thousands_are_read():
    assert spec.loads(with_("1 MW", "'1,000,000.5 W'")).site.power.budget_w == 1_000_000.5
    assert spec.loads(with_("1 MW", "'1,000,000 W'")).site.power.budget_w == 1e6


def test_types_names_and_what_does_not_fit_are_said_together():
    """A wrong objective, an unknown key, a model without a name in the catalogue, and degrees that do not divide."""
    text = with_("25 ms", "25 mss").replace("tp: 8", "tp: 7").replace("seed: 7", "sed: 7")
    two = text.replace("workload:", "  - {name: other, model: deepsek-r1, workers: 1}\nworkload:")
    said = problems(two)
    for message in (
        "services[0].slo.tpot_p95: unknown unit 'mss'",
        "services[0].tp: deepseek-r1 has 128 attention heads, which tp = 7 does not divide",
        'services[1].model: no model "deepsek-r1". Did you mean deepseek-r1',
        "services[1].name: 'other' has no workload",
        "run.sed: unknown key. Did you mean seed",
    ):
        assert message in said
    lines = [int(line.split(":")[1]) for line in said.splitlines()[:-1]]
    assert lines == sorted(lines)


def test_a_field_taken_out_causes_no_other_error():
    """With a wrong tp its default would be 1, and eight expert ranks would be too many for it."""
    said = problems(with_("tp: 8", "tp: x"))
    assert "services[0].tp: 'x' is not a whole number" in said
    assert said.endswith("\n1 error. Nothing was run.")


def test_bounds_stand_in_the_schema():
    places = Factory.model_json_schema(by_alias=True)["$defs"]
    rate = places["Arrivals"]["properties"]["rate"]["anyOf"][0]
    assert (rate["exclusiveMinimum"], rate["maximum"]) == (0, 1e6)
    assert places["Speculative"]["properties"]["draft_tokens"]["maximum"] == 64
    assert places["System"]["properties"]["count"]["maximum"] == 100_000
    assert places["Run"]["properties"]["horizon"]["$comment"] == "1 s to 2 y"
    assert places["Service"]["properties"]["timeout"]["$comment"] == "0 to 7 d"
    assert Factory.model_json_schema(by_alias=True)["properties"]["factory"]["minLength"] == 1


@pytest.mark.parametrize("part", [Arrivals, Lengths])
def test_every_field_belongs_to_a_kind(part):
    from tokenworks.spec.demand import LENGTHS_TAKE

    table = ARRIVALS_TAKE if part is Arrivals else LENGTHS_TAKE
    fields = {info.alias or name for name, info in part.model_fields.items()} - {"kind"}
    assert fields == {name for names in table.values() for name in names}
