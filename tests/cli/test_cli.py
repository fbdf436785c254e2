"""The command line as a user meets it."""

import json
import subprocess
import sys
from pathlib import Path

import pytest

import tokenworks as tw
from tokenworks.cli.main import main

ROOT = Path(__file__).parents[2]


def test_help_lists_every_verb(capsys):
    with pytest.raises(SystemExit) as caught:
        main(["--help"])
    assert caught.value.code == 0
    text = capsys.readouterr().out
    for verb in ("init", "check", "run", "estimate", "catalog", "validate", "calibrate", "schema"):
        assert f"\n    {verb} " in text or f"\n    {verb}\n" in text


def test_importing_the_package_and_help_load_nothing_heavy():
    code = "import sys, tokenworks, tokenworks.cli.main as m; m.parser(); print([n for n in ('numba','pyarrow','pydantic','numpy','rich','yaml') if n in sys.modules])"
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True)
    assert done.stdout.strip() == "[]"


def test_module_runs():
    done = subprocess.run([sys.executable, "-m", "tokenworks", "--version"], capture_output=True, text=True, check=True)
    assert done.stdout.startswith("tokenworks ")


def test_init_check_never_overwrite(tmp_path, capsys):
    path = tmp_path / "f.yaml"
    assert main(["init", str(path), "--example", "laptop"]) == 0
    assert main(["check", str(path)]) == 0
    assert "box: 1 x laptop-rtx-4090, 1 GPU\n" in capsys.readouterr().out
    assert main(["init", str(path)]) == 2
    assert "exists; --force overwrites it" in capsys.readouterr().err
    assert main(["init", str(tmp_path / "g.yaml"), "--example", "none"]) == 2


def test_init_names_every_default(tmp_path):
    path = tmp_path / "f.yaml"
    main(["init", str(path)])
    text = path.read_text()
    for line in ("#   tp: 1", "#   routing: least-loaded", "#   horizon: 3600 s", "#   model: required"):
        assert line in text


def test_run_writes_files_and_clean_json(tmp_path, capsys):
    folder = tmp_path / "out"
    code = main(
        ["run", "laptop", "--json", "--out", str(folder), "--set", "run.horizon=1 min", "--set", "run.warmup=0 s"]
    )
    out = capsys.readouterr()
    assert code == 0
    assert json.loads(out.out)["factory"] == "desk"
    assert out.err == ""
    assert sorted(p.name for p in folder.iterdir()) == ["report.html", "result.json"]


@pytest.mark.parametrize(
    ("arguments", "message"),
    [
        (["run", "nowhere.yaml"], "no such file: nowhere.yaml. Shipped examples: disaggregated, laptop"),
        (["run", "laptop", "--set", "run.horizn=1 h"], "unknown key. Did you mean horizon"),
        (["run", "laptop", "--set", "services.chat.precision=bf16", "--set", "services.chat.model=llama-3.3-70b"], "does not fit on 1 x rtx-4090: needs"),
        (["run", "laptop", "--set", "workload.0.trace=none.csv"], "no trace or file 'none.csv'"),
        (["estimate", "nvl72", "--service", "reasonr"], "no service 'reasonr'; there are reasoner, helper"),
        (["estimate", "nvl72", "--batch", "0"], "--batch must be at least 1"),
        (["catalog", "show", "h2000"], 'no accelerator "h2000" in the catalogue'),
        (["catalog", "show", "models/llama-3.3-71b"], 'no model "llama-3.3-71b" in the catalogue. Did you mean llama-3.3-70b'),
        (["validate", "nowhere.csv"], "no such file: nowhere.csv"),
    ],
)  # fmt: skip
def test_bad_input_has_one_message_and_code_2(arguments, message, capsys, tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    assert main(arguments) == 2
    out = capsys.readouterr()
    assert message in out.err
    assert out.out == ""
    assert list(tmp_path.iterdir()) == []


def test_interrupt_is_130(monkeypatch, capsys):
    def stop(*_):
        raise KeyboardInterrupt

    monkeypatch.setattr("tokenworks.api.load", stop)
    assert main(["check", "laptop"]) == 130


def test_estimate_adds_up(capsys):
    assert main(["estimate", "nvl72", "--json"]) == 0
    found = json.loads(capsys.readouterr().out)
    for step in ("prefill", "decode"):
        parts = sum(o["seconds"] for o in found[step]["operators"])
        assert parts == pytest.approx(found[step]["seconds"]) or found[step]["power_limited"]
    assert main(["estimate", "nvl72"]) == 0
    assert "What a fact is worth" in capsys.readouterr().out


def test_catalog_reads_well(capsys):
    assert main(["catalog", "list"]) == 0
    assert "accelerators (" in capsys.readouterr().out
    assert main(["catalog", "show", "h100-sxm"]) == 0
    text = capsys.readouterr().out
    assert "a widely copied article prints 800 B, a slip" in text
    assert main(["catalog", "show", "accelerators/h100-sxm", "--json"]) == 0
    assert json.loads(capsys.readouterr().out)["facts"]["transistors_b"]["value"] == 80


def test_schema_is_json(capsys):
    assert main(["schema"]) == 0
    assert json.loads(capsys.readouterr().out)["title"] == "Factory"


def test_check_names_every_model_that_does_not_fit(tmp_path, capsys):
    """8 bits of a 70-billion model are 70 GB; a card of 24 GB holds none of them."""
    text = tw.load("laptop").to_yaml().replace("llama-3.1-8b", "llama-3.3-70b")
    path = tmp_path / "small.yaml"
    path.write_text(text)
    assert main(["check", str(path)]) == 2
    said = capsys.readouterr()
    assert said.out == ""
    assert "llama-3.3-70b in fp8 does not fit on 1 x rtx-4090: needs 7" in said.err


def test_check_says_how_much_context_a_worker_holds(capsys):
    assert main(["check", "disaggregated"]) == 0
    said = capsys.readouterr().out
    assert "prefill: 6 workers of 1 GPU, each with a KV cache of " in said
    assert "decode: 5 workers of 2 GPUs, each with a KV cache of " in said
