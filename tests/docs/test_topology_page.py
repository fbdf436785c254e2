"""The page on topology: its commands run, its table and its sentences are what the code computes."""

import re
import shlex
from pathlib import Path

import pytest

from tokenworks import catalog
from tokenworks.cli.main import main
from tokenworks.plan.topology import topology

TEXT = (Path(__file__).parents[2] / "docs/topology.md").read_text()
CASES = ({"optics": "pluggable"}, {"optics": "cpo"}, {"optics": "pluggable", "layout": "fat-tree"})


def clusters():
    return [topology("gb300-nvl72", 100_000, "quantum-x800", **case) for case in CASES]


def at_switches(found):
    return next(p for p in found.bill.parts if p.name in ("modules at switches", "co-packaged engines"))


def test_commands_run(monkeypatch, tmp_path, capsys):
    monkeypatch.chdir(tmp_path)
    commands = re.findall(r"^\.venv/bin/tokenworks (.*)$", TEXT, re.MULTILINE)
    assert len(commands) == 4
    for command in commands:
        assert main(shlex.split(command)) == 0, capsys.readouterr().err


def test_the_table_is_computed():
    found = clusters()
    rows = {
        "switches": [f"{c.tree.switches:,}" for c in found],
        "network, MW": [f"{c.network_w / 1e6:.1f}" for c in found],
        "of it optics at switches, MW": [f"{at_switches(c).count * at_switches(c).watts / 1e6:.1f}" for c in found],
        "purchase, million USD": [f"{c.usd / 1e6:,.0f}" for c in found],
        "failures a day": [f"{c.failures_per_day:.1f}" for c in found],
        "of them optics at switches": [f"{rate(c):.1f}" for c in found],
        "servers or leaves cut off a day": [f"{c.bill.cut_off_per_day:.1f}" for c in found],
    }
    for name, cells in rows.items():
        assert f"| {name} | {' | '.join(cells)} |" in TEXT


def rate(found):
    part = at_switches(found)
    return part.count * part.failures_per_year / 365.25


def test_the_sentences_are_computed():
    plain, packaged, copper = clusters()
    saved_w = plain.network_w - packaged.network_w
    assert f"{saved_w / 1e6:.1f} MW" == "11.0 MW"
    assert (copper.network_w - packaged.network_w) / 1e6 == pytest.approx(7.2, abs=0.05)
    assert at_switches(plain).watts / at_switches(packaged).watts == pytest.approx(3.3, abs=0.05)
    assert plain.network_w / packaged.network_w == pytest.approx(1.7, abs=0.05)
    assert rate(plain) / rate(packaged) == pytest.approx(3.4, abs=0.05)
    assert plain.failures_per_day / packaged.failures_per_day == pytest.approx(1.8, abs=0.05)
    claimed = packaged.failures_per_day - rate(packaged) + at_switches(packaged).count * 0.00117 / 365.25
    assert catalog.load("links", "cpo-800g").fact("switch_end_failures_per_year").other[0]["value"] == 0.00117
    assert claimed == pytest.approx(5.7, abs=0.05)
    assert plain.bill.cut_off_per_day / packaged.bill.cut_off_per_day == pytest.approx(1.3, abs=0.05)
    usd_per_year = saved_w / 1e3 * 8766 * 0.07
    assert usd_per_year / 1e6 == pytest.approx(6.8, abs=0.05)
    assert usd_per_year / packaged.tree.switches == pytest.approx(1800, rel=0.02)
    rack_w = packaged.system["system_max_w"] / packaged.system["gpus"]
    assert (rack_w / 1e3, saved_w / rack_w) == (pytest.approx(1.97, abs=0.005), pytest.approx(5600, rel=0.02))
    half = [
        topology("gb300-nvl72", 100_000, "quantum-x800", optics=o, oversubscription=[2]) for o in ("pluggable", "cpo")
    ]
    assert (half[0].network_w - half[1].network_w) / 1e6 == pytest.approx(6.5, abs=0.05)


def test_optics_are_half_of_what_is_saved():
    plain, packaged, _ = clusters()
    optics_w = sum(s * at_switches(c).count * at_switches(c).watts for s, c in ((1, plain), (-1, packaged)))
    assert optics_w / (plain.network_w - packaged.network_w) == pytest.approx(0.5, abs=0.03)


def test_a_domain_of_576_adds_what_the_page_says():
    found = topology("gb200-nvl72", 576, domain_gpus=576).domain
    assert (found.chips, found.between_systems) == (450, 10_368)
    assert found.extra_w / 8 / 1e3 == pytest.approx(41, abs=0.5)
