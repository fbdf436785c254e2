"""The page on bench and rehearse: its commands are understood, its bounds and kinds of failure are those of the code."""

import re
import shlex
from dataclasses import asdict
from pathlib import Path

from tokenworks.cli.bench_load import settings_of
from tokenworks.cli.main import parser
from tokenworks.rehearsal.live.lines import LEAST, Bounds

ROOT = Path(__file__).parents[2]
TEXT = (ROOT / "docs/bench.md").read_text()


def commands(verb):
    return [shlex.split(line) for line in re.findall(rf"^\.venv/bin/tokenworks ({verb} .*)$", TEXT, re.MULTILINE)]


def test_every_load_can_be_made():
    assert len(commands("bench")) == 6
    for command in commands("bench"):
        assert len(settings_of(parser().parse_args(command)).demand.requests)


def test_every_rehearsal_is_understood():
    assert len(commands("rehearse")) == 3
    for command in commands("rehearse"):
        assert parser().parse_args(command).verb == "rehearse"


def test_bounds_are_those_of_the_code():
    said = "throughput 5%, medians 10%, p95 and p99 25%, queues 25%, joules 10%, dollars 20%"
    assert said in TEXT
    shares = [int(share) / 100 for share in re.findall(r"(\d+)%", said)]
    assert shares == [asdict(Bounds())[name] for name in ("throughput", "p50", "tail", "queue", "energy", "cost")]
    assert f"from {LEAST[50]} (p50), {LEAST[95]} (p95) or {LEAST[99]} (p99) requests on" in TEXT


def test_kinds_of_failures_are_those_of_the_code():
    code = "".join(path.read_text() for path in (ROOT / "src/tokenworks/serve/bench").glob("*.py"))
    listed = re.search(r"\*\*Failures\*\*.*?(?=\n\n)", TEXT, re.DOTALL)
    kinds = set(re.findall(r"`([^`]+)`", listed[0])) - {"HTTP 429"}
    assert kinds == set(re.findall(r'answer\.error(?:, answer\.said)? = "([^"]+)"', code))
