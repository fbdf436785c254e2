"""Properties that every entry of the catalogue has: known units, sources, dates, unique names, sane relations."""

import re
from pathlib import Path

import pytest

from tokenworks import catalog
from tokenworks.catalog.show import LIST_WIDTH, WIDTH, entry_text, find, kind_text, kinds_text
from tokenworks.errors import InputError

ENTRIES = [(kind, entry_id) for kind in catalog.kinds() for entry_id in catalog.ids(kind)]
UNITS_OF_ENDINGS = {
    "_gb_s": "GB/s",
    "_usd_gpu_h": "USD/GPU-h",
    "usd_gpu_h": "USD/GPU-h",
    "_usd_mtok": "USD/Mtok",
    "_usd_kwh": "USD/kWh",
    "_usd_kw_month": "USD/kW-month",
    "_g_kwh": "g/kWh",
    "_l_kwh": "L/kWh",
    "_tflops": "TFLOP/s dense",
    "_tops": "TOP/s dense",
    "_ghz": "GHz",
    "_gb": "GB",
    "_mb": "MB",
    "_db": "dB",
    "_us": "us",
    "_usd": "USD",
    "_layers": "layers",
    "_params_b": "billion",
    "params_b": "billion",
    "transistors_b": "billion",
    "_w": "W",
    "_s": "s",
    "_bits": "bit",
}
PLAIN_UNITS = [
    "1/C",
    "1/year",
    "C",
    "CPUs",
    "GB/s",
    "GPU-days",
    "GPUs",
    "L/kWh",
    "NICs",
    "USD",
    "W",
    "bytes",
    "dies",
    "experts",
    "factor",
    "flag",
    "formats",
    "generation",
    "groups",
    "h",
    "heads",
    "layers",
    "modules",
    "multiprocessors",
    "name",
    "names",
    "norms",
    "ports",
    "precision",
    "racks",
    "ratio",
    "requests",
    "sequences",
    "share",
    "steps",
    "streams",
    "switches",
    "tokens",
    "version",
    "width",
    "year",
]
PHRASES = (
    "digits after the point",
    "factor, low and high",
    "links per GPU",
    "links per port",
    "of the logarithm",
    "share of calls",
    "share of runs",
    "sessions",
    "share of boost clock",
    "share of full voltage",
    "share of line rate",
    "tensor path",
    "weight in calibration",
)
KNOWN_UNITS = {*PLAIN_UNITS, *PHRASES, *UNITS_OF_ENDINGS.values()}
NO_FABRIC_ENTRY = {"none", "nvlink-7", "gaudi-roce", "ici-v6e", "ici-v7", "neuronlink-3"}


def every_fact():
    for kind, entry_id in ENTRIES:
        for key, fact in catalog.load(kind, entry_id).facts.items():
            yield f"{kind}/{entry_id} {key}", key, fact


def test_units_are_known_and_agree_with_the_name():
    for place, key, fact in every_fact():
        assert fact.unit in KNOWN_UNITS, (place, fact.unit)
        ending = max((e for e in UNITS_OF_ENDINGS if key.endswith(e)), key=len, default=None)
        if ending is not None:
            assert fact.unit == UNITS_OF_ENDINGS[ending], (place, fact.unit)


def test_sources_and_dates():
    known = catalog.sources()
    for place, _, fact in every_fact():
        for source, when in [(fact.source, fact.date), *((o["source"], o["date"]) for o in fact.other)]:
            assert source in known, (place, source)
            assert re.fullmatch(r"20\d\d(-[01]\d(-[0-3]\d)?)?", str(when)), (place, when)
        assert all("value" in other for other in fact.other), place


def agent_text(name):
    """Phases of agents are tables of their own: the source of a whole entry stands in its file."""
    return (Path(catalog.__file__).parent / "data/agents" / f"{name}.toml").read_text()


def test_every_source_is_used():
    used = {fact.source for _, _, fact in every_fact()} | {o["source"] for _, _, f in every_fact() for o in f.other}
    used |= {
        source
        for agent in catalog.ids("agents")
        for source in re.findall(r'^source = "([^"]+)"', agent_text(agent), re.MULTILINE)
    }
    outside = {"imported-config", "tokenworks-fit"}  # entries that users import; the fitted coefficients
    assert set(catalog.sources()) - used - outside == set()


@pytest.mark.parametrize("kind", catalog.kinds())
def test_names_are_unique_and_found(kind):
    taken = {entry_id.lower() for entry_id in catalog.ids(kind)}
    for entry_id in catalog.ids(kind):
        entry = catalog.load(kind, entry_id)
        assert entry.id == entry_id
        for alias in entry.aliases:
            assert alias.lower() not in taken, alias
            taken.add(alias.lower())
            assert catalog.load(kind, alias).id == entry_id


def test_references_between_entries():
    fabrics = set(catalog.ids("fabrics"))
    for entry_id in catalog.ids("accelerators"):
        assert catalog.load("accelerators", entry_id)["scale_up"] in fabrics | NO_FABRIC_ENTRY
    for entry_id in catalog.ids("token-prices"):
        model = catalog.load("token-prices", entry_id).get("catalog_model")
        assert model is None or catalog.load("models", model)
    assert set(catalog.ids("prices")) <= set(catalog.ids("accelerators"))
    for entry_id in catalog.ids("fabrics"):
        fabric = catalog.load("fabrics", entry_id)
        kinds = {"switch_id": "switches", "with_cpo": "fabrics", "with_pluggable": "fabrics"}
        for key in [k for k in fabric.facts if k.endswith("_id") or k.startswith("with_")]:
            assert fabric[key] in catalog.ids(kinds.get(key, "links")), (entry_id, key)


