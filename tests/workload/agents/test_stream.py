"""Agents in a factory file: their rate, their order, and what is said where they are written wrongly."""

import itertools

import numpy as np
import pytest

from tokenworks.errors import SpecError
from tokenworks.spec.agents import parse_runs, runs_text
from tokenworks.spec.demand import Workload
from tokenworks.workload.agents.recording import SUMS, load_recording
from tokenworks.workload.agents.source import calls_per_run, runs_of
from tokenworks.workload.agents.templates import mean_tokens
from tokenworks.workload.generate import base_rate_s, generate, stream
from tokenworks.workload.streams import TICKS_PER_S


def load(agents="chat", **more):
    return Workload.model_validate({"service": "a", "agents": agents, "runs": "30 per minute", **more})


def test_rate_of_requests_is_runs_times_calls():
    shape = load(scale="2x")
    assert base_rate_s(shape) == pytest.approx(0.5 * 3)
    made = generate(shape, 0, 2 * base_rate_s(shape), 4000.0, 3, 0)
    late = made.arrival > 1000 * TICKS_PER_S
    assert late.sum() / 3000 == pytest.approx(3.0, rel=0.05)
    assert (np.diff(made.arrival) >= 0).all()


@pytest.mark.parametrize("name", ["deep-research", "multi-agent-research", "customer-service", "coding-agent"])
def test_calls_of_a_run_in_the_mean(name):
    calls = runs_of(name)(5, range(400), 0)
    counts = np.unique(calls.run, return_counts=True)[1]
    assert abs(counts.mean() - calls_per_run(name)) < 4 * counts.std() / 20


def test_chunks_change_nothing_and_end_nowhere():
    shape = load("customer-service", answers={"ttft": "200 ms", "tpot": "5 ms"})
    whole = generate(shape, 0, 5.0, 3000.0, 1, 0)
    chunks = list(itertools.islice(stream(shape, 0, 5.0, np.inf, 1, 0), 4))
    assert [len(chunk) > 0 for chunk in chunks] == [True] * 4
    arrivals = np.concatenate([chunk.arrival for chunk in chunks])
    assert (np.diff(arrivals) >= 0).all()
    n = min(len(arrivals), len(whole))
    assert np.array_equal(arrivals[:n], whole.arrival[:n])
    assert np.array_equal(chunks[0].block_hash[:1000], whole.block_hash[:1000])


def test_a_run_has_one_tenant_and_its_calls_come_in_order():
    made = generate(load("deep-research", tenants=3), 0, 2.0, 2000.0, 1, 0)
    for run in np.unique(made.session)[:20]:
        rows = made.session == run
        assert len(set(made.tenant[rows].tolist())) == 1
        assert (np.diff(made.arrival[rows]) > 0).all()
    assert set(made.tenant.tolist()) == {0, 1, 2}


def test_recorded_sessions_are_played_token_for_token_and_again():
    make, r = runs_of("coding-sessions"), load_recording()
    once = make(1, range(SUMS.sessions), 0)
    assert (once.input_tokens.sum(), once.output_tokens.sum()) == (SUMS.input, SUMS.output)
    again = make(2, range(SUMS.sessions, SUMS.sessions + 2), 3)
    assert set(again.run.tolist()) == {710, 711}
    assert np.array_equal(again.input_tokens, r.input_tokens[r.session < 2])
    assert (again.before < len(again)).all()


@pytest.mark.parametrize(
    ("change", "said"),
    [
        ({"runs": None}, "agents need runs: how many begin (2 per minute)"),
        ({"runs": 2}, "2 is no rate of runs; write for example '2 per minute'"),
        ({"runs": "2 per fortnight"}, "unknown unit 'fortnight' in '2 per fortnight'; known are second"),
        ({"runs": "0 per minute"}, "out of bounds"),
        ({"agents": None, "arrivals": {"kind": "poisson", "rate": 1}}, "belongs to agents"),
        ({"trace": "azure-2023-code"}, "give either a trace, a mix, arrivals or agents"),
        ({"input": {"mean": 5}}, "agents have their own lengths"),
        ({"sessions": {"turns": 2}}, "conversations need arrivals with a rate"),
    ],
)
def test_what_does_not_go_together_is_said(change, said):
    text = {"service": "a", "agents": "chat", "runs": "2 per minute"} | change
    with pytest.raises(ValueError) as caught:
        Workload.model_validate({key: value for key, value in text.items() if value is not None})
    assert said in str(caught.value)


def test_an_unknown_agent_is_named_with_the_nearest(tmp_path):
    from pathlib import Path

    from tokenworks.api import load as load_file

    text = Path(__file__).parents[3].joinpath("examples/agents.yaml").read_text()
    path = tmp_path / "f.yaml"
    path.write_text(text.replace("agents: deep-research", "agents: deep-reserch"))
    with pytest.raises(SpecError, match=r'no agent "deep-reserch". Did you mean deep-research') as caught:
        load_file(str(path))
    assert "workload[0].agents" in str(caught.value)


@pytest.mark.parametrize("text", ["2 per minute", "30 per minute", "5 per hour", "0.5 per hour"])
def test_rates_of_runs_read_what_they_write(text):
    assert runs_text(parse_runs(text)) == text
    assert parse_runs("120/h") == parse_runs("2 per min")


def test_means_stand_beside_streams():
    """Mean tokens of a run times runs are the tokens of a long stream, within 10%."""
    from tokenworks.workload.agents.layout import layout_of

    shape = load("rag")
    made = generate(shape, 0, 3.0, 3000.0, 9, 0)
    tokens = float(made.input_tokens.sum() + made.output_tokens.sum())
    assert tokens == pytest.approx(float(mean_tokens(layout_of("rag"))[0]) * 3000, rel=0.1)
