"""A written requests.parquet is a trace: played again it brings the same requests."""

from pathlib import Path

import numpy as np
import pytest

from tokenworks.rehearsal.run import rehearse
from tokenworks.report.tables import parquet_bytes, requests_table
from tokenworks.spec import load
from tokenworks.workload.trace_formats import load_trace

EXAMPLE = load(Path(__file__).parents[2] / "examples" / "laptop.yaml").replace_all(
    {
        "run.horizon": "4 min",
        "run.warmup": "10 s",
        "run.record_requests": True,
        "workload": [
            {
                "service": "chat",
                "arrivals": {"kind": "poisson", "rate": 1},
                "sessions": {"turns": 3, "gap": "5 s"},
                "input": {"kind": "uniform", "low": 50, "high": 300},
                "output": {"kind": "uniform", "low": 5, "high": 20},
                "scale": "0.5 req/s",
                "tenants": 5,
            }
        ],
    }
)


def in_order(codes):
    """Names in order of their first appearance, −1 for none."""
    found = {}
    return [found.setdefault(code, len(found)) if code >= 0 else -1 for code in codes.tolist()]


@pytest.fixture(scope="module")
def written(tmp_path_factory):
    """A run and the file of its requests."""
    done = rehearse(EXAMPLE)
    path = tmp_path_factory.mktemp("run") / "requests.parquet"
    path.write_bytes(parquet_bytes(requests_table(done.requests, done.log, done.result)))
    return done, path


def test_the_file_is_a_trace_of_the_run(written):
    done, path = written
    trace, given = load_trace(str(path)), done.requests
    assert len(trace) > 80
    assert trace.arrival_s == pytest.approx((given.arrival - given.arrival[0]) / 1e11, abs=1e-9)
    assert trace.input_tokens.tolist() == given.input_tokens.tolist()
    assert trace.output_tokens.tolist() == np.maximum(1, done.log.produced).tolist()
    assert in_order(trace.session) == in_order(given.session)
    assert in_order(trace.tenant) == in_order(given.tenant)
    assert 1 < trace.sessions < len(trace)
    assert len(set(trace.tenant.tolist())) > 1


def test_played_again_it_brings_the_same_requests(written):
    done, path = written
    again = rehearse(EXAMPLE.replace_all({"workload": [{"service": "chat", "trace": str(path), "scale": "1x"}]}))
    count = len(done.requests) - 3  # those that were still in the system asked for more than they got
    for name in ("input_tokens", "output_tokens"):
        given, got = (getattr(r.requests, name)[:count].tolist() for r in (done, again))
        assert given == got, name
    assert in_order(again.requests.session[:count]) == in_order(done.requests.session[:count])
