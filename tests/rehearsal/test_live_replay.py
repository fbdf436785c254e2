"""Traffic that the twin itself wrote, replayed: the same factory gives the same figures, a slower one the alarm."""

from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest

from tokenworks.errors import InputError
from tokenworks.rehearsal.live.compare import compare
from tokenworks.rehearsal.live.from_usage import from_usage
from tokenworks.rehearsal.live.lines import DRIFT, OK, UNSURE, Bounds
from tokenworks.rehearsal.live.replay import replay
from tokenworks.rehearsal.run import rehearse
from tokenworks.report.live_page import live_page
from tokenworks.report.live_text import live_json, live_text, verdict
from tokenworks.spec import load

DESK = load(Path(__file__).parents[2] / "examples" / "laptop.yaml").replace_all(
    {
        "run.horizon": "90 s",
        "run.warmup": "0 s",
        "workload": [
            {
                "service": "chat",
                "arrivals": {"kind": "poisson", "rate": 2},
                "input": {"kind": "uniform", "low": 100, "high": 900},
                "output": {"kind": "uniform", "low": 20, "high": 120},
            }
        ],
    }
)


def usage_of(factory):
    return rehearse(factory, metering=True).metered.usage


def compared(usage, factory, warmup_s=9.0, bounds=Bounds()):  # noqa: B008
    live = from_usage(usage, factory, "a ledger")
    return compare(live, replay(live, factory, lambda _: None, lambda: False), warmup_s, bounds)


@pytest.fixture(scope="module")
def usage():
    return usage_of(DESK)


@pytest.fixture(scope="module")
def same(usage):
    return compared(usage, DESK)


@pytest.fixture(scope="module")
def slower(usage):
    """Planned in fp8; live, somebody had left the weights in bf16."""
    return compared(usage_of(DESK.replace("services.chat.precision", "bf16")), DESK)


def test_the_same_factory_does_not_drift(same):
    assert not same.lines(DRIFT)
    assert not same.lines(UNSURE)
    assert len(same.lines(OK)) >= 12
    for _, line in same.lines(OK):
        assert abs(line.difference) < 0.02, line
    assert verdict(same).startswith("✓ No drift")


def test_what_ends_in_time_is_replayed_to_the_microsecond(tmp_path):
    """Nothing is left out: every request's own latencies are the ledger's, which are whole microseconds, its arrival is off
    by less than two."""
    rng = np.random.default_rng(5)
    rows = [
        f"{at:.6f},{rng.integers(50, 800)},{rng.integers(1, 90)}" for at in [*np.sort(rng.uniform(0, 20, 60)), 100.0]
    ]
    path = tmp_path / "early.csv"
    path.write_text("\n".join(["arrival_s,input_tokens,output_tokens", *rows]) + "\n")
    factory = DESK.replace("workload", [{"service": "chat", "trace": str(path)}])
    found = compared(usage_of(factory), factory, warmup_s=0.0)
    (side,) = found.sides
    assert side.requests == 60
    assert side.finished == (60, 60)
    assert not found.live.left_out
    assert side.twin.ttft_s == pytest.approx(side.live.ttft_s, abs=3e-6)
    assert side.twin.e2e_s == pytest.approx(side.live.e2e_s, abs=3e-6)
    assert side.twin.output_tokens.tolist() == side.live.output_tokens.tolist()
    for line in side.lines:
        apart = 0.15 if line.unit == "USD/Mtok" else 1e-3  # the run held an idle minute more, and paid for its peak
        assert not line.bound or line.difference == pytest.approx(0, abs=apart), line


def test_a_slower_factory_raises_the_alarm(slower):
    drifted = {line.what: line for _, line in slower.lines(DRIFT)}
    assert {"TPOT p50", "TPOT p95"} <= set(drifted)
    line = drifted["TPOT p50"]
    assert line.live > line.twin.high > line.twin.value
    assert line.difference > 0.25
    assert verdict(slower).startswith("✗ DRIFT")
    assert "of chat +" in verdict(slower)


