"""The page on observing: its factory part is valid, its paths and names are those of the code."""

import re
from pathlib import Path

import yaml

from tokenworks.api import load
from tokenworks.events.ledger_events import UsageEvent
from tokenworks.serve.admin import CHANGES, PREFIX
from tokenworks.serve.emulate.page import HELP as WORKER_HELP
from tokenworks.serve.pages.steering_metrics import HELP as STEERING_HELP
from tokenworks.serve.telemetry.attributes import error_type
from tokenworks.serve.telemetry.metrics import HELP

ROOT = Path(__file__).parents[2]
PAGE = (ROOT / "docs/observe.md").read_text()


def test_the_part_of_a_factory_file_is_one():
    (block,) = re.findall(r"^```yaml\n(.*?)^```$", PAGE, re.DOTALL | re.MULTILINE)
    serve = load("laptop").replace("serve", yaml.safe_load(block)["serve"]).serve
    assert (serve.telemetry.otlp, serve.telemetry.calls, serve.admin) == ("http://127.0.0.1:4318", "calls.jsonl", True)


def test_paths_are_those_of_the_code():
    for change in CHANGES:
        assert change.decode() in PAGE
    assert set(re.findall(r"(?:GET|POST) (/\w+/)", PAGE)) == {PREFIX.decode()}


def test_error_types_are_those_of_the_code():
    about = {
        "source": "s",
        "id": "i",
        "time_us": 1,
        "tenant": "t",
        "model": "m",
        "input_fresh": 1,
        "cache_read": 0,
        "output_visible": 1,
    }
    for more in ({"failed": True, "usage_status": "missing"}, {"usage_status": "partial"}):
        assert f"`{error_type(UsageEvent(**about, **more))}`" in PAGE


def test_metrics_and_tests_are_those_of_the_code():
    named = set(re.findall(r"`((?:tokenworks_|vllm:|DCGM_)\w+)`", PAGE))
    known = HELP.keys() | WORKER_HELP.keys() | STEERING_HELP.keys()
    assert named - known == set()
    assert WORKER_HELP.keys() - named == set()
    tests = "".join(path.read_text() for path in (ROOT / "tests/serve").glob("*.py"))
    assert [name for name in re.findall(r"`(test_\w+)`", PAGE) if f"def {name}(" not in tests] == []
