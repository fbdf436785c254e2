"""`make prove`: it wants PostgreSQL, and names every proof with its figure."""

import importlib.util
import os
import subprocess
import sys
from pathlib import Path

import pytest

ROOT = Path(__file__).parents[2]
NOWHERE = {**os.environ, "TOKENWORKS_TEST_POSTGRES": "postgresql://nobody@127.0.0.1:9/none"}
REPORT = """<testsuites><testsuite>
<testcase name="test_a_hundred_times_killed[sqlite]" time="41.6">
  <properties><property name="figure" value="300,000 events, 0 lost"/></properties></testcase>
<testcase name="test_left_out" time="0"><skipped message="no server"/></testcase>
</testsuite></testsuites>"""


@pytest.fixture(scope="module")
def prove():
    found = importlib.util.spec_from_file_location("prove", ROOT / "benchmarks" / "prove.py")
    module = importlib.util.module_from_spec(found)
    found.loader.exec_module(module)
    return module


def test_without_postgresql_nothing_is_proved():
    ran = subprocess.run(
        [sys.executable, ROOT / "benchmarks/prove.py"], env=NOWHERE, capture_output=True, text=True, check=False
    )
    assert ran.returncode == 1
    assert "127.0.0.1:9" in ran.stderr
    assert "docker run" in ran.stderr
    assert ran.stdout == ""


def test_tests_that_need_postgresql_are_named_where_none_answers():
    here = ["-n", "0", "tests/ledger/test_killed.py", "-k", "five"]
    ran = subprocess.run(
        [sys.executable, "-m", "pytest", *here], env=NOWHERE, capture_output=True, text=True, check=False, cwd=ROOT
    )
    assert ran.returncode == 0, ran.stdout
    assert "tests/ledger/test_killed.py::test_five_times_killed[postgresql]" in ran.stdout
    assert "TOKENWORKS_TEST_POSTGRES" in ran.stdout


def test_each_proof_is_named_with_its_figure(prove, tmp_path):
    report = tmp_path / "prove.xml"
    report.write_text(REPORT)
    rows = prove.proofs(report)
    assert [row["skipped"] for row in rows] == [False, True]
    text = prove.page({"full-size proofs": {"date": "2026-01-01", "said": "1 passed", "proofs": rows[:1]}})
    assert "| a hundred times killed[sqlite] | 300,000 events, 0 lost | 42 |" in text