def test_beyond_the_bound_but_within_the_model_is_said_and_is_no_drift(same):
    """13% slower answers are beyond 10%, and within the interval that published measurements give TPOT."""
    usage = same.live
    slow = replace(usage.requests, ttft_s=usage.requests.ttft_s * 1.13, e2e_s=usage.requests.e2e_s * 1.13)
    twin = replay(usage, DESK, lambda _: None, lambda: False)
    found = compare(replace(usage, requests=slow), twin, 9.0, Bounds(throughput=1.0, queue=1.0))
    assert not found.lines(DRIFT)
    assert {line.what for _, line in found.lines(UNSURE)} >= {"TPOT p50", "TTFT p50"}
    assert verdict(found).startswith("⚠ No drift for certain")


def test_wider_bounds_judge_less(same, usage):
    strict = compared(
        usage, DESK, bounds=Bounds(throughput=1e-9, p50=1e-9, tail=1e-9, queue=1e-9, energy=1e-9, cost=1e-9)
    )
    assert len(strict.lines(OK)) < len(same.lines(OK))


def test_shared_prompts_hit_as_often_as_they_did_live():
    talks = {
        "service": "chat", "arrivals": {"kind": "poisson", "rate": 2}, "sessions": {"turns": 4, "gap": "5 s", "system_prompt": 256},
        "input": {"kind": "uniform", "low": 100, "high": 400}, "output": {"kind": "uniform", "low": 20, "high": 80},
    }  # fmt: skip
    factory = DESK.replace_all({"services.chat.prefix_cache": True, "workload": [talks]})
    usage = usage_of(factory)
    (side,) = compared(usage, factory).sides
    cached = next(line for line in side.lines if line.what == "cached input")
    assert cached.live > 0.3
    assert cached.twin.value == pytest.approx(cached.live, abs=0.03)
    cold = factory.replace("services.chat.prefix_cache", False)
    (side,) = compared(usage, cold).sides
    assert next(line for line in side.lines if line.what == "cached input").twin.value == 0
    assert (
        next(line for line in side.lines if line.what == "TTFT p50").difference < 0
    )  # live had a cache, the plan has none


def test_the_text_fits_and_json_and_page_say_the_same(slower):
    text, table, page = live_text(slower), live_json(slower), live_page(slower)
    assert max(map(len, text.splitlines())) <= 80
    assert table["drift"] is True
    (service,) = table["services"]
    assert service["lines"][0]["what"] == "output tokens/s"
    assert {line["state"] for line in service["lines"]} >= {"drift"}
    assert page.count("<svg") == 4
    for line in service["lines"]:
        assert line["what"] in text
        assert line["what"] in page


def test_callers_see_the_way_to_the_engine_too(usage):
    """Events of a gateway are timed at the caller: the twin then adds the way in and out, and not for its own."""
    inside = from_usage(usage, DESK, "a ledger")
    import pyarrow as pa

    column = usage.schema.get_field_index("source")
    outside = from_usage(usage.set_column(column, "source", pa.array(["gateway/1"] * usage.num_rows)), DESK, "a ledger")
    assert (inside.inside, outside.inside) == (True, False)
    a, b = (replay(live, DESK, lambda _: None, lambda: False) for live in (inside, outside))
    way_s = b.made.ingress_s[0]
    assert way_s > 0
    both = ~np.isnan(a.requests.ttft_s)
    assert (b.requests.ttft_s - a.requests.ttft_s)[both] == pytest.approx(way_s, abs=1e-9)


def test_a_plan_in_cells_and_traffic_after_the_warm_up_alone(usage):
    live = from_usage(usage, DESK, "a ledger")
    with pytest.raises(InputError, match=r"run\.cells"):
        replay(
            live,
            DESK.model_copy(update={"run": DESK.run.model_copy(update={"cells": 2})}),
            lambda _: None,
            lambda: False,
        )
    with pytest.raises(InputError, match="no request arrives after the warm-up of 500 s"):
        compared(usage, DESK, warmup_s=500.0)


def test_the_stop_ends_a_replay(usage):
    live = from_usage(usage, DESK, "a ledger")
    with pytest.raises(KeyboardInterrupt):
        replay(live, DESK, lambda _: None, lambda: True)
