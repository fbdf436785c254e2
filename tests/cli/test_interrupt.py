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
import os, signal, sys
import tokenworks.rehearsal.run as run
from tokenworks.cli.main import main
stage, times = sys.argv[1], int(sys.argv[2])
real = getattr(run, stage)
def pressed(*args, **more):
    for _ in range(times):
        os.kill(os.getpid(), signal.SIGINT)
    return real(*args, **more)
setattr(run, stage, pressed)
sys.exit(main(sys.argv[3:]))
"""
RUN = ["run", "laptop", "--set", "run.horizon=10 min", "--set", "run.warmup=0 s"]


def press(stage, times, *args):
    return subprocess.run(
        [sys.executable, "-c", PRESS, stage, str(times), *RUN, *args], capture_output=True, text=True, timeout=120
    )


def test_ctrl_c_reports_what_was_done(tmp_path):
    done = press("play", 1, "--out", str(tmp_path))
    assert done.returncode == 130
    assert "INTERRUPTED" in done.stdout
    assert "only the part of the run" in done.stdout
    assert "the report covers what is simulated so far" in done.stderr
    result = json.loads((tmp_path / "result.json").read_text())
    assert result["interrupted"] is True
    assert 0 < result["horizon_s"] < 600
    assert len(result["timeline"]["time_s"]) == round(result["horizon_s"] / 2.5)
    assert "INTERRUPTED" in (tmp_path / "report.html").read_text()


@pytest.mark.parametrize(("stage", "times"), [("demands", 1), ("play", 2)])
def test_ctrl_c_with_nothing_done_or_twice_writes_nothing(tmp_path, stage, times):
    done = press(stage, times, "--out", str(tmp_path))
    assert done.returncode == 130
    assert done.stdout == ""
    assert "Traceback" not in done.stderr
    assert list(tmp_path.iterdir()) == []


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
