"""docs/scaling.md: its factory runs and is the one of its table, its command is understood, its fields are those of the code."""

import re
import shlex
from dataclasses import replace
from pathlib import Path

import pytest

from tokenworks.cli.main import parser
from tokenworks.economics.power import rolling_means
from tokenworks.rehearsal.demand import as_one, demands
from tokenworks.rehearsal.plant import plant
from tokenworks.rehearsal.play import play
from tokenworks.rehearsal.run import rehearse
from tokenworks.spec import loads
from tokenworks.spec.fleet import FleetOf
from tokenworks.spec.scaling import Scaling

PAGE = (Path(__file__).parents[2] / "docs/scaling.md").read_text()


def factories():
    return re.findall(r"```yaml\n(.*?)```", PAGE, re.DOTALL)


def row(budget, kept):
    """In SLO by service, kWh and watts of the table of the curtailed day."""
    (found,) = re.findall(rf"^\| {budget} W \| {kept} \| (.*?)% \| (.*?)% \| (.*?) kWh \| (\d+) W", PAGE, re.MULTILINE)
    return tuple(map(float, found))


def test_its_curtailed_factory_breaks_the_budget_with_clocks_alone():
    """The rows agree with each other, and a quarter of an hour of the curtailment with them."""
    _, text = factories()
    assert row(1500, "clocks and replicas")[3] < 1500 < row(1500, "clocks alone")[3]
    assert row(2000, "clocks and replicas")[3] < 2000 < row(2000, "clocks alone")[3]
    made = plant(loads(text).replace("run.horizon", "15 min").replace("run.start", "17:02"))
    _, sources, _ = demands(made)
    cells = made.cell, without(made.cell)
    watts = [played(made, sources, cell).timeline.joules.sum(axis=0)[20:] / 3.75 for cell in cells]
    assert rolling_means(watts[0], 3.75, 10.0).max() < 1500 < watts[1].mean()


@pytest.mark.prove
@pytest.mark.parametrize("budget", [1500, 2000])
def test_its_curtailed_day(budget, record_property):
    _, text = factories()
    made = plant(loads(text.replace("1500 W", f"{budget} W")))
    _, sources, _ = demands(made)
    for kept, cell in (("clocks and replicas", made.cell), ("clocks alone", without(made.cell))):
        twin = played(made, sources, cell)
        joules = twin.timeline.joules.sum(axis=0)
        shares = [round(100 * s.within_slo / s.arrived, 2) for s in twin.services]
        figures = (*shares, round(joules.sum() / 3.6e6, 1), round(joules[171:210].max() / 360))
        assert figures == row(budget, kept)
    record_property("figure", f"the table of docs/scaling.md at {budget} W")


def without(cell):
    """Clocks alone: replicas by the load, from all of them."""
    plans = tuple(replace(p, rules=p.rules._replace(start=p.rules.most)) for p in cell.scaling)
    return replace(cell, budget=None, scaling=plans)


def played(made, sources, cell):
    return play(replace(made, cell=cell), as_one(sources).for_run(made.factory.run))


def test_its_factory_scales():
    text, _ = factories()
    result = rehearse(loads(text).replace("run.horizon", "10 min"), idleness=False).result
    (of,) = result.scaled
    assert (of.most, of.predictor, of.gpu_hours * 144) == (8, "kalman", 384)
    assert of.cold_start_s > 60


def test_its_command_is_understood():
    (line,) = re.findall(r"^tokenworks (.*)$", PAGE, re.MULTILINE)
    assert parser().parse_args(shlex.split(line)).emulate


def test_named_fields_are_those_of_the_file():
    fields = {info.alias or name for name, info in Scaling.model_fields.items()}
    for name in ("every", "start_up", "season", "target", "calm", "hysteresis", "idle", "min"):
        assert name in fields
        assert f"`{name}" in PAGE
    assert set(FleetOf.model_fields) == {"service", "role", *re.findall(r"^\| `(\w+)` \|", PAGE, re.MULTILINE)}
