"""A window of a run as a trace."""

import json

import numpy as np
from test_report_files import three_requests, ticks

from tokenworks.cli.main import main
from tokenworks.report.perfetto import trace
from tokenworks.report.window import lives_of, steps_of
from tokenworks.twin.cell import StepLog

RUN = ["run", "laptop", "--quiet", "--set", "run.horizon=1 min", "--set", "run.warmup=0 s"]


def test_lives_by_hand():
    requests, log = three_requests()
    found = lives_of(requests, log, ["chat", "code"], (0.25, 3.0))
    said = [(x.service, x.request, x.phase, x.start_s, x.end_s) for x in found]
    assert said == [
        ("chat", 0, "waiting and prefill", 0.25, 0.5),
        ("chat", 2, "waiting and prefill", 2.0, 2.25),
        ("chat", 0, "decode", 0.5, 1.5),
        ("chat", 2, "decode", 2.25, 3.0),
    ]
    events = json.loads(trace([], found))["traceEvents"]
    assert [e["ph"] for e in events if e["ph"] in "be"] == ["b", "e"] * 4


def test_steps_by_hand():
    one = np.array([1, 3])
    unseen = (one, one, np.ones((2, 3)), np.ones((2, 3)))
    mixed = np.array([True, False])
    log = StepLog(np.array([0, 1]), ticks(0, 1), ticks(0.5, 2), one, mixed, one - 1, one * 10, *unseen, 0)
    first, second = steps_of(log, ["a 0", "a 1"])
    assert (first.worker, first.name, first.start_s, first.end_s) == ("a 0", "prefill", 0.0, 0.5)
    assert (second.name, second.args) == ("decode", {"steps": 3, "sequences": 2, "prompt tokens": 30})


def test_run_writes_a_trace_of_the_window(tmp_path):
    assert main([*RUN, "--trace", "20s:30s", "--out", str(tmp_path)]) == 0
    assert {p.name for p in tmp_path.iterdir()} == {"report.html", "result.json", "trace.json"}
    events = json.loads((tmp_path / "trace.json").read_text())["traceEvents"]
    ends = [(e["ts"] + e["dur"]) / 1e6 for e in events if e["ph"] == "X"]
    assert len(ends) > 10
    assert 20 <= min(ends) <= max(ends) < 30


def test_windows_that_cannot_be(tmp_path, capsys):
    for text, said in (
        ("30s:20s", "must be ordered"),
        ("0s:2 h", "horizon of 60 s"),
        ("x:3s", "not a quantity"),
        ("5s", "not a quantity"),
    ):
        assert main([*RUN, "--trace", text, "--out", str(tmp_path / "o")]) == 2
        assert said in capsys.readouterr().err
    assert not (tmp_path / "o").exists()
