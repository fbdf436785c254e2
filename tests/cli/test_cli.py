"""The command line as a user meets it."""

import json
import re
import subprocess
import sys
from pathlib import Path

import pytest

import tokenworks as tw
from tokenworks.accuracy.intervals import interval, novelty
from tokenworks.cli.main import main
from tokenworks.physics.fleet import fleet

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
        (["run", "nowhere.yaml"], "no such file: nowhere.yaml. Shipped examples: agents, disaggregated, laptop"),
        (["run", "laptop", "--set", "run.horizn=1 h"], "unknown key. Did you mean horizon"),
        (["run", "laptop", "--set", "services.chat.precision=bf16", "--set", "services.chat.model=llama-3.3-70b"], "does not fit on 1 x rtx-4090: needs"),
        (["run", "laptop", "--set", "workload.0.trace=none.csv"], "no trace or file 'none.csv'"),
        (["estimate", "nvl72", "--service", "reasonr"], "no service 'reasonr'; there are reasoner, helper"),
        (["estimate", "nvl72", "--batch", "0"], "--batch must be at least 1"),
        (["catalog", "show", "h2000"], 'no accelerator "h2000" in the catalogue'),
        (["catalog", "show", "models/llama-3.3-71b"], 'no model "llama-3.3-71b" in the catalogue. Did you mean llama-3.3-70b'),
        (["catalog", "list", "calibration"], "no kind 'calibration'; it has accelerators, agents, clocks"),
        (["catalog", "list", ""], "no kind ''; it has accelerators, agents, clocks"),
        (["catalog", "list", ".."], "no kind '..'; it has accelerators, agents, clocks"),
        (["catalog", "show", ""], "'' names no entry: write ID or KIND/ID. The kinds are accelerators, agents, clocks"),
        (["catalog", "show", "models/"], "'models/' names no entry"),
        (["catalog", "show", "../.."], "'../..' names no entry"),
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


def test_estimate_says_how_sure_it_is(capsys):
    """A prefill step is the TTFT of a static batch, a decode step its TPOT; joules are those of the boards."""
    assert main(["estimate", "nvl72", "--json"]) == 0
    found = json.loads(capsys.readouterr().out)
    for step in ("prefill", "decode"):
        for unit, figure in (("s", "seconds"), ("j", "joules")):
            sure = found["intervals"][f"{step}_{unit}"]
            assert sure["low"] < sure["value"] == found[step][figure] < sure["high"]
    tpot = found["intervals"]["decode_s"]
    low, high = interval("tpot", "static", novelty(fleet(tw.load("nvl72"))[0].deployment), 1.0)
    assert (tpot["low"] / tpot["value"], tpot["high"] / tpot["value"]) == (pytest.approx(low), pytest.approx(high))
    assert main(["estimate", "nvl72"]) == 0
    text = capsys.readouterr().out
    assert re.search(r"^Decode step of 64 sequences a rank: [\d.]+ ms, 80%: [\d.]+–[\d.]+ ms$", text, re.MULTILINE)
    assert text.rstrip().endswith(found["accuracy_note"])


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


BROKEN = """factory: mine
site: {cooling: air, region: us-wst}
systems:
  - {id: a, system: hgx-h100, count: 2}
services:
  - {name: chat, model: deepseek-r1, precision: fp8_block, tp: 8, workers: 1, slo: {ttft_p95: 2}}
  - {name: code, model: llama-3.1-405b, precision: bf16, tp: 4, workers: 1}
workload:
  - {service: chat, trace: azure-2023-conversatoin}
  - {service: code, arrivals: {kind: closed-loop, rate: 3}, input: {kind: empirical, trace: t.csv}}
  - {service: chat, trace: t.csv}
run: {horizon: 600, sead: 3}
"""


def test_check_says_types_names_models_and_traces_in_one_list(tmp_path, monkeypatch, capsys):
    monkeypatch.chdir(tmp_path)
    (tmp_path / "f.yaml").write_text(BROKEN)
    (tmp_path / "t.csv").write_text("arrival_s,input_tokens,output_tokens\n0,5,x\n")
    assert main(["check", "f.yaml"]) == 2
    out = capsys.readouterr()
    assert out.out == ""
    *lines, last = out.err.splitlines()
    said = [
        (2, "site.region: no tariff"),
        (6, "services[0].model: deepseek-r1 in fp8_block does not fit on 8 x h100-sxm"),
        (6, "services[0].slo.ttft_p95: 2 has no unit"),
        (7, "services[1].model: llama-3.1-405b in bf16 does not fit on 4 x h100-sxm"),
        (9, "workload[0].trace: no trace or file 'azure-2023-conversatoin'"),
        (10, "workload[1].arrivals.clients: a closed loop needs clients"),
        (10, "workload[1].arrivals.rate: belongs to poisson"),
        (11, "workload[2].trace: t.csv:2: output_tokens is 'x'"),
        (12, "run.horizon: 600 has no unit; write for example '10 min'"),
        (12, "run.sead: unknown key. Did you mean seed"),
    ]
    assert len(lines) == len(said)
    for line, (number, message) in zip(lines, said, strict=True):
        assert line.startswith(f"f.yaml:{number}:")
        assert f"  {message}" in line
    assert last == "10 errors. Nothing was run."


