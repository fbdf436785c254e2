"""Facts of the shipped examples, and doctests of the room."""

from __future__ import annotations

import doctest
import importlib
from pathlib import Path

import pytest

from tokenworks.economics.facts import facts_of
from tokenworks.spec import load, loads

EXAMPLES = sorted((Path(__file__).parents[2] / "examples").glob("*.yaml"))


@pytest.mark.parametrize("module", ["allocation", "capital", "path", "power", "tariff"])
def test_doctests(module: str) -> None:
    found = doctest.testmod(importlib.import_module(f"tokenworks.economics.{module}"))
    assert found.attempted > 0
    assert found.failed == 0


@pytest.mark.parametrize("path", EXAMPLES, ids=lambda p: p.stem)
def test_every_example_has_its_facts(path: Path) -> None:
    factory = load(path)
    found = facts_of(factory)
    assert len(found.tariff.energy_usd_kwh) == len(found.tariff.carbon_g_kwh) == 24
    assert found.site.design_w == pytest.approx(sum(s.nameplate_w for s in found.systems))
    assert all(s.owned == (system.rent is None) for s, system in zip(found.systems, factory.systems, strict=True))


def test_the_file_overrides_tariff_path_and_price() -> None:
    text = next(p for p in EXAMPLES if p.stem == "laptop").read_text(encoding="utf-8")
    factory = loads(text, "laptop.yaml")
    own = factory.replace("site.energy_price", "$0.31/kWh").replace(
        "site.path", [{"name": "UPS", "efficiency": "94%", "redundancy": "2N"}]
    )
    found = facts_of(own)
    assert found.tariff.energy_usd_kwh == (0.31,) * 24
    assert found.site.stages[0].oversize == 2.0
    assert found.site.losses.no_load > 0
    assert facts_of(factory).site.losses.no_load == 0
