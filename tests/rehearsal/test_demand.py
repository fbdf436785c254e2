"""How workloads become one stream: constant memory, the same requests recorded or not, patience, notes."""

from functools import partial
from pathlib import Path

import numpy as np
import pytest

from tokenworks.errors import InputError
from tokenworks.rehearsal.demand import as_one, stream_of, sustainable_rate_s
from tokenworks.rehearsal.plant import plant, ticks
from tokenworks.rehearsal.run import rehearse
from tokenworks.spec import load
from tokenworks.workload.streams import joined

DESK = load(Path(__file__).parents[2] / "examples" / "laptop.yaml").replace_all(
    {"run.horizon": "5 min", "run.warmup": "10 s", "services.chat.timeout": "40 s"}
)
BRIEF = {"kind": "uniform", "low": 50, "high": 300}
SESSIONS = {
    "arrivals": {"kind": "poisson", "rate": 2},
    "sessions": {"turns": 3, "gap": "5 s", "system_prompt": 256},
    "input": BRIEF,
    "output": BRIEF,
}
LOADS = {
    "trace": {"trace": "azure-2023-conversation", "scale": "1x"},
    "sessions": SESSIONS,
    "mix": {"mix": "servegen-deepseek-r1", "offset": "6 h", "scale": "2 req/s"},
    "silent": {"mix": "servegen-m-large", "offset": "6 h"},
    "closed": {"arrivals": {"kind": "closed-loop", "clients": 4, "think": "1 s"}, "input": BRIEF, "output": BRIEF},
}  # fmt: skip


def with_loads(*kinds, **more):
    return DESK.replace_all({"workload": [{"service": "chat", **LOADS[kind]} for kind in kinds], **more})


@pytest.mark.parametrize("kind", ["closed", "mix", "sessions", "trace"])
def test_a_recorded_run_is_the_same_run(kind):
    factory = with_loads(kind, **{"services.chat.prefix_cache": True})
    plain, kept = rehearse(factory), rehearse(factory.replace("run.record_requests", True))
    assert plain.log is None
    assert kept.log is not None
    assert len(kept.log.arrival) == len(kept.requests)
    a, b = plain.result.services[0], kept.result.services[0]
    assert (a.arrived, a.finished, a.output_tokens, a.cached_tokens) == (
        b.arrived,
        b.finished,
        b.output_tokens,
        b.cached_tokens,
    )
    assert a.ttft.mean_s == b.ttft.mean_s
    assert plain.result.energy == kept.result.energy
    if kind == "sessions":
        assert a.cached_tokens > 0.3 * a.input_tokens


def test_several_workloads_are_merged_with_the_patience_of_their_service():
    made = plant(with_loads("trace", "sessions"))
    whole = joined(
        [*(one := as_one([partial(stream_of, made, 0, 4.0), partial(stream_of, made, 1, 2.0)])).rest] or [one.head]
    )
    assert (np.diff(whole.arrival) >= 0).all()
    assert set(whole.timeout.tolist()) == {ticks(40.0)}
    counts = [sum(len(c) for c in stream_of(made, i, rate)) for i, rate in ((0, 4.0), (1, 2.0))]
    assert len(whole) == sum(counts)
    assert (whole.session >= 0).sum() == counts[1]


def test_no_request_is_an_error():
    with pytest.raises(InputError, match="the workload sends no request within the horizon"):
        as_one([lambda: iter([])])


def test_a_silent_mix_still_floods_a_service():
    """This mix sends nothing for minutes at its sixth hour; what the service sustains is found all the same."""
    factory = with_loads("silent")
    made = plant(factory)
    assert not list(stream_of(made, 0, 1.0))
    assert sustainable_rate_s(made, 0, factory.workload[0]) > 0


def test_failures_that_a_trace_leaves_out_are_said(tmp_path):
    path = tmp_path / "b.csv"
    rows = "".join(f"{i},ChatGPT,400,{0 if i % 10 == 0 else 50},450,API log\n" for i in range(60))
    path.write_text(f"Timestamp,Model,Request tokens,Response tokens,Total tokens,Log Type\n{rows}")
    factory = DESK.replace_all({"workload": [{"service": "chat", "trace": str(path)}], "run.horizon": "1 min"})
    assert "6 failed requests of the trace left out" in rehearse(factory).result.trace_note
