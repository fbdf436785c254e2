"""kill −9 at random moments: nothing acknowledged is lost, nothing is doubled, the chain holds."""

import os
import random
import signal
import subprocess
import sys
import time
from pathlib import Path

import pytest
from ledger_samples import usage

from tokenworks.ledger import Ledger

EVENTS = 3000  # of one round


def killed(place: str, tmp_path: Path, first: int, after: int, rest_s: float) -> set[int]:
    """Runs the writer, kills it a moment after so many acknowledgements; returns the acknowledged numbers."""
    heard = tmp_path / f"heard-{first}"
    here = Path(__file__).parent
    path = os.pathsep.join([str(here), str(here.parents[1] / "src")])
    command = [
        sys.executable,
        str(here / "killed_writer.py"),
        place,
        str(tmp_path / "segments"),
        str(first),
        str(EVENTS),
        str(heard),
    ]
    child = subprocess.Popen(command, env={**os.environ, "PYTHONPATH": path})
    try:
        while not heard.exists() or heard.read_bytes().count(b"\n") <= after:
            assert child.poll() is None, "the writer ended by itself"
            time.sleep(0.002)
        time.sleep(rest_s)
    finally:
        child.send_signal(signal.SIGKILL)
        child.wait()
    *lines, _ = heard.read_text().split("\n")  # the last may be cut
    return {int(line) for line in lines if line != "open"}


def rounds(place: str, tmp_path: Path, count: int, seed: int) -> tuple[int, int]:
    """Kill, reopen, retry all that was not acknowledged; returns acknowledged before and events stored in all."""
    dice, before_retry = random.Random(seed), 0
    for number in range(count):
        first = number * EVENTS
        heard = killed(place, tmp_path, first, dice.randrange(EVENTS // 2), dice.uniform(0.0, 0.02))
        before_retry += len(heard)
        with Ledger.open(place, segments=tmp_path / "segments") as ledger:
            acknowledged = ledger.append(usage(n) for n in sorted(heard))
            assert {receipt.status for receipt in acknowledged} <= {"duplicate"}, "an acknowledged event was lost"
            rest = [usage(n) for n in range(first, first + EVENTS) if n not in heard]
            assert {receipt.status for receipt in ledger.append(rest)} <= {"stored", "duplicate"}
            if number % 3 == 2:
                ledger.seal()
    return before_retry, count * EVENTS


def require_whole(place: str, tmp_path: Path, stored: int) -> None:
    with Ledger.open(place, segments=tmp_path / "segments", read_only=True) as ledger:
        verdict = ledger.verify()
        assert verdict.sound, verdict.reason
        found = ledger.query(
            "SELECT count(*) AS n, count(DISTINCT id) AS ids, sum(input_fresh)::BIGINT AS t FROM usage"
        )
        tokens = sum(100 + n for n in range(stored))
        assert found.to_pylist() == [{"n": stored, "ids": stored, "t": tokens}]
        sums = ledger.query("SELECT sum(events)::BIGINT AS n, sum(input_fresh)::BIGINT AS t FROM usage_sums")
        assert sums.to_pylist() == [{"n": stored, "t": tokens}]


def test_five_times_killed(place, tmp_path):
    heard, stored = rounds(place, tmp_path, 5, seed=1)
    assert 0 < heard < stored
    require_whole(place, tmp_path, stored)


@pytest.mark.prove
@pytest.mark.timeout(3600)
def test_a_hundred_times_killed(place, tmp_path, record_property):
    heard, stored = rounds(place, tmp_path, 100, seed=2)
    assert 0 < heard < stored
    require_whole(place, tmp_path, stored)
    record_property("figure", f"{stored:,} events, 0 lost, 0 doubled, chain intact")
