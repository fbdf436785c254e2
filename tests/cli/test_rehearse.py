"""`tokenworks rehearse`: exit codes, ranges, what is refused before anything runs."""

import json

import pyarrow.parquet as parquet
import pytest

from tokenworks.cli.main import main
from tokenworks.ledger import Ledger

RUN = (
    "--quiet",
    "--no-advice",
    "--set",
    "run.horizon=60 s",
    "--set",
    "run.warmup=0 s",
    "--set",
    "workload.0.scale=1 req/s",
)


@pytest.fixture(scope="module")
def places(tmp_path_factory):
    """A ledger of a run, one of a slower run, and the first one's usage as an export."""
    folder = tmp_path_factory.mktemp("live")
    for name, more in (("same", ()), ("slow", ("--set", "services.chat.precision=bf16"))):
        place = str(folder / f"{name}.db")
        assert main(["run", "laptop", *RUN, *more, "--out", str(folder / name), "--ledger", place, "--requests"]) == 0
    with Ledger.open(folder / "same.db", read_only=True) as ledger:
        parquet.write_table(ledger.usage_table(), folder / "usage.parquet")
    return folder


@pytest.mark.parametrize("traffic", ["same.db", "usage.parquet", "same/requests.parquet"])
def test_no_drift_ends_with_0(traffic, places, capsys):
    assert main(["rehearse", str(places / traffic), "laptop", "--json"]) == 0
    found = json.loads(capsys.readouterr().out)
    assert found["drift"] is False
    assert found["verdict"].startswith("✓ No drift")
    assert found["traffic"]["requests"] > 40


def test_drift_ends_with_1_and_is_written(places, tmp_path, capsys):
    out = tmp_path / "out"
    assert main(["rehearse", str(places / "slow.db"), "laptop", "--out", str(out)]) == 1
    assert capsys.readouterr().out.startswith("✗ DRIFT")
    assert sorted(p.name for p in out.iterdir()) == ["rehearse.html", "rehearse.json"]
    assert json.loads((out / "rehearse.json").read_text())["drift"] is True


def test_strict_alarms_at_the_bounds_alone(places, capsys):
    bounds = [f"--bound={name}=1000%" for name in ("throughput", "tail", "queue", "energy", "cost")]
    wide = [*bounds, "--bound=p50=1000%"]
    assert main(["rehearse", str(places / "slow.db"), "laptop", *wide, "--strict"]) == 0
    assert main(["rehearse", str(places / "slow.db"), "laptop", *bounds, "--bound=p50=1%"]) == 1
    capsys.readouterr()


def test_a_range_of_the_ledger(places, capsys):
    arguments = ["rehearse", str(places / "same.db"), "laptop", "--json", "--warmup", "0 s"]
    main([*arguments, "--from", "2026-01-01T00:00:20Z", "--to", "2026-01-01T00:00:40Z"])
    cut = json.loads(capsys.readouterr().out)["traffic"]["requests"]
    main(arguments)
    assert 5 < cut < json.loads(capsys.readouterr().out)["traffic"]["requests"] - 5


def test_a_shipped_trace_shows_what_the_twin_makes_of_it(tmp_path, capsys):
    (tmp_path / "t.csv").write_text(
        "arrival_s,input_tokens,output_tokens\n" + "".join(f"{i},100,20\n" for i in range(30))
    )
    assert main(["rehearse", str(tmp_path / "t.csv"), "laptop"]) == 0
    said = capsys.readouterr().out
    assert "has no latencies" in said.replace("\n", " ")
    assert "–" in said


@pytest.mark.parametrize(
    ("arguments", "said"),
    [
        (["nowhere.db", "laptop"], "no trace or file 'nowhere.db'"),
        (["same.db", "nofactory"], "no such file: nofactory"),
        (["same.db", "laptop", "--bound", "ttft=1%"], "write NAME=SHARE"),
        (["same.db", "laptop", "--bound", "p50=x"], "--bound p50"),
        (["same.db", "laptop", "--from", "yesterday"], "2026-03-01T00:00:00Z"),
        (["same.db", "laptop", "--from", "2026-01-02T00:00:00Z", "--to", "2026-01-01T00:00:00Z"], "is not before"),
        (["same.db", "laptop", "--from", "2027-01-02T00:00:00Z"], "nothing to replay: no events"),
        (["same.db", "laptop", "--service", "chat"], "--service belongs to a trace"),
        (["same.db", "laptop", "--warmup", "3"], "--warmup"),
        (["same.db", "laptop", "--warmup", "2 h"], "no request arrives after the warm-up"),
        (["same/requests.parquet", "laptop", "--from", "2026-01-02T00:00:00Z"], "belong to a ledger"),
        (["same.db", "agents"], "its events are of chat, the factory has assistant"),
    ],
)
def test_what_is_refused(arguments, said, places, monkeypatch, tmp_path, capsys):
    monkeypatch.chdir(places)
    assert main(["rehearse", *arguments, "--out", str(tmp_path / "out")]) == 2
    assert said in capsys.readouterr().err
    assert not (tmp_path / "out").exists()
