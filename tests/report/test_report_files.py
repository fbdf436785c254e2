"""Files: whole or not at all; JSON, Parquet, traces; progress."""

from __future__ import annotations

import errno
import json
import os
import sys
import time
from dataclasses import replace
from pathlib import Path

import numpy as np
import pyarrow.parquet as parquet
import pytest
from sample import sample

from tokenworks.errors import OutputError
from tokenworks.events.requests import Requests
from tokenworks.events.results import RunResult
from tokenworks.report.files import FORMAT, to_json, write_whole
from tokenworks.report.perfetto import Span, trace
from tokenworks.report.progress import progress
from tokenworks.report.tables import parquet_bytes, requests_table
from tokenworks.twin.cell import FINISHED, IN_SYSTEM, REJECTED_QUEUE_FULL, RequestLog


def test_a_full_disk_leaves_the_old_file(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    path = tmp_path / "report.html"
    write_whole(path, b"old")

    def full(*_: object) -> None:
        raise OSError(errno.ENOSPC, "No space left on device")

    monkeypatch.setattr(os, "replace", full)
    with pytest.raises(OutputError, match="the disk is full"):
        write_whole(path, b"new")
    assert path.read_bytes() == b"old"
    assert list(tmp_path.iterdir()) == [path]


def test_files_are_readable_by_whom_the_mask_allows(tmp_path: Path) -> None:
    before = os.umask(0o027)
    try:
        write_whole(tmp_path / "deep" / "a.json", b"{}")
    finally:
        os.umask(before)
    assert (tmp_path / "deep" / "a.json").stat().st_mode & 0o777 == 0o640


def test_json_is_stable_and_whole() -> None:
    said = json.loads(to_json(sample()))
    assert said["format"] == FORMAT
    assert said["money"]["total_usd"] == sample().money.total_usd
    assert said["services"][1]["name"] == "helper"
    assert len(said["timeline"]["it_w"]) == 240
    assert to_json(sample()) == to_json(sample())


def test_json_knows_no_infinity() -> None:
    result = sample()
    said = json.loads(to_json(replace(result, money=replace(result.money, usd_per_mtok_output=float("inf")))))
    assert said["money"]["usd_per_mtok_output"] is None


def ticks(*seconds: float) -> np.ndarray:
    return np.array([round(s * 1e11) for s in seconds], np.int64)


def three_requests() -> tuple[Requests, RequestLog]:
    """One finished, one rejected, one that still decodes."""
    n = 3
    zeros = np.zeros(n, np.int64)
    requests = Requests(
        arrival=ticks(0.0, 1.0, 2.0),
        input_tokens=np.array([100, 200, 300], np.int32),
        output_tokens=np.array([11, 20, 30], np.int32),
        service=np.array([0, 1, 0], np.int16),
        tenant=zeros.astype(np.int32),
        session=zeros - 1,
        priority=zeros.astype(np.int8),
        timeout=zeros,
        think=zeros,
        block_start=np.zeros(n + 1, np.int64),
        block_hash=np.zeros(0, np.uint64),
        hash_block_tokens=16,
    )
    log = RequestLog(
        arrival=requests.arrival,
        first_token=np.array([ticks(0.5)[0], -1, ticks(2.25)[0]]),
        finish=np.array([ticks(1.5)[0], ticks(1.0)[0], -1]),
        status=np.array([FINISHED, REJECTED_QUEUE_FULL, IN_SYSTEM], np.int8),
        produced=np.array([11, 0, 7], np.int32),
        cached=np.array([64, 0, 0], np.int32),
        preemptions=np.array([1, 0, 0], np.int32),
        worker=np.array([4, -1, 2], np.int32),
    )
    return requests, log


def two_services() -> RunResult:
    """The sample with services that the requests name."""
    result = sample()
    chat, code = (replace(s, name=name) for s, name in zip(result.services, ("chat", "code"), strict=True))
    named = {s.name: new for s, new in zip(result.services, ("chat", "code"), strict=True)}
    rows = tuple(replace(row, parent=named.get(row.parent, "")) for row in result.money.allocation)
    return replace(result, services=(chat, code), money=replace(result.money, allocation=rows))


def test_requests_by_hand(tmp_path: Path) -> None:
    table = requests_table(*three_requests(), two_services())
    (tmp_path / "requests.parquet").write_bytes(parquet_bytes(table))
    rows = parquet.read_table(tmp_path / "requests.parquet").to_pylist()
    # of 42% prefill it computed 36 of 336 tokens, of 2% reload it had all, of 56% decode it made 11 of 18 tokens
    share = 0.42 * 36 / 336 + 0.02 + 0.56 * 11 / 18
    assert rows[0] == {
        "arrival_s": 0.0,
        "ttft_s": 0.5,
        "tpot_s": pytest.approx(0.1),  # 1 s over ten gaps
        "e2e_s": 1.5,
        "input_tokens": 100,
        "cached_tokens": 64,
        "output_tokens": 11,
        "joules": pytest.approx((22e6 + 38e6 + 61e6) * share),
        "usd": pytest.approx(two_services().money.by_service_usd[0] * share),
        "service": "chat",
        "status": "finished",
        "worker": 4,
        "preemptions": 1,
        "session": None,
        "tenant": 0,
    }
    assert [rows[1][key] for key in ("ttft_s", "tpot_s", "e2e_s", "worker")] == [None] * 4
    assert (rows[1]["service"], rows[1]["status"]) == ("code", "rejected: queue full")
    assert rows[2]["ttft_s"] == pytest.approx(0.25)
    assert rows[2]["e2e_s"] is None


def test_a_trace_has_one_track_per_worker() -> None:
    said = json.loads(
        trace([Span("worker 1", "decode", 0.5, 0.75, {"batch": 8}), Span("worker 0", "prefill", 0.0, 0.5)])
    )
    names = {e["tid"]: e["args"]["name"] for e in said["traceEvents"] if e["name"] == "thread_name"}
    spans = [e for e in said["traceEvents"] if e["ph"] == "X"]
    assert sorted(names.values()) == ["worker 0", "worker 1"]
    assert [(names[e["tid"]], e["name"], e["ts"], e["dur"]) for e in spans] == [
        ("worker 0", "prefill", 0.0, 5e5),
        ("worker 1", "decode", 5e5, 2.5e5),
    ]
    assert spans[1]["args"] == {"batch": 8}


def test_progress_is_silent_in_a_pipe(capsys: pytest.CaptureFixture[str]) -> None:
    with progress(quiet=False) as say:
        say("working")
    assert capsys.readouterr().err == ""


def test_progress_waits_before_it_speaks(capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(sys.stderr, "isatty", lambda: True)
    with progress(quiet=False) as say:
        say("working")
    assert "working" not in capsys.readouterr().err
    monkeypatch.setattr("tokenworks.report.progress.PATIENCE_S", 0.01)
    with progress(quiet=False) as say:
        say("predicted 1 of 4 rows")
        time.sleep(0.3)
    assert "predicted 1 of 4 rows" in capsys.readouterr().err
    with progress(quiet=True) as say:
        say("predicted 1 of 4 rows")
        time.sleep(0.05)
    assert capsys.readouterr().err == ""
