"""Parts, watts, dollars and failures of whole clusters, by hand; domains of every size; the verb and its pictures."""

import json
import re
from xml.etree import ElementTree

import pytest

from tokenworks import catalog
from tokenworks.cli.main import main
from tokenworks.plan.topology import topology
from tokenworks.plan.topology.racks import zones
from tokenworks.plan.topology.scale_up import domain


def part(found, name):
    return next(p for p in found.bill.parts if p.name == name)


def test_parts_of_one_superpod_by_hand():
    """127 DGX H100: 1,016 modules at hosts; leaves hold 32 (31) + 32 ports in modules of two, spines 64."""
    found = topology("dgx-h100", 1016)
    assert part(found, "leaf switches").count + part(found, "spine switches").count == 48
    assert part(found, "modules at hosts").count == 1016
    assert part(found, "modules at switches").count == 48 * 32
    assert part(found, "fibre cables").count == 1016 + 1024
    watts = 48 * 747 + 1016 * 9 + 48 * 32 * 17
    usd = 48 * 36_000 + 1016 * 500 + 48 * 32 * 900 + 2040 * 60
    per_year = 48 * 0.08 + (1016 + 48 * 32) * 0.0117 + 2040 * 0.001
    assert found.network_w == pytest.approx(watts)
    assert found.usd == pytest.approx(usd)
    assert found.failures_per_day == pytest.approx(per_year / 365.25)


def test_failures_that_cut_a_host_off_by_hand():
    """Its own module, its half of the leaf's module, its fibre, its leaf; nothing above."""
    found = topology("dgx-h100", 1024)
    per_year = 32 * 0.08 + 1024 * 0.0117 + 1024 / 2 * 0.0117 + 1024 * 0.001
    assert found.bill.cut_off_per_day == pytest.approx(per_year / 365.25)


def test_co_packaged_optics_leave_modules_at_hosts_alone():
    plain, packaged = (topology("gb300-nvl72", 41_472, optics=o) for o in ("pluggable", "cpo"))
    assert [level.switches for level in packaged.tree.levels] == [576, 576, 288]
    assert part(packaged, "modules at hosts").count == part(plain, "modules at hosts").count == 41_472
    assert plain.network_w - packaged.network_w == pytest.approx(1440 * 3050)  # Lambda: 4,392 kW
    assert packaged.failures_per_day < plain.failures_per_day


def test_modules_hold_ports_of_one_switch_only():
    """31 DGX H100: eight leaves with 31 + 32 ports take 32 modules each, though 760 ends would fit 380 modules."""
    found = topology("dgx-h100", 248)
    assert part(found, "modules at switches").count == 8 * 32 + 4 * 32


def test_copper_inside_a_rack():
    """A leaf of 72 ports has the 72 adapters of one NVL72; with rails it has those of four racks, and CPO has no copper."""
    assert topology("gb300-nvl72", 7200, layout="fat-tree").copper
    assert not topology("gb300-nvl72", 7200, layout="rail").copper
    assert not topology("gb300-nvl72", 7200, layout="fat-tree", optics="cpo").copper
    assert not topology("dgx-h100", 1024, layout="rail").copper
    assert topology("dgx-h100", 1024, layout="fat-tree").copper  # a leaf has four servers, one rack of them


def test_faster_adapters_take_several_planes():
    """Rubin: 1.6 Tb/s over two networks of 800 Gb/s; a DGX B300 on Quantum-2 needs two of 400."""
    rubin = topology("vera-rubin-nvl72", 7200)
    assert (rubin.fabric.planes, rubin.fabric.link_gb_s) == (2, 100)
    assert part(rubin, "leaf switches").count == 2 * rubin.tree.levels[0].switches
    assert rubin.bisection_gb_s == pytest.approx(7200 / 2 * 200)
    assert topology("dgx-b300", 800, "quantum-2").fabric.planes == 2


def test_split_ports_double_the_radix():
    assert topology("hgx-h100", 64, "spectrum-x").fabric.radix == 128
    assert topology("dgx-b300", 64, "spectrum-x").fabric.radix == 64
    assert topology("dgx-b300", 64, "spectrum-x", planes=2).fabric.radix == 128


def test_a_million_gpus_cost_the_same_work():
    found = topology("dgx-b200", 1_000_000)
    assert found.gpus == 1_000_000
    assert part(found, "modules at hosts").count == 1_000_000
    assert sum(z.count * z.systems for z in zones(found)) == pytest.approx(found.systems * found.system["racks"])


@pytest.mark.parametrize(
    ("system", "gpus", "chips", "links"),
    [
        ("dgx-a100", 8, 6, 96),
        ("dgx-h100", 8, 4, 144),
        ("dgx-b200", 8, 2, 144),
        ("gb200-nvl72", 72, 18, 1296),
        ("vera-rubin-nvl72", 72, 36, 2592),
    ],
)
def test_domains_as_they_are_sold(system, gpus, chips, links):
    found = domain(catalog.load("systems", system))
    assert (found.gpus, found.chips, found.links, found.hops, found.extra_w) == (gpus, chips, links, 1, 0.0)


