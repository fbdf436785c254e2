"""Site calibration: a handful of measurements makes their deployment sharper and leaves all others alone."""

import json
import shlex
import shutil
from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest

from tokenworks.accuracy.packed import load_measurements
from tokenworks.accuracy.site_fit import fit_site, predicted
from tokenworks.accuracy.site_sweeps import held_out, load_of, spread_points, sweeps, without_own
from tokenworks.accuracy.splits import configuration, validation_twins
from tokenworks.api import load
from tokenworks.cli.main import main
from tokenworks.physics.fleet import fleet
from tokenworks.physics.site import read_site
from tokenworks.physics.terms import NAMES, resolve

FOLDER = Path(__file__).parent / "site_results"
FLAGS = [
    "--accelerator",
    "h100-sxm",
    "--engine",
    "vllm",
    "--engine-version",
    "0.11.0",
    "--weights",
    "bf16",
    "--tp",
    "1",
]
FACTORY = """\
factory: one
systems:
  - {id: a, system: hgx-h100, count: 1, rent: {}}
services:
  - {name: chat, model: llama-3.1-8b, engine: vllm, engine_version: 0.11.0, tp: 1, workers: 2}
  - {name: wide, model: llama-3.1-8b, engine: vllm, engine_version: 0.11.0, tp: 2, workers: 1}
workload:
  - {service: chat, trace: azure-2023-conversation, scale: 60% of sustainable}
  - {service: wide, trace: azure-2023-conversation, scale: 20% of sustainable}
run: {horizon: 20 s, warmup: 4 s}
"""


@pytest.fixture(scope="module")
def published():
    return sweeps(load_measurements())


