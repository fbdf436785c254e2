"""The page of pains names tests that exist."""

import re
from pathlib import Path

ROOT = Path(__file__).parents[2]


def test_every_named_test_exists():
    named = set(re.findall(r"`(test_\w+)`", (ROOT / "docs/pains.md").read_text(encoding="utf-8")))
    there = {
        name
        for path in (ROOT / "tests").rglob("test_*.py")
        for name in re.findall(r"^def (test_\w+)", path.read_text(encoding="utf-8"), re.M)
    }
    assert len(named) > 25
    assert named <= there, named - there


def test_every_pain_names_a_test():
    rows = [line for line in (ROOT / "docs/pains.md").read_text(encoding="utf-8").splitlines() if line.startswith("| ")]
    cells = [[cell.strip() for cell in row.strip("|").split(" | ")] for row in rows[1:]]
    assert len(cells) > 25
    assert [row[0] for row in cells if len(row) != 3 or "`test_" not in row[2]] == []
