"""Ctrl-C on a real process, and a disk on which nothing fits."""

import json
import resource
import subprocess
import sys
from shutil import rmtree

import pytest

from tokenworks.cli.main import main

# The process sends itself the signal that a terminal would, at a stage of the run that the test chooses.
PRESS = """
import importlib, os, signal, sys
from tokenworks.cli.main import main
(name, _, stage), times, at = sys.argv[1].partition("."), int(sys.argv[2]), int(sys.argv[3])
module, calls = importlib.import_module(f"tokenworks.rehearsal.{name}"), []
real = getattr(module, stage)
def pressed(*args, **more):
    calls.append(1)
    for _ in range(times if len(calls) == at else 0):
        os.kill(os.getpid(), signal.SIGINT)
    return real(*args, **more)
setattr(module, stage, pressed)
sys.exit(main(sys.argv[4:]))
"""
RUN = ["run", "laptop", "--set", "run.horizon=10 min", "--set", "run.warmup=0 s"]


def press(stage, times, *args, at=1):
    """Ctrl-C, so many times, when a stage is reached for the ``at``-th time."""
    return subprocess.run(
        [sys.executable, "-c", PRESS, stage, str(times), str(at), *RUN, *args],
        capture_output=True,
        text=True,
        timeout=120,
    )


def test_ctrl_c_reports_what_was_done(tmp_path):
    done = press("run.play", 1, "--out", str(tmp_path))
    assert done.returncode == 130
    assert "INTERRUPTED" in done.stdout
    assert "only the part of the run" in done.stdout
    assert "the report covers what is simulated so far" in done.stderr
    result = json.loads((tmp_path / "result.json").read_text())
    assert result["interrupted"] is True
    assert 0 < result["horizon_s"] < 600
    assert len(result["timeline"]["time_s"]) == round(result["horizon_s"] / 2.5)
    assert "INTERRUPTED" in (tmp_path / "report.html").read_text()


@pytest.mark.parametrize(("stage", "times"), [("run.demands", 1), ("run.play", 2)])
def test_ctrl_c_with_nothing_done_or_twice_writes_nothing(tmp_path, stage, times):
    done = press(stage, times, "--out", str(tmp_path))
    assert done.returncode == 130
    assert done.stdout == ""
    assert "Traceback" not in done.stderr
    assert list(tmp_path.iterdir()) == []


WHAT_IF = ("--no-advice", "--what-if", "run.seed=2", "--what-if", "run.seed=3")


@pytest.mark.parametrize(
    ("stage", "at", "more", "what_ifs"),
    [
        ("run.play", 2, (), 0),  # the price of idleness
        ("advice.play", 1, (), 0),  # the unchanged factory, to compare with
        ("advice.play", 2, (), 0),  # the first change
        ("what_if.rehearse", 1, WHAT_IF, 0),
        ("what_if.rehearse", 2, WHAT_IF, 1),
        ("run.play", 3, WHAT_IF, 0),  # the first what-if, amid its play
    ],
)
def test_ctrl_c_after_the_run_ends_what_is_beside_it(tmp_path, stage, at, more, what_ifs):
    done = press(stage, 1, "--out", str(tmp_path), *more, at=at)
    assert (done.returncode, "Traceback" in done.stderr) == (130, False)
    result = json.loads((tmp_path / "result.json").read_text())
    assert result["interrupted"] is False
    assert result["horizon_s"] == 600
    assert len(result["what_ifs"]) == what_ifs
    assert result["advice"] == []
    assert ("price of idleness" in result["trace_note"]) == ((stage, at) != ("run.play", 2))


def test_full_disk_leaves_the_old_report_and_nothing_half_written(tmp_path):
    assert (
        main([*RUN, "--quiet", "--out", str(tmp_path / "before")]) == 0
    )  # compiled code is cached while there is room
    rmtree(tmp_path / "before")
    old = tmp_path / "report.html"
    old.write_text("old")
    done = subprocess.run(
        [sys.executable, "-m", "tokenworks", *RUN, "--out", str(tmp_path)],
        capture_output=True,
        text=True,
        timeout=120,
        preexec_fn=lambda: resource.setrlimit(resource.RLIMIT_FSIZE, (20_000, 20_000)),
    )
    assert done.returncode == 2
    assert "the disk is full" in done.stderr
    assert "Traceback" not in done.stderr
    assert old.read_text() == "old"
    assert [p.name for p in tmp_path.iterdir()] == ["report.html"]
