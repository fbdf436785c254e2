"""What docs/catalog.md tells people to type works."""

import re
from pathlib import Path

from tokenworks.cli.main import main, parser

GUIDE = (Path(__file__).parents[2] / "docs" / "catalog.md").read_text()


def test_commands_of_the_guide(capsys):
    commands = re.findall(r"^tokenworks (catalog .*?)(?:\s+#.*)?$", GUIDE, re.MULTILINE)
    assert len(commands) >= 4
    for command in commands:
        assert main(command.split()) == 0
        assert capsys.readouterr().out
    parser().parse_args(["catalog", "import", "config.json", "--out", "mine/models/my-model.toml"])
    parser().parse_args(["catalog", "show", "models/glm-5", "--toml"])


def test_marks_of_the_guide():
    from tokenworks.catalog.values import STATUS_MARKS

    rows = dict(re.findall(r"^\| (\w+) \| (.?) ?\| ", GUIDE, re.MULTILINE))
    assert {status: mark.strip() for status, mark in STATUS_MARKS.items()} == {
        status: mark.strip() for status, mark in rows.items() if status != "status"
    }