@pytest.fixture
def place(tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    monkeypatch.delenv("TOKENWORKS_SITE", raising=False)
    shutil.copytree(FOLDER, tmp_path / "results")
    (tmp_path / "factory.yaml").write_text(FACTORY)
    return tmp_path


def calibrate(*arguments):
    return main(["calibrate", "--with", *arguments])


def test_sweeps_hold_no_twin_of_a_validation_row(published):
    twins = validation_twins(load_measurements())
    assert len(published) > 300
    assert not any(configuration(case.row) in twins for sweep in published for case in sweep.cases)
    assert all(len({load_of(case.row) for case in sweep.cases}) == len(sweep.cases) >= 8 for sweep in published)


def test_known_points_are_spread_without_a_look_at_targets(published):
    rows = [case.row for case in published[0].cases]
    chosen = spread_points(rows, 5)
    assert len(set(chosen)) == 5
    assert spread_points(rows, 5) == chosen
    loads = np.array([load_of(row) for row in rows])
    assert (loads[chosen].min(axis=0) == loads.min(axis=0)).all()
    assert (loads[chosen].max(axis=0) == loads.max(axis=0)).all()


def test_a_published_sweep_becomes_sharper(published):
    sweep = next(s for s in published if s.name.startswith("aic_silicon_inferencex") and len(s.cases) >= 12)
    found = held_out(sweep, 5, without_own())
    before, after = (np.nanmedian(np.abs(np.expm1(-gaps[:, 1]))) for gaps in (found.before, found.after))
    assert after < 0.04
    assert after < before


def test_one_bad_point_does_not_lead(published):
    sweep = next(s for s in published if s.name.startswith("aic_silicon_inferencex") and len(s.cases) >= 12)
    known = spread_points([case.row for case in sweep.cases], 6)
    rest = [case for number, case in enumerate(sweep.cases) if number not in known]
    target = np.array([case.log_target for case in rest])
    cases = [sweep.cases[number] for number in known]
    bad = [*cases[:3], replace(cases[3], log_target=cases[3].log_target + 1.0), *cases[4:]]
    good, led = (np.nanmedian(np.abs(target - predicted(rest, fit_site(its)))[:, 1]) for its in (cases, bad))
    assert led < good + 0.03


def test_no_point_of_another_deployment_moves(place):
    assert calibrate("results/vllm.json", *FLAGS) == 0
    with_site, without = fleet(load("factory.yaml", site="site-calibration.json")), fleet(load("factory.yaml"))
    assert with_site[0].deployment.site.points == 1
    assert resolve(with_site[0].deployment) != resolve(without[0].deployment)
    assert with_site[1] == without[1]
    site = read_site(Path("site-calibration.json"))
    measured = with_site[0].deployment
    for change in (
        {"tp": 4},
        {"weights": "fp8"},
        {"model": "llama-3.1-70b"},
        {"accelerator": "h200-sxm"},
        {"engine_version": "0.12"},
        {"kv": "fp8"},
    ):
        assert site.of(replace(measured, **change)) is None
    assert site.of(replace(measured, max_seqs=8)) is not None


def test_every_format_calibrates_and_the_same_bytes_come_twice(place):
    cases = {
        "vllm.json": FLAGS, "profile_export_aiperf.json": FLAGS, "profile_export_genai_perf.json": FLAGS, "mine.csv": FLAGS,
        "agg_inferencex.json": ["--accelerator", "h100-sxm"],
        "sglang.jsonl": ["--accelerator", "h100-sxm", "--weights", "bf16"],
    }  # fmt: skip
    for name, flags in cases.items():
        assert calibrate(f"results/{name}", *flags, "--out", "a.json") == 0
        first = Path("a.json").read_bytes()
        assert calibrate(f"results/{name}", *flags, "--out", "a.json") == 0
        assert Path("a.json").read_bytes() == first
        table = json.loads(first)
        (deployment,) = table["deployments"]
        assert deployment["deployment"]["model"] == "llama-3.1-8b"
        assert set(deployment["effects"]) <= set(NAMES)
        assert deployment["points"][0]["measured"]["tpot_s_mean"] > 0


def test_more_points_narrow_the_interval_and_the_errors(place, capsys):
    files = ["results/vllm.json", "results/profile_export_genai_perf.json", "results/mine.csv"]
    assert calibrate(*files, *FLAGS) == 0
    said = capsys.readouterr().out
    assert "4 points" in said
    (entry,) = json.loads(Path("site-calibration.json").read_text())["deployments"]
    before, after = ([abs(p[key]["tpot_s_mean"]) for p in entry["points"]] for key in ("error_before", "error_after"))
    assert np.median(after) < np.median(before)
    assert set(entry["intervals"]) == {"throughput", "tpot", "ttft"}


def test_a_run_says_that_it_used_the_calibration(place, capsys, monkeypatch):
    assert calibrate("results/vllm.json", "--factory", "factory.yaml", "--service", "chat", "--workers", "1") == 0
    capsys.readouterr()
    said = (
        "Site calibration site-calibration.json: chat from 1 measurement, wide as shipped (measured was tp 1, not 2)."
    )
    assert main(["check", "factory.yaml", "--site", "site-calibration.json"]) == 0
    assert said in capsys.readouterr().out
    assert main(["run", "factory.yaml", "--no-advice", "--site", "site-calibration.json"]) == 0
    assert said in " ".join(capsys.readouterr().out.split())
    monkeypatch.setenv("TOKENWORKS_SITE", "site-calibration.json")
    assert main(["estimate", "factory.yaml"]) == 0
    assert said in capsys.readouterr().out
    monkeypatch.delenv("TOKENWORKS_SITE")
    Path("named.yaml").write_text(FACTORY + "calibration: site-calibration.json\n")
    assert fleet(load("named.yaml"))[0].deployment.site is not None
    assert main(["estimate", "factory.yaml"]) == 0
    assert "Site calibration" not in capsys.readouterr().out


WRONG = {
    "no accelerator": (["results/vllm.json", *FLAGS[2:]], "vllm.json does not say the accelerator: name it with --accelerator"),
    "no degrees": (["results/vllm.json", *FLAGS[:-2]], "does not say the tp: name it with --tp"),
    "no weights": (["results/sglang.jsonl", "--accelerator", "h100-sxm"], "does not say the weights: name it with --weights"),
    "another model": (["results/vllm.json", *FLAGS, "--model", "llama-3.1-70b"], "model_id says llama-3.1-8b, but --model says llama-3.1-70b"),
    "another degree": (["results/agg_inferencex.json", *FLAGS[:-1], "2"], "tp says 1, but --tp says 2"),
    "unknown accelerator": (["results/vllm.json", "--accelerator", "h100-sxx", *FLAGS[2:]], "Did you mean h100-sxm"),
    "two deployments": (["results/vllm.json", *FLAGS, "--factory", "factory.yaml"], "--accelerator and --factory"),
    "which service": (["results/vllm.json", "--factory", "factory.yaml"], "--service, chat or wide"),
    "no such service": (["results/vllm.json", "--factory", "factory.yaml", "--service", "x"], "there are chat, wide"),
    "how many workers": (["results/vllm.json", "--factory", "factory.yaml", "--service", "chat"], "--workers 1 for one, --workers 2 for all"),
    "service of no factory": (["results/vllm.json", "--service", "chat"], "--service chat needs --factory"),
    "not a calibration": (["results/vllm.json", *FLAGS, "--out", "results/vllm.json"], "no site calibration: name another file"),
    "a folder": (["results/vllm.json", *FLAGS, "--out", "results"], "is a folder"),
}  # fmt: skip


@pytest.mark.parametrize("case", WRONG)
def test_what_is_missing_or_contradicted_names_file_key_and_flag(place, capsys, case):
    arguments, said = WRONG[case]
    before = sorted(p.name for p in place.rglob("*"))
    assert calibrate(*arguments) == 2
    assert said in capsys.readouterr().err
    assert sorted(p.name for p in place.rglob("*")) == before


def test_flags_of_a_site_calibration_need_results(place, capsys):
    assert main(["calibrate", "--tp", "2"]) == 2
    assert "name the results with --with" in capsys.readouterr().err


def test_nothing_is_half_written(place, capsys, monkeypatch):
    assert calibrate("results/vllm.json", *FLAGS) == 0
    old = Path("site-calibration.json").read_bytes()

    def full(*_):
        raise OSError(28, "No space left on device")

    monkeypatch.setattr("os.replace", full)
    assert calibrate("results/mine.csv", *FLAGS) == 2
    assert Path("site-calibration.json").read_bytes() == old
    assert not list(place.glob("*.part"))


BROKEN = {
    "missing": (None, "no such site calibration"),
    "no JSON": ("{", "is not a site calibration"),
    "another file": ("{}", "is not a site calibration"),
    "other calibration": ('{"format": "tokenworks site calibration", "shipped": "x"}', "another shipped calibration"),
    "damaged": ('{"format": "tokenworks site calibration", "shipped": "SHIPPED"}', "is damaged"),
    "strange term": (
        '{"format": "tokenworks site calibration", "shipped": "SHIPPED", "deployments": [{"deployment": {"accelerator": "a", "model": "m", "engine": "e", '
        '"engine_version": "", "weights": "bf16", "kv": "bf16", "tp": 1, "pp": 1, "dp": 1, "ep": 1, "draft_tokens": 0}, "effects": {"magic": 1}}]}',
        "there is no term magic",
    ),
}


@pytest.mark.parametrize("case", BROKEN)
def test_a_site_calibration_that_cannot_be_used(place, capsys, case):
    from tokenworks.physics.site import shipped_id

    text, said = BROKEN[case]
    if text is not None:
        Path("s.json").write_text(text.replace("SHIPPED", shipped_id()))
    assert main(["check", "factory.yaml", "--site", "s.json"]) == 2
    assert said in capsys.readouterr().err


def test_every_command_of_the_page_works(place, capsys):
    page = (Path(__file__).parents[2] / "docs" / "site-calibration.md").read_text()
    commands = [
        line for block in page.split("```")[1::2] for line in block.splitlines() if line.startswith("tokenworks ")
    ]
    assert len(commands) == 8
    for command in commands:
        assert main(shlex.split(command)[1:]) == 0, command
