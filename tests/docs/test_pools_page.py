"""The page on prefill and decode pools: its part of a factory file is one, and the tests that it names exist."""

import re
from pathlib import Path

import yaml

from tokenworks.api import load

ROOT = Path(__file__).resolve().parents[2]
PAGE = (ROOT / "docs/pools.md").read_text()


def test_the_part_of_a_factory_file_is_one():
    (block,) = re.findall(r"^```yaml\n(.*?)^```$", PAGE, re.DOTALL | re.MULTILINE)
    part = yaml.safe_load(block)
    (service,) = part["services"]
    changes = {f"services.chat.{name}": service[name] for name in ("model", "engine", "prefill", "decode")}
    made = load("laptop").replace_all(
        {"systems.box.system": "hgx-h100", **changes, "services.chat.workers": None, "serve": part["serve"]}
    )
    assert [u.role for u in made.serve.upstreams] == ["prefill", "prefill", "decode"]


def test_the_tests_that_it_names_exist():
    code = "".join(p.read_text() for p in (ROOT / "tests/serve").glob("test_*.py"))
    named = set(re.findall(r"`(test_\w+)`", PAGE))
    assert named
    assert [name for name in named if f"def {name}(" not in code] == []
