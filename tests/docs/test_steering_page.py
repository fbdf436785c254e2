"""The page on steering: its factory part is valid, its tests exist, its figures are those of the code."""

import re
from pathlib import Path

import yaml

from tokenworks.api import load
from tokenworks.serve.body.continuing import UNABLE
from tokenworks.serve.building import services_of, splits_of, upstreams_of
from tokenworks.serve.call import demands
from tokenworks.serve.upstreams.hedging import WINDOW, HedgeRules
from tokenworks.serve.upstreams.lookout import CROWDED, STALE
from tokenworks.serve.upstreams.prompt import ANSWER_TOKENS, BLOCK_BYTES, BYTES_PER_TOKEN, MOST_ANSWER_TOKENS
from tokenworks.spec.serving import Serving
from tokenworks.spec.traffic import Hedging, Split

ROOT = Path(__file__).parents[2]
PAGE = (ROOT / "docs/steering.md").read_text()


def test_the_part_of_a_factory_file_is_one():
    (block,) = re.findall(r"^```yaml\n(.*?)^```$", PAGE, re.DOTALL | re.MULTILINE)
    factory = load("mixed-fleet").replace("serve", yaml.safe_load(block)["serve"])
    services = services_of(factory, upstreams_of(factory))
    assert list(splits_of(factory, services)) == ["gpt-4o"]
    chat, reasoner = services
    assert (reasoner.standby, chat.standby) == ((chat,), ())
    assert chat.queue
    assert chat.hedging


def test_named_tests_exist():
    named = set(re.findall(r"`(test_\w+)`", PAGE))
    written = "".join(p.read_text() for p in (ROOT / "tests/serve").glob("*.py"))
    assert len(named) > 7
    assert [name for name in named if f"def {name}(" not in written] == []


def test_figures_are_those_of_the_code():
    assert f"blocks of {BLOCK_BYTES} bytes" in PAGE
    assert (
        BYTES_PER_TOKEN,
        f"`max_tokens` ({ANSWER_TOKENS} without, and where it is not from 1 to {MOST_ANSWER_TOKENS // 10**6} million)"
        in PAGE,
    ) == (4, True)
    assert f"takes longer than {Hedging().quantile:.0%} (`quantile`) of the last {WINDOW}" in PAGE
    assert Hedging().share == HedgeRules().share == 0.05
    assert f"`look` ({Serving().look_s:g} s)" in PAGE
    assert f"is {CROWDED:.0%} full" in PAGE
    assert f"After {STALE} looks" in PAGE
    assert Split(weights={"a": 1}).by == "session"


def test_headers_are_those_of_the_code():
    for header in (demands.TIMEOUT, demands.PRIORITY):
        assert header.decode() in PAGE.lower()
    assert "X-Tokenworks-Service" in PAGE
    assert "tools" in UNABLE
