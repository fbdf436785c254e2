"""The verb: files, what it says, and bad input."""

import json
import shutil
from pathlib import Path

import pytest
from export_services import factory_of

from tokenworks.cli.main import main

ROOT = Path(__file__).parents[2]


def verb(*words):
    return main(["plan", "export", *map(str, words)])


def test_it_writes_the_files_and_names_what_is_missing(tmp_path, capsys):
    assert verb("nvl72", "--to", "dynamo", "--out", tmp_path / "x") == 0
    said = capsys.readouterr().out
    assert sorted(p.name for p in (tmp_path / "x").iterdir()) == ["helper.yaml", "reasoner.yaml"]
    assert "settings are said; those that dynamo cannot say:" in said
    assert "  reasoner: slo.ttft_p95 = 2 s: an objective to watch, not a setting" in said
    before = {p.name: p.read_bytes() for p in (tmp_path / "x").iterdir()}
    assert verb("nvl72", "--to", "dynamo", "--out", tmp_path / "x") == 0
    assert {p.name: p.read_bytes() for p in (tmp_path / "x").iterdir()} == before


def test_a_service_a_folder_of_a_plan_and_json(tmp_path, capsys):
    (tmp_path / "plan").mkdir()
    (tmp_path / "plan" / "factory.yaml").write_text((ROOT / "examples" / "nvl72.yaml").read_text())
    out = tmp_path / "out"
    words = ["--to", "vllm", "--service", "helper", "--weights", "helper=openai/gpt-oss-120b", "--out", out, "--json"]
    assert verb(tmp_path / "plan", *words) == 0
    told = json.loads(capsys.readouterr().out)
    assert told["files"] == ["helper.sh", "helper.yaml"]
    assert {s["service"] for s in told["settings"]} == {"helper"}
    assert "exec vllm serve openai/gpt-oss-120b \\" in (out / "helper.sh").read_text()


def test_scripts_are_read_by_a_shell(tmp_path, monkeypatch):
    """A stand-in for vllm prints what it is given: the arguments arrive as one word each."""
    import subprocess

    (tmp_path / "bin").mkdir()
    stand_in = tmp_path / "bin" / "vllm"
    stand_in.write_text('#!/bin/sh\nfor a in "$@"; do echo "[$a]"; done\n')
    stand_in.chmod(0o755)
    factory = factory_of(
        {"name": 'it\'s a "test" $HOME', "engine": "vllm", "fused_all_reduce": True, "tp": 4, "precision": "fp8"}
    )
    (tmp_path / "f.yaml").write_text(factory.to_yaml())
    assert verb(tmp_path / "f.yaml", "--to", "vllm", "--out", tmp_path / "x") == 0
    script = next((tmp_path / "x").glob("*.sh"))
    done = subprocess.run(
        ["sh", str(script), "--extra"],
        env={"PATH": f"{tmp_path / 'bin'}:/usr/bin:/bin", "PORT": "81"},
        capture_output=True,
        text=True,
    )
    lines = done.stdout.splitlines()
    assert '[it\'s a "test" $HOME]' in lines
    assert '[{"pass_config":{"fuse_allreduce_rms":true}}]' in lines
    assert lines[-3:] == ["[--port]", "[81]", "[--extra]"]


BAD = [
    (["nvl72", "--to", "vlm"], "no target 'vlm'; there are vllm, sglang"),
    (["nvl72", "--to", "vllm", "--service", "x"], "no service 'x'; there are reasoner, helper"),
    (["nvl72", "--to", "vllm", "--weights", "helper"], "--weights wants SERVICE=VALUE, not 'helper'"),
    (["nvl72", "--to", "vllm", "--image", "=x"], "--image wants SERVICE=VALUE"),
    (["nvl72", "--to", "vllm", "--node-gpus", "-1"], "--node-gpus must be at least 1, not -1"),
    (["nothing.yaml", "--to", "vllm"], "no such file or folder: nothing.yaml"),
    (["nvl72", "--to", "kubernetes"], "use --to dynamo"),
]


@pytest.mark.parametrize(("words", "said"), BAD)
def test_bad_input(words, said, tmp_path, capsys):
    assert verb(*words, "--out", tmp_path / "x") == 2
    assert said in capsys.readouterr().err
    assert not (tmp_path / "x").exists()


def test_the_commands_of_the_page(tmp_path, monkeypatch, capsys):
    monkeypatch.chdir(tmp_path)
    page = (ROOT / "docs" / "export.md").read_text()
    lines = [x.split("  #")[0].split()[1:] for x in page.splitlines() if x.startswith(".venv/bin/tokenworks ")]
    assert len(lines) >= 4
    for words in lines:
        shutil.rmtree("out", ignore_errors=True)
        assert main(words) == 0, capsys.readouterr().err
        assert any(p.is_file() for p in Path("out").rglob("*"))
