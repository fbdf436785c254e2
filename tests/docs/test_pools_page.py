"""The page on prefill and decode pools: its parts of factory files are some, and the tests that it names exist."""

import re
from pathlib import Path

import yaml

from tokenworks.api import load
from tokenworks.serve.building import upstreams_of

ROOT = Path(__file__).resolve().parents[2]
PAGE = (ROOT / "docs/pools.md").read_text()


def factory(block):
    part = yaml.safe_load(block)
    (service,) = part["services"]
    changes = {f"services.chat.{name}": service[name] for name in ("model", "engine", "prefill", "decode")}
    box = {"systems.box.system": "hgx-h100", "systems.box.count": 2}
    return load("laptop").replace_all({**box, **changes, "services.chat.workers": None, "serve": part["serve"]})


def test_its_parts_of_factory_files_are_some():
    blocks = re.findall(r"^```yaml\n(.*?)^```$", PAGE, re.DOTALL | re.MULTILINE)
    listed, scaled = map(factory, blocks)
    assert [u.role for u in listed.serve.upstreams] == ["prefill", "prefill", "decode"]
    assert [u.role for u in upstreams_of(scaled)["chat"]] == ["prefill", "decode", "decode"]
    assert scaled.services[0].scaled


def test_the_tests_that_it_names_exist():
    code = "".join(p.read_text() for p in (ROOT / "tests/serve").glob("test_*.py"))
    named = set(re.findall(r"`(test_\w+)`", PAGE))
    assert named
    assert [name for name in named if f"def {name}(" not in code] == []
