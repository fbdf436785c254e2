"""`run --what-if` compares changed factories with the one that was asked for."""

import json

import pytest

from tokenworks.cli.main import main

RUN = ["run", "laptop", "--set", "run.horizon=2 min", "--set", "run.warmup=0 s", "--set", "workload.0.scale=2 req/s"]


def compared(tmp_path, capsys, *changes):
    options = [part for change in changes for part in ("--what-if", change)]
    assert main([*RUN, "--json", "--out", str(tmp_path), *options]) == 0
    return json.loads(capsys.readouterr().out)["what_ifs"]


def test_no_change_changes_nothing_and_dearer_power_costs_more(tmp_path, capsys):
    same, dear = compared(tmp_path, capsys, "run.seed=1", "site.energy_price=$1/kWh")
    assert same["label"] == "run.seed = 1"
    assert all(change == 0 for _, change in same["effects"])
    by_name = dict(dear["effects"])
    assert by_name["$/Mtok"] > 0.5
    assert by_name["output tokens/s"] == by_name["TPOT p95"] == 0


@pytest.mark.parametrize(
    ("option", "change", "said"),
    [("--what-if", "run.seed", "write PATH=VALUE"), ("--set", "x", "write PATH=VALUE"), ("--what-if", "services.chat.precisionn=fp8", "precision")],
)  # fmt: skip
def test_what_cannot_be_changed_is_said_before_anything_runs(tmp_path, capsys, option, change, said):
    assert main([*RUN, "--out", str(tmp_path / "o"), option, change]) == 2
    assert said in capsys.readouterr().err
    assert not (tmp_path / "o").exists()
