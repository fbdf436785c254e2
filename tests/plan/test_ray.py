"""Ray gives the bytes of one process. Run where Ray is installed; else these tests are skipped by name."""

import csv
import importlib.util
import os
import subprocess
import sys

import pyarrow.parquet as parquet
import pytest
from small import FILE

from tokenworks.accuracy.packed import PACKED, _text
from tokenworks.cli.main import main

HERE = importlib.util.find_spec("ray") is not None
pytestmark = pytest.mark.skipif(not HERE, reason='Ray is not installed: pip install "tokenworks[ray]"')
ON_RAY = ["--workers", "ray", "--processes", "2"]


def tokenworks(*arguments: str) -> None:
    """In a process of its own: Ray starts once in a process, and warns in ways that are not ours."""
    environment = {**os.environ, "RAY_USAGE_STATS_ENABLED": "0"}
    subprocess.run([sys.executable, "-m", "tokenworks", *arguments], check=True, env=environment)


def test_a_sweep_has_the_same_bytes(tmp_path):
    (tmp_path / "f.yaml").write_text(FILE)
    over = ["--over", "services.chat.tp=1,2,3", "--over", "workload.chat.arrivals.rate=4,8", "--quiet"]
    command = ["sweep", str(tmp_path / "f.yaml"), *over]
    assert main([*command, "--out", str(tmp_path / "one"), "--processes", "1"]) == 0
    tokenworks(*command, "--out", str(tmp_path / "ray"), *ON_RAY)
    for name in ("sweep.csv", "sweep.parquet", "sweep.html"):
        assert (tmp_path / "ray" / name).read_bytes() == (tmp_path / "one" / name).read_bytes()


def test_validation_has_the_same_bytes(tmp_path):
    rows = [{key: _text(value) for key, value in row.items()} for row in parquet.read_table(PACKED).to_pylist()[::110]]
    with open(tmp_path / "table.csv", "w", newline="", encoding="utf-8") as out:
        writer = csv.DictWriter(out, list(rows[0]))
        writer.writeheader()
        writer.writerows(rows)
    command = ["validate", str(tmp_path / "table.csv"), "--quiet", "--predictions"]
    assert main([*command, str(tmp_path / "one.csv"), "--processes", "1"]) == 0
    tokenworks(*command, str(tmp_path / "ray.csv"), *ON_RAY)
    assert (tmp_path / "ray.csv").read_bytes() == (tmp_path / "one.csv").read_bytes()
