"""The site of a factory file: halls and racks, PUE, curtailment, daily curves, and messages about them."""

import json
import re

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from test_factory_file import EXAMPLES, GOOD, problems

from tokenworks import spec
from tokenworks.spec.demand import Workload
from tokenworks.spec.factory import Factory
from tokenworks.spec.hours import DAY_S, clock, time_of_day
from tokenworks.spec.part import Part
from tokenworks.spec.site import Curtailment, Site
from tokenworks.spec.template import PARTS, defaults


def site(text: str, tail: str = "") -> str:
    return GOOD.replace("site:\n", f"site:\n  {text}\n").replace("seed: 7", f"seed: 7{tail}")


HALLS = "halls: [{id: old, cooling: air, rack_limit: 20 kW}, {id: new, cooling: liquid, rack_limit: 130 kW}]"
CURTAILED = "curtailment: [{from: 17:00, to: 21:00, budget: 300 kW}]"

MESSAGES = [
    (site(HALLS), "systems[0].hall: there are 2 halls: say which; known are old, new"),
    (site(HALLS).replace("nvl72}", "nvl72, hall: old}"), "gb200-nvl72 draws 125 kW a rack and needs liquid cooling; hall 'old' is cooled by air, at most 20 kW a rack. What would fit: dgx-b300 (16.5 kW)"),
    (site(HALLS).replace("nvl72}", "nvl72, hall: newer}"), "systems[0].hall: no hall 'newer'; known are old, new"),
    (GOOD.replace("nvl72}", "nvl72, hall: new}"), "systems[0].hall: no hall 'new'; the site names no halls"),
    (site("halls: [{id: a}, {id: a}]"), "site.halls: hall 'a' stands twice"),
    (site("pue: 0.9"), "site.pue: 0.9 is too small: at least 1"),
    (site("pue: nan"), "site.pue"),
    (site("pue: {load: [50%, 100%], temperature: [10 C], values: [[1.3]]}"), "values needs 1 rows (temperatures) of 2 numbers (loads)"),
    (site("pue: {load: [100%, 50%], temperature: [10 C], values: [[1.3, 1.2]]}"), "load and temperature must rise"),
    (site("pue: {load: [90%, 100%], temperature: [10 C], values: [[2, 1.1]]}"), "at 10 C a higher load would draw less power"),
    (site("energy_price: [1, 2]"), "site.energy_price: a daily curve has one value or 24, from midnight; here are 2"),
    (site("carbon: -4"), "site.carbon: -4 is not a finite number of at least 0"),
    (site("carbon: .nan"), "site.carbon: nan is not a finite number of at least 0"),
    (site(CURTAILED.replace("17:00", "17")), "site.curtailment[0].from: 17 is not a time of day; write for example '17:30'"),
    (site(CURTAILED.replace("17:00", "24:30")), "'24:30' is not a time of day"),
    (site(CURTAILED.replace("17:00", "21:00")), "a curtailment needs two different times"),
    (site(CURTAILED.replace("300 kW", "2 MW")), "site.curtailment[0].budget: 2e+03 kW is not below the budget of 1e+03 kW"),
    (GOOD.replace("gb200-nvl72}", "superpod-h200-su}").replace("site:\n", "site:\n  rack_limit: 30 kW\n"), "superpod-h200-su draws 40.8 kW; a rack of this site may draw 30 kW"),
]  # fmt: skip


@pytest.mark.parametrize(("text", "message"), MESSAGES, ids=range(len(MESSAGES)))
def test_messages(text, message):
    assert message in problems(text)


def test_wrong_types_and_unknown_names_are_said_together():
    found = problems(GOOD.replace("25 ms", "25").replace("deepseek-r1", "deepseek-r9").replace("gb200-nvl72", "gb200"))
    assert re.findall(r"factory.yaml:\d+:\d+", found) == [
        "factory.yaml:5:24",
        "factory.yaml:8:12",
        "factory.yaml:14:36",
    ]
    assert "Did you mean gb200-nvl72" in found
    assert "services[0].model: no model" in found
    assert found.endswith("3 errors. Nothing was run.")


def test_a_system_in_its_hall():
    factory = spec.loads(site(HALLS).replace("nvl72}", "nvl72, hall: new}"))
    assert factory.site.hall_of("new").rack_limit_w == 130e3
    assert factory.site.hall_of(None) is None


@pytest.mark.parametrize(
    ("start", "horizon", "budget"), [("17:00", "4 h", 3e5), ("21:00", "20 h", 1e6), ("20:00", "1 h", 3e5)]
)
def test_a_run_within_a_curtailment_has_its_budget(start, horizon, budget):
    text = site(CURTAILED, f", start: {start}").replace("horizon: 1 h", f"horizon: {horizon}")
    assert spec.loads(text).budget_w == budget


def test_a_run_across_a_curtailment_has_the_lowest_budget():
    factory = spec.loads(site(CURTAILED, ", start: 16:30"))
    assert factory.site.budgets(16.5 * 3600, 3600.0) == ((0.0, 1e6), (1800.0, 3e5))
    assert factory.budget_w == 3e5


