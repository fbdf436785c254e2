"""docs/billing.md, followed word by word: every command runs, and prints what the page shows."""

import re
import shlex
import shutil
from pathlib import Path

import pytest

from tokenworks.cli.main import main
from tokenworks.ledger import Ledger
from tokenworks.workload.agents.recording import SUMS

ROOT = Path(__file__).parents[2]
PAGE = (ROOT / "docs" / "billing.md").read_text(encoding="utf-8")


def steps() -> list[tuple[str, str]]:
    """(command, what it prints) of each block, from top to bottom."""
    found = []
    for block in re.findall(r"^```\n(\$ .*?)^```$", PAGE, re.DOTALL | re.MULTILINE):
        for part in re.split(r"^\$ ", block, flags=re.MULTILINE)[1:]:
            command, _, output = part.partition("\n")
            found.append((command, output.rstrip("\n")))
    return found


def like(text: str) -> str:
    """A pattern; … alone on its line stands for any lines, elsewhere for any characters of one line."""
    lines = [r"(?:.*\n)*?.*" if line == "…" else re.escape(line).replace("…", ".*") for line in text.split("\n")]
    return "\n".join(lines)


@pytest.mark.timeout(900)  # about 16 s of one free core
def test_the_page_runs_from_top_to_bottom(monkeypatch, tmp_path, capsys):
    monkeypatch.chdir(tmp_path)
    monkeypatch.delenv("TOKENWORKS_LEDGER", raising=False)
    shutil.copytree(ROOT / "examples", tmp_path / "examples")
    assert len(steps()) == 14
    for command, output in steps():
        verb, *arguments = shlex.split(command)
        assert verb == "tokenworks"
        refused = "close it first" in output
        assert main(arguments) == (2 if refused else 0), command
        said = capsys.readouterr()
        shown = (said.err if refused else said.out.replace("\r", "")).rstrip("\n")
        assert re.fullmatch(like(output), shown), f"{command}\n{shown}"
    with Ledger.open("ledger.db", read_only=True) as ledger:
        usage = ledger.usage_table()
    sums = {name: sum(usage.column(name).to_pylist()) for name in ("input_fresh", "cache_read", "output_visible")}
    assert sums == {
        "input_fresh": 6_037_445_403 - 5_814_562_560,
        "cache_read": 5_814_562_560,
        "output_visible": 21_709_920,
    }
    assert (SUMS.input, SUMS.cache_read, SUMS.output) == (6_037_445_403, 5_814_562_560, 21_709_920)


def test_the_comparison_can_fail():
    assert re.fullmatch(like("a\n…\nb … c"), "a\nx\ny\nb 17 c")
    assert not re.fullmatch(like("a\n…\nb"), "a\nx\nc")
