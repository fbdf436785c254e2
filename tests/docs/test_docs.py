"""Code blocks of the documentation run."""

import re
from pathlib import Path

ROOT = Path(__file__).parents[2]


def test_readme_python_runs(monkeypatch, tmp_path, capsys):
    monkeypatch.chdir(tmp_path)
    blocks = re.findall(r"```python\n(.*?)```", (ROOT / "README.md").read_text(), re.DOTALL)
    assert blocks
    for block in blocks:
        exec(compile(block, "README.md", "exec"), {})
    assert re.fullmatch(r"[\d.]+ [\d.]+\n", capsys.readouterr().out)


def test_readme_commands_exist():
    from tokenworks.cli.main import parser

    for line in re.findall(r"\.venv/bin/tokenworks (.*?)\s+#", (ROOT / "README.md").read_text()):
        parser().parse_args(line.split())


def test_links_of_the_documents_lead_somewhere():
    for path in [ROOT / "README.md", *(ROOT / "docs").rglob("*.md")]:
        for target in re.findall(r"\]\(([^)#:]+)\)", path.read_text()):
            assert (path.parent / target).exists(), (path.name, target)