def test_a_curtailment_over_midnight_without_a_budget():
    window = Curtailment.model_validate({"from": "22:00", "to": "06:00", "budget": "1 kW"})
    assert [window.holds(h * 3600) for h in (21, 22, 23, 24, 29, 30, 46)] == [
        False,
        True,
        True,
        True,
        True,
        False,
        True,
    ]
    here = Site.model_validate({"curtailment": [window]})
    assert here.budgets(5 * 3600.0, 20 * 3600.0) == ((0.0, 1e3), (3600.0, 0.0), (17 * 3600.0, 1e3))


@settings(derandomize=True, max_examples=80)
@given(
    windows=st.lists(st.tuples(st.integers(0, 1440), st.integers(0, 1439), st.integers(1, 9)), max_size=4),
    start=st.integers(0, 1439),
    hours=st.integers(1, 60),
)
def test_budgets_agree_with_the_budget_at_every_minute(windows, start, hours):
    made = [
        {"from": clock(a * 60.0), "to": clock(b * 60.0), "budget": f"{w} kW"} for a, b, w in windows if a % 1440 != b
    ]
    here = Site.model_validate({"power": {"budget": "10 kW"}, "curtailment": made})
    steps = here.budgets(start * 60.0, hours * 3600.0)
    assert steps[0][0] == 0
    for minute in range(hours * 60):
        now = [watts for at, watts in steps if at <= minute * 60.0][-1]
        assert now == here.budget_at((start + minute) * 60.0)


def test_daily_curves_and_tables_survive_a_round_trip():
    text = site(
        "pue: {load: [50%, 1], temperature: [-5 C, 30 C], values: [[1.2, 1.1], [1.4, 1.3]]}\n  energy_price: 0.07\n  "
        f"carbon: {json.dumps(list(range(24)))}\n  {CURTAILED}", ", start: 17:00"
    )  # fmt: skip
    factory = spec.loads(text)
    assert spec.loads(factory.to_yaml(), factory.source_file) == factory
    assert factory.site.carbon_g_kwh == tuple(range(24))
    assert factory.site.energy_price_usd_kwh == (0.07,) * 24
    assert "17:00" in factory.to_yaml()


@given(minutes=st.integers(0, 1440))
@settings(derandomize=True, max_examples=50)
def test_clock_and_time_of_day_are_inverse(minutes):
    assert time_of_day(clock(minutes * 60.0)) == minutes * 60.0 <= DAY_S


def parts(model, seen):
    if model not in seen:
        seen.add(model)
        for info in model.model_fields.values():
            for inner in _classes(info.annotation):
                parts(inner, seen)
    return seen


def _classes(annotation):
    if isinstance(annotation, type) and issubclass(annotation, Part):
        return [annotation]
    return [found for inner in getattr(annotation, "__args__", ()) for found in _classes(inner)]


def test_init_documents_every_key():
    shown = {part for _, part in PARTS}
    reachable = parts(Factory, set()) - {Factory, type(Workload.model_fields["scale"].default)}
    assert shown == reachable
    text = defaults()
    assert all(line.startswith("#") for line in text.splitlines() if line)
    for _, part in PARTS:
        for name, info in part.model_fields.items():
            assert info.description, (part, name)
            assert f"#   {info.alias or name}: " in text


SCHEMA = Factory.model_json_schema(by_alias=True)


def test_the_schema_describes_every_property():
    places = [SCHEMA, *SCHEMA["$defs"].values(), SCHEMA["$defs"]["PueTable"]["anyOf"][1]]
    properties = {name: p for place in places for name, p in place.get("properties", {}).items()}
    assert {name for name, p in properties.items() if "description" not in p} == set()
    assert {"curtailment", "halls", "pue", "sessions", "mix", "start", "temperature", "values"} <= set(properties)
    references = set(re.findall(r'"#/\$defs/(\w+)"', json.dumps(SCHEMA)))
    assert references <= set(SCHEMA["$defs"])


def accepts(schema, value) -> bool:
    """As much of JSON Schema as the factory file uses."""
    if "$ref" in schema:
        return accepts(SCHEMA["$defs"][schema["$ref"].rsplit("/")[-1]], value)
    if "anyOf" in schema:
        return any(accepts(one, value) for one in schema["anyOf"])
    kinds = schema.get("type", [])
    types = {
        "string": str,
        "number": int | float,
        "integer": int,
        "boolean": bool,
        "null": type(None),
        "array": list,
        "object": dict,
    }
    named = [kinds] if isinstance(kinds, str) else kinds
    if named and not any(
        isinstance(value, types[k]) and (k == "boolean" or not isinstance(value, bool)) for k in named
    ):
        return False
    if "enum" in schema and value not in schema["enum"]:
        return False
    if isinstance(value, dict):
        known = schema.get("properties", {})
        return set(schema.get("required", [])) <= set(value) <= set(known) and all(
            accepts(known[k], v) for k, v in value.items()
        )
    if isinstance(value, list) and "items" in schema:
        return all(accepts(schema["items"], v) for v in value)
    return True


@pytest.mark.parametrize("path", EXAMPLES, ids=lambda p: p.stem)
def test_the_schema_accepts_the_examples_as_written(path):
    from tokenworks.spec.marks import compose

    data, _ = compose(path.read_text(), path.name)
    assert accepts(SCHEMA, data)
    assert not accepts(SCHEMA, {**data, "sight": {}})
    assert not accepts(SCHEMA, {**data, "run": {"seed": "x"}})
