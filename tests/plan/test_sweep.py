"""`sweep`: every point as `run` would have it, the same bytes however the work is shared out or cut short."""

import csv
import json
import sys

import pyarrow.parquet as parquet
import pytest
from small import FILE

from tokenworks.cli.main import main
from tokenworks.plan.sweep.axes import axis
from tokenworks.plan.sweep.journal import Journal
from tokenworks.plan.sweep.points import grid
from tokenworks.plan.sweep.run import sweep
from tokenworks.rehearsal import run_factory
from tokenworks.spec import loads
from tokenworks.twin.spread import Crew

OVER = ["--over", "services.chat.tp=1,2,3", "--over", "workload.chat.arrivals.rate=4,8"]
FILES = ("sweep.csv", "sweep.parquet", "sweep.html")


@pytest.fixture
def factory(tmp_path):
    path = tmp_path / "factory.yaml"
    path.write_text(FILE)
    return str(path)


def swept(factory, out, *more):
    code = main(["sweep", factory, *OVER, "--out", str(out), "--quiet", *more])
    return code, {name: (out / name).read_bytes() for name in FILES}


def rows(found):
    return list(csv.DictReader(found["sweep.csv"].decode().splitlines()))


def test_points_are_what_run_says_and_the_cheapest_that_does_what_is_asked_is_best(factory, tmp_path, capsys):
    assert main(["sweep", factory, *OVER, "--out", str(tmp_path / "out"), "--processes", "1"]) == 0
    said = capsys.readouterr().out
    assert all(len(line) <= 80 for line in said.splitlines() if not line.startswith("Files"))
    table = parquet.read_table(tmp_path / "out/sweep.parquet").to_pylist()
    assert [(r["services.chat.tp"], r["workload.chat.arrivals.rate"]) for r in table] == [
        (tp, rate) for tp in "123" for rate in "48"
    ]
    for row in table[:4]:
        alone = run_factory(
            loads(FILE).replace_all(
                {
                    "services.chat.tp": row["services.chat.tp"],
                    "workload.chat.arrivals.rate": row["workload.chat.arrivals.rate"],
                }
            )
        )
        assert row["usd_per_mtok"] == alone.usd_per_mtok.value
        assert row["chat.ttft_p95_s"] == alone.services[0].ttft.p95_s
        assert row["tokens_per_j"] == alone.tokens_per_j_facility
    fit = [r for r in table if r["state"] == "ok"]
    best = min(fit, key=lambda r: r["usd_per_mtok"])
    assert f"(point {best['point']})" in " ".join(said.split())
    assert [r["state"] for r in table[4:]] == ["impossible", "impossible"]
    assert "does not divide" in table[4]["reason"]
    assert table[4]["usd_per_mtok"] is None


def test_the_same_bytes_on_one_and_on_two_processes(factory, tmp_path):
    code, one = swept(factory, tmp_path / "one", "--processes", "1")
    assert code == 0
    assert swept(factory, tmp_path / "two", "--processes", "2") == (0, one)


def test_a_sweep_goes_on_after_a_crash_in_the_middle_of_a_line(factory, tmp_path):
    _, whole = swept(factory, tmp_path / "out", "--processes", "1")
    journal = tmp_path / "out/journal.jsonl"
    lines = journal.read_bytes().splitlines(keepends=True)
    assert len(lines) == 6
    kept = lines[0] + lines[1] + lines[2][:40]
    journal.write_bytes(kept)
    assert swept(factory, tmp_path / "out", "--processes", "2") == (0, whole)
    again = journal.read_bytes()
    assert again.startswith(kept)
    assert again.count(b"\n") == 2 + 1 + 4  # two kept, the broken one ended, four done again


def test_points_of_another_factory_are_not_taken(factory, tmp_path):
    _, before = swept(factory, tmp_path / "out", "--processes", "1")
    with open(factory, "w") as out:
        out.write(FILE.replace("seed: 3", "seed: 4"))
    _, after = swept(factory, tmp_path / "out", "--processes", "1")
    assert rows(before)[0]["usd_per_mtok"] != rows(after)[0]["usd_per_mtok"]
    assert (tmp_path / "out/journal.jsonl").read_bytes().count(b"\n") == 12
    with open(factory, "w") as out:
        out.write(FILE)
    assert swept(factory, tmp_path / "out", "--processes", "1") == (0, before)
    assert (tmp_path / "out/journal.jsonl").read_bytes().count(b"\n") == 12  # nothing was done again


def test_stopped_it_keeps_what_is_done_and_goes_on(tmp_path):
    points, seen = grid([axis("workload.chat.arrivals.rate=1,2,3,4")]), []
    with Journal(tmp_path / "j") as journal:
        part = sweep(loads(FILE), points, Crew(1), journal, say=seen.append, stop=lambda: len(seen) >= 3)
    assert (len(part.rows), part.asked) == (2, 4)
    with Journal(tmp_path / "j") as journal:
        assert len(journal.rows) == 2
        whole = sweep(loads(FILE), points, Crew(1), journal)
    with Journal(tmp_path / "other") as journal:
        assert whole == sweep(loads(FILE), points, Crew(1), journal)
    assert whole.rows[:2] == part.rows


@pytest.mark.parametrize(
    ("over", "said"),
    [
        ("services.chat.tpp=1,2", "Did you mean tp"),
        ("services.chit.tp=1,2", "Did you mean chat"),
        ("services.chat.tp.x=1,2", "tp is a single value"),
        ("services.chat.tp", "write a path and its values"),
        ("services.chat.tp=1,,2", "a value is empty"),
        ("services.chat.tp=1,1", "stands twice"),
        ("run.seed=1..9", "needs --sample"),
        ("run.seed=9..1", "the range is empty"),
    ],
)
def test_what_cannot_be_swept_is_said_before_anything_runs(factory, tmp_path, capsys, over, said):
    assert main(["sweep", factory, "--over", over, "--out", str(tmp_path / "out")]) == 2
    assert said in capsys.readouterr().err
    assert not (tmp_path / "out").exists()


def test_paths_inside_each_other_are_refused(factory, capsys):
    assert main(["sweep", factory, "--over", "run.seed=1,2", "--over", "run.seed=3"]) == 2
    assert main(["sweep", factory, "--over", "run={seed: 1},{seed: 2}", "--over", "run.seed=3,4"]) == 2
    assert "lies inside run" in capsys.readouterr().err


def test_json_has_the_sample_as_asked_for(factory, tmp_path, capsys):
    arguments = [
        "--over",
        "workload.chat.arrivals.rate=2..10",
        "--sample",
        "4",
        "--seed",
        "5",
        "--json",
        "--processes",
        "1",
    ]
    assert main(["sweep", factory, *arguments, "--out", str(tmp_path / "out")]) == 0
    found = json.loads(capsys.readouterr().out)
    rates = [int(p["workload.chat.arrivals.rate"]) for p in found["points"]]
    assert len(rates) == 4  # of nine whole numbers, one in each quarter of [2, 11)
    assert all(2 + 9 * i / 4 - 1 < r < 2 + 9 * (i + 1) / 4 for i, r in enumerate(sorted(rates)))
    assert found["points"][found["best"] - 1]["usd_per_mtok"] == min(p["usd_per_mtok"] for p in found["points"])


def test_without_ray_the_line_that_installs_it_is_said(factory, tmp_path, capsys, monkeypatch):
    monkeypatch.setitem(sys.modules, "ray", None)
    assert main(["sweep", factory, *OVER, "--out", str(tmp_path / "out"), "--workers", "ray"]) == 2
    assert 'pip install "tokenworks[ray]"' in capsys.readouterr().err
