"""Ctrl-C and a killed process leave a sweep that goes on."""

import os
import signal
import subprocess
import sys
import time

import pytest
from small import FILE

pytestmark = pytest.mark.skipif(not os.path.isdir("/proc"), reason="looks for processes in /proc")
ENDED = {signal.SIGINT: 130, signal.SIGKILL: -signal.SIGKILL}


@pytest.mark.parametrize("sign", ENDED)
def test_a_sweep_that_is_cut_short_goes_on(tmp_path, sign):
    (tmp_path / "f.yaml").write_text(FILE)
    over = ["--over", "run.seed=1..100000", "--sample", "60"]
    command = [
        sys.executable,
        "-m",
        "tokenworks",
        "sweep",
        str(tmp_path / "f.yaml"),
        *over,
        "--quiet",
        "--processes",
        "2",
    ]
    cut = [*command, "--out", str(tmp_path / "cut")]
    journal = tmp_path / "cut/journal.jsonl"
    with subprocess.Popen(cut, stderr=subprocess.PIPE) as process:
        until(lambda: journal.exists() and journal.read_bytes().count(b"\n") >= 3)
        workers = children(process.pid)
        process.send_signal(sign)
        _, said = process.communicate(timeout=60)
    assert process.returncode == ENDED[sign]
    assert len(workers) == 2
    until(lambda: not any(map(alive, workers)))  # nobody is left behind
    done = journal.read_bytes().count(b"\n")
    assert 3 <= done < 60
    if sign == signal.SIGINT:
        assert b"goes on from there" in said
        assert len((tmp_path / "cut/sweep.csv").read_text().splitlines()) == 1 + done
    subprocess.run(cut, check=True)
    subprocess.run([*command, "--out", str(tmp_path / "whole")], check=True)
    for name in ("sweep.csv", "sweep.parquet", "sweep.html"):
        assert (tmp_path / "cut" / name).read_bytes() == (tmp_path / "whole" / name).read_bytes()


def until(true) -> None:
    end = time.monotonic() + 120
    while not true():
        assert time.monotonic() < end
        time.sleep(0.02)


def children(parent: int) -> list[int]:
    found = []
    for name in filter(str.isdigit, os.listdir("/proc")):
        try:
            with open(f"/proc/{name}/stat") as stat:
                if int(stat.read().rpartition(")")[2].split()[1]) == parent:
                    found.append(int(name))
        except OSError:
            continue
    return found


def alive(process: int) -> bool:
    """Not gone, nor a zombie that nobody has asked after."""
    try:
        with open(f"/proc/{process}/stat") as stat:
            return stat.read().rpartition(")")[2].split()[0] != "Z"
    except OSError:
        return False
