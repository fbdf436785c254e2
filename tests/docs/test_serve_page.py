"""The serving page: its commands are understood, its factory part is valid, its tests exist, its defaults are those of the code."""

import re
import shlex
from pathlib import Path

import yaml

from tokenworks.api import load
from tokenworks.cli.main import parser
from tokenworks.serve.building import upstreams_of
from tokenworks.serve.emulate.asked import ANSWER_TOKENS, BYTES_PER_TOKEN
from tokenworks.serve.gateway import DIALECTS
from tokenworks.serve.metering import LINGER_S
from tokenworks.serve.pages.openapi import PAGES
from tokenworks.spec.serving import Serving

ROOT = Path(__file__).parents[2]
PAGE = (ROOT / "docs/serve.md").read_text()


def blocks(language):
    found = re.findall(r"^```(\w*)\n(.*?)^```$", PAGE, re.DOTALL | re.MULTILINE)
    return [content for kind, content in found if kind == language]


def test_commands_are_understood():
    lines = [line for block in blocks("") for line in block.splitlines()]
    assert len(lines) == 5
    for line in lines:
        assert parser().parse_args(shlex.split(line)[1:]).run


def test_the_part_of_a_factory_file_is_one():
    block, other = blocks("yaml")
    native = load("laptop").replace("serve", yaml.safe_load(other)["serve"])
    assert upstreams_of(native)["chat"][0].speaks == {"chat", "responses", "messages"}
    factory = load("laptop").replace("serve", yaml.safe_load(block)["serve"])
    assert [u.most for u in upstreams_of(factory)["chat"]] == [0, 256]
    assert factory.serve.aliases == {"gpt-4o-mini": "chat"}


def test_named_tests_exist():
    named = set(re.findall(r"`(test_\w+)`", PAGE))
    written = "".join(p.read_text() for p in (ROOT / "tests/serve").glob("*.py"))
    assert len(named) > 12
    assert [name for name in named if f"def {name}(" not in written] == []


def test_figures_are_those_of_the_code():
    rules = Serving()
    said = [rules.connect_s, rules.first_byte_s, rules.silence_s, rules.drain_s, rules.body_bytes / 1e6]
    assert "| {:g} s, {:g} s, {:g} s, {:g} s, {:g} MB |".format(*said) in PAGE
    assert f"`retries` ({rules.retries})" in PAGE
    assert f"`failures` ({rules.failures}), `pause` ({rules.pause_s:g} s)" in PAGE
    assert (BYTES_PER_TOKEN, f"({ANSWER_TOKENS} without a limit)" in PAGE) == (4, True)
    assert f"up to {LINGER_S * 1e3:g} ms more" in PAGE


def test_every_path_is_named():
    for path in [*(p.decode() for p in DIALECTS), *PAGES]:
        assert f"`{path}`" in PAGE
