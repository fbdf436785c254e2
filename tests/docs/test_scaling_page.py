"""docs/scaling.md: its factory runs and is the one of its table, its command is understood, its fields are those of the code."""

import re
import shlex
from pathlib import Path

from tokenworks.cli.main import parser
from tokenworks.rehearsal.run import rehearse
from tokenworks.spec import loads
from tokenworks.spec.fleet import FleetOf
from tokenworks.spec.scaling import Scaling

PAGE = (Path(__file__).parents[2] / "docs/scaling.md").read_text()


def test_its_factory_scales():
    (text,) = re.findall(r"```yaml\n(.*?)```", PAGE, re.DOTALL)
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
    assert set(FleetOf.model_fields) == {"service", *re.findall(r"^\| `(\w+)` \|", PAGE, re.MULTILINE)}