@pytest.mark.parametrize("system", catalog.ids("systems"))
def test_systems_hold_their_accelerators(system):
    s = catalog.load("systems", system)
    chip = catalog.load("accelerators", s["accelerator"])
    assert s["gpus"] * chip["tdp_w"] + s["host_idle_w"] <= s["system_max_w"]
    assert s["host_idle_w"] < s["host_active_w"]
    if "fast_memory_gb" in s:
        assert s["fast_memory_gb"] == pytest.approx(s["gpus"] * chip["memory_gb"] + s["host_memory_gb"], rel=0.03)


def test_racks_and_announced_names():
    for rack in ("gb200-nvl72", "gb300-nvl72", "vera-rubin-nvl72"):
        system = catalog.load("systems", rack)
        assert (system["gpus"], system["cpus"], system["racks"]) == (72, 36, 1)
    assert catalog.load("systems", "Vera-Rubin-NVL144").id == "vera-rubin-nvl72"
    ultra = catalog.load("systems", "kyber")
    assert ultra["gpus"] * catalog.load("accelerators", ultra["accelerator"])["dies"] == 576
    hopper = catalog.load("accelerators", "h100-sxm").fact("transistors_b")
    assert (hopper.value, "800 B" in hopper.note) == (80, True)
    feynman = catalog.load("accelerators", "feynman").fact("available")
    assert (feynman.value, feynman.other[0]["value"], feynman.status) == (2028, 2027, "projection")


@pytest.mark.parametrize("fabric", catalog.ids("fabrics"))
def test_fabrics_degrade_with_load(fabric):
    f = catalog.load("fabrics", fabric)
    load, share, tail = f["load"], f["effective_share"], f["tail_factor"]
    assert len(load) == len(share) == len(tail) >= 2
    assert load == sorted(load)
    assert share == sorted(share, reverse=True)
    assert tail == sorted(tail)
    assert 0 < min(share) <= max(share) <= 1 <= min(tail)
    assert f["usable_gb_s"] <= f["link_gb_s"]
    assert 0 < f["failures_per_year"] < 1


def test_co_packaged_optics_save_what_is_claimed():
    plain, packaged = catalog.load("fabrics", "quantum-x800"), catalog.load("fabrics", "quantum-x-cpo")
    assert plain["port_w"] / packaged["port_w"] == pytest.approx(3.5, rel=0.05)
    assert plain["failures_per_year"] / packaged["failures_per_year"] == pytest.approx(10, rel=0.01)


@pytest.mark.parametrize("region", catalog.ids("tariffs"))
def test_tariffs_have_a_day(region):
    tariff = catalog.load("tariffs", region)
    for hourly in ("energy_usd_kwh", "carbon_g_kwh"):
        assert len(tariff[hourly]) == 24
        assert min(tariff[hourly]) > 0


def test_prices_are_ordered():
    for accelerator in catalog.ids("prices"):
        p = catalog.load("prices", accelerator)
        if "usd_gpu_h" in p:
            assert p["low_usd_gpu_h"] <= p["usd_gpu_h"] <= p["high_usd_gpu_h"]
        if "owning_hyperscaler_usd_gpu_h" in p:
            assert p["owning_hyperscaler_usd_gpu_h"] < p["owning_neocloud_usd_gpu_h"]
    for entry_id in catalog.ids("token-prices"):
        t = catalog.load("token-prices", entry_id)
        assert (t.get("cached_input_usd_mtok") or 0) < t["input_usd_mtok"] <= t["output_usd_mtok"]


def test_every_entry_reads_well():
    for kind, entry_id in ENTRIES:
        entry = catalog.load(kind, entry_id)
        text = entry_text(entry)
        assert max(map(len, text.splitlines())) <= WIDTH, entry_id
        assert text.replace("\n", " ").startswith(entry.name)
        for source in {fact.source for fact in entry.facts.values()}:
            assert catalog.sources()[source]["title"].split()[0] in text, (entry_id, source)


def test_lists_read_well():
    assert max(map(len, kinds_text().splitlines())) <= WIDTH
    for kind in catalog.kinds():
        assert max(map(len, kind_text(kind).splitlines())) <= LIST_WIDTH


@pytest.mark.parametrize(
    ("wanted", "found"),
    [
        ("h200", "accelerators/h200-sxm"),
        ("gb200", "accelerators/gb200"),
        ("prices/gb200", "prices/gb200"),
        ("vera-rubin-nvl144", "systems/vera-rubin-nvl72"),
        ("NVLink-Switch", "fabrics/nvlink-5"),
        ("kimi-k2.6", "models/kimi-k2.5"),
    ],
)
def test_find_by_id_alias_or_kind(wanted, found):
    entry = find(wanted)
    assert f"{entry.kind}/{entry.id}" == found


@pytest.mark.parametrize(
    ("wanted", "message"),
    [
        ("deepsek-v3", 'no model "deepsek-v3" in the catalogue. Did you mean deepseek-v3'),
        ("zzzzzz", "nothing called 'zzzzzz'"),
        ("nvl72", "did you mean systems/gb200-nvl72, systems/gb300-nvl72"),
        ("colours/red", "no kind 'colours'"),
        ("default", "is in clocks, sites: write for example clocks/default"),
        ("models/lama-3.1-8b", "Did you mean llama-3.1-8b"),
    ],
)
def test_what_is_not_there_is_answered_with_what_is(wanted, message):
    with pytest.raises(InputError, match=message):
        find(wanted)


def test_no_name_means_two_things():
    """Ids and aliases of the kinds that `catalog show` searches by name alone."""
    taken: dict[str, str] = {}
    for kind in ("accelerators", "models", "systems", "fabrics"):
        for entry_id in catalog.ids(kind):
            for name in (entry_id, *catalog.load(kind, entry_id).aliases):
                assert taken.setdefault(name.lower(), kind) == kind, name
