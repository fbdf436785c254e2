"""docs/sweep.md: its commands run, and the columns that it names are there."""

import csv
import re
import shlex
from pathlib import Path

from small import FILE

from tokenworks.cli.main import main

PAGE = (Path(__file__).parents[2] / "docs" / "sweep.md").read_text(encoding="utf-8")


def test_commands_run_and_columns_are_there(tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    Path("factory.yaml").write_text(FILE)
    (block,) = re.findall(r"^```\n(.*?)^```$", PAGE, re.DOTALL | re.MULTILINE)
    for line in block.splitlines():
        assert main([*shlex.split(line)[1:], "--quiet", "--processes", "1"]) == 0
    with open("out/small/sweep/sweep.csv", encoding="utf-8") as table:
        rows = list(csv.DictReader(table))
    assert len(rows) == 40
    said = PAGE[PAGE.index("| column |") : PAGE.index("### Ray")]
    for name in re.findall(r"`([\w.]+)`", said):
        assert name.replace("SERVICE", "chat") in rows[0]