def test_fields_that_stand_in_the_wrong_place_are_sent_home(tmp_path, capsys):
    path = tmp_path / "f.yaml"
    text = BROKEN.replace("{service: chat, trace: t.csv}", "{service: chat, arrivals: poisson, rate: 5}")
    path.write_text(text.replace("{horizon: 600, sead: 3}", "10 min"))
    main(["check", str(path)])
    said = capsys.readouterr().err
    assert "workload[2].rate: unknown key; it belongs to arrivals" in said
    assert "workload[2].arrivals: 'poisson' stands where fields belong: kind, rate, cv" in said
    assert "run: '10 min' stands where fields belong: horizon, start" in said


def test_check_says_what_is_asked_and_what_is_free(capsys):
    assert main(["check", "mixed-fleet"]) == 0
    said = capsys.readouterr().out
    assert "site: us-texas, cooled by liquid, at most 1,000 kW (facility)\n" in said
    assert "reasoner is asked by gamma, 60% of sustainable\n" in said
    assert said.endswith("run: 10 min, warm-up 1 min, seed 3\n")


@pytest.mark.parametrize(
    ("arguments", "code"),
    [("catalog list", 0), ("check laptop", 0), ("--help", 0), ("check none.yaml", 2), ("nonsense", 2)],
)
def test_nobody_listens_and_the_code_stays(arguments, code):
    """As with `| head -1` that has gone already: both streams are a pipe without a reader."""
    code_text = "import os, sys; r, w = os.pipe(); os.close(r); os.dup2(w, 1); err = os.dup(2); os.dup2(w, 2)\n"
    code_text += (
        "from tokenworks.cli.main import main\ntry: code = main(sys.argv[1:])\nexcept SystemExit as e: code = e.code\n"
    )
    code_text += "os.write(err, f'code {code}'.encode()); os._exit(0)"
    done = subprocess.run(
        [sys.executable, "-c", code_text, *arguments.split()], capture_output=True, text=True, check=True
    )
    assert done.stderr == f"code {code}"


def test_what_sustains_a_load_is_found_for_the_rarest_requests(tmp_path, capsys):
    """Two requests in three months: what saturates the factory would not come within 63 bits of time."""
    trace = tmp_path / "rare.csv"
    trace.write_text("arrival_s,input_tokens,output_tokens\n0,500,50\n8000000,500,50\n")
    rates = []
    for load in (f"trace: {trace}", "arrivals: {kind: poisson, rate: 1e-7}, input: {mean: 500}, output: {mean: 50}"):
        text = (
            (ROOT / "examples" / "laptop.yaml").read_text(encoding="utf-8").replace("horizon: 30 min", "horizon: 200 d")
        )
        text = text.replace("trace: azure-2023-conversation, scale: 70% of sustainable", load)
        path = tmp_path / "f.yaml"
        path.write_text(text)
        assert main(["run", str(path), "--json", "--no-advice", "--out", str(tmp_path / "o")]) == 0
        rates.append(json.loads(capsys.readouterr().out)["services"][0]["sustainable_requests_s"])
    assert rates[0] == pytest.approx(rates[1], rel=0.02)
    assert rates[0] > 1


@pytest.mark.parametrize("arrivals", ["kind: closed-loop, clients: 4", "kind: static, requests: 40"])
def test_a_counted_load_sustains_what_the_same_requests_with_a_rate_do(arrivals, tmp_path, capsys):
    """Forty requests of one length end within moments of each other: by them alone it would be hundreds a second."""
    rates = []
    for kind in (arrivals, "kind: poisson, rate: 0.3"):
        text = (
            (ROOT / "examples" / "laptop.yaml").read_text(encoding="utf-8").replace("horizon: 30 min", "horizon: 2 min")
        )
        load = f"arrivals: {{{kind}}}, input: {{mean: 500}}, output: {{mean: 200}}"
        path = tmp_path / "f.yaml"
        path.write_text(text.replace("trace: azure-2023-conversation, scale: 70% of sustainable", load))
        assert main(["run", str(path), "--json", "--no-advice", "--out", str(tmp_path / "o")]) == 0
        rates.append(json.loads(capsys.readouterr().out)["services"][0]["sustainable_requests_s"])
    assert rates[0] == pytest.approx(rates[1], rel=0.02)