def test_domains_beyond_a_rack():
    """NVL576 by hand: 18 planes, each 16 leaves of 36 GPUs and 9 spines (36 uplinks: 8 do not divide them)."""
    found = domain(catalog.load("systems", "gb200-nvl72"), 576)
    assert (found.chips, found.hops, found.between_systems) == (18 * 25, 3, 576 * 18)
    assert found.extra_w == pytest.approx((18 * 25 - 8 * 18) * 500 + 576 * 18 * 17)
    sizes = [domain(catalog.load("systems", "gb200-nvl72"), n).chips for n in range(72, 577, 72)]
    assert sizes == sorted(sizes)


def test_a_mesh_has_wires_and_no_switches():
    found = domain(catalog.load("systems", "mi355x-8"))
    assert (found.chips, found.links, found.hops) == (0, 8 * 7 // 2, 0)


@pytest.mark.parametrize(
    ("words", "said"),
    [
        (["gb300-nvl72", "72", "--domain", "100"], "a domain is whole systems of 72 GPUs: 72 and not 100"),
        (["dgx-h100", "8", "--domain", "16"], "has 1 to 8 GPUs, not 16"),
        (["dgx-h100", "8", "--optics", "cpo"], "quantum-2 is not sold with cpo optics; quantum-x800, spectrum-x are"),
        (["dgx-h100", "8", "--optics", "laser"], "optics are pluggable or cpo, not 'laser'"),
        (["dgx-h100", "8", "--fabric", "nvlink-5"], "nvlink-5 joins no servers: choose one of ethernet, quantum-2"),
        (["dgx-h100", "8", "--fabric", "quantum-3"], "Did you mean quantum-2"),
        (["dgx-h100", "8", "--oversubscription", "half"], "numbers from the leaves up, for example 2 or 1,4"),
        (["dgx-h100", "8", "--oversubscription", "1/2"], "oversubscription is 1 or more, not 0.5"),
        (["dgx-h100", "8", "--oversubscription", "2"], "oversubscription of 1 tiers, but the network has 1, none with"),
        (["dgx-h100", "1024", "--oversubscription", "1,4"], "but the network has 2, 1 with uplinks"),
        (["dgx-h100", "8", "--layout", "ring"], "a layout is rail or fat-tree, not 'ring'"),
        (["dgx-b300", "8", "--fabric", "quantum-2", "--planes", "1"], "at least 2"),
        (["dgx-h100", "9999999999"], "a cluster has 1 to 1,000,000,000 GPUs"),
        (["dgx-h900", "8"], "Did you mean dgx-h200, dgx-h100"),
        (["dgx-h100", "8", "--out", "picture.gif"], "a picture ends in .html, .svg, .png"),
    ],
)
def test_what_cannot_be_is_named(words, said, tmp_path, monkeypatch, capsys):
    monkeypatch.chdir(tmp_path)
    assert main(["topology", *words]) == 2
    assert said in capsys.readouterr().err
    assert list(tmp_path.iterdir()) == []


@pytest.mark.parametrize("words", [["dgx-h100", "1016"], ["gb300-nvl72", "100000", "--optics", "cpo"], ["jetson-orin", "1"],
                                   ["gb200-nvl72", "5760", "--domain", "576", "--oversubscription", "2"]])  # fmt: skip
def test_text_fits_a_terminal_and_says_what_json_says(words, capsys):
    assert main(["topology", *words]) == 0
    text = capsys.readouterr().out
    assert max(map(len, text.splitlines())) <= 80
    assert main(["topology", *words, "--json"]) == 0
    found = json.loads(capsys.readouterr().out)
    for tier in found["tiers"]:
        assert re.search(rf"^{tier['name']} +{tier['switches']:,} ", text, re.MULTILINE)
    assert f"{found['network_w'] / 1e3:,.1f}" in text
    assert sum(p["count"] * p["watts"] for p in found["parts"]) <= found["network_w"] + 1e-6


@pytest.mark.parametrize("ending", ["html", "svg"])
def test_pictures_are_whole_and_name_their_counts(ending, tmp_path, capsys):
    out = tmp_path / f"picture.{ending}"
    assert main(["topology", "gb300-nvl72", "41472", "--optics", "cpo", "--out", str(out)]) == 0
    drawn = out.read_text()
    for said in (
        "576 leaf switches",
        "576 spine switches in 8 pods of 72",
        "288 core switches",
        "41,472 GPUs in 576 systems",
    ):
        assert said in drawn
    assert drawn.count("<svg") == drawn.count("</svg>") == (2 if ending == "html" else 1)
    for figure in re.findall(r"<svg.*?</svg>", drawn, re.DOTALL):
        tree = ElementTree.fromstring(figure)
        width, height = map(float, tree.get("viewBox").split()[2:])
        boxes = [e for e in tree.iter() if e.tag.endswith("rect")]
        assert boxes
        for box in boxes:
            x, y, w, h = (float(box.get(name)) for name in ("x", "y", "width", "height"))
            assert 0 <= x <= x + w <= width
            assert 0 <= y <= y + h <= height
    assert "prefers-color-scheme:dark" in drawn
    assert "http" not in drawn.replace("http://www.w3.org/2000/svg", "")
