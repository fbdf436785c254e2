"""Runs as trees of calls: contexts, caches, order and determinism, for every template."""

from dataclasses import fields
from itertools import pairwise

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from tokenworks.workload.agents.calls import Calls, joined_calls
from tokenworks.workload.agents.fitted import fitted_run, grow_fitted
from tokenworks.workload.agents.grow import grow, grow_run, run_rng
from tokenworks.workload.agents.layout import layout_of
from tokenworks.workload.agents.tables import load_fitted
from tokenworks.workload.agents.template import template_ids

NAMES = [*template_ids(), "coding-agent"]


def some(name, seed, runs, number=0):
    if name == "coding-agent":
        return grow_fitted(load_fitted(name), seed, runs, number)
    return grow(layout_of(name), seed, runs, number)


def equal(a, b):
    return all(np.array_equal(getattr(a, f.name), getattr(b, f.name)) for f in fields(Calls))


@pytest.mark.parametrize("name", NAMES)
def test_a_run_is_the_same_whatever_else_is_drawn(name):
    one_by_one = joined_calls([some(name, 3, range(k, k + 1)) for k in range(5)])
    assert equal(some(name, 3, range(5)), one_by_one)
    assert not equal(some(name, 4, range(5)), one_by_one)
    assert not equal(some(name, 3, range(5), number=1), one_by_one)


@pytest.mark.parametrize("name", NAMES)
@settings(max_examples=20, deadline=None)
@given(seed=st.integers(0, 2**32), run=st.integers(0, 10**6))
def test_invariants(name, seed, run):
    calls = some(name, seed, range(run, run + 1))
    assert (calls.input_tokens >= 1).all()
    assert (calls.kept >= 0).all()
    assert (calls.kept <= calls.input_tokens).all()
    assert (
        min(calls.visible.min(), calls.reasoning.min(), calls.tool.min(), calls.tool_s.min(), calls.think_s.min()) >= 0
    )
    edges = calls.before_start
    assert (edges[0], edges[-1], len(edges)) == (0, len(calls.before), len(calls) + 1)
    waits = [calls.before[a:b] for a, b in pairwise(edges)]
    assert len(waits[0]) == 0
    assert all(len(w) and (w < row).all() and (w >= 0).all() for row, w in enumerate(waits) if row)
    for agent in range(int(calls.agent.max()) + 1):
        steps = calls.step[calls.agent == agent]
        assert set(np.diff(steps).tolist()) <= {0, 1}
        assert not len(steps) or steps[0] == 1


@pytest.mark.parametrize("name", template_ids())
@settings(max_examples=10, deadline=None)
@given(seed=st.integers(0, 2**32))
def test_a_prompt_is_what_came_before_it(name, seed):
    """Replays each agent's context token by token count: shared head, then what every call that did not fail left."""
    layout = layout_of(name)
    calls = grow_run(layout, run_rng(seed, 0, 0), 0)
    result, context, sent = {}, {}, {}
    for row in range(len(calls)):
        agent, retried = int(calls.agent[row]), calls.attempt[row] == 2
        head = layout.template.team_shared if agent else layout.template.shared
        before = context.setdefault(agent, head)
        new = int(calls.input_tokens[row]) - before
        assert new >= 0
        assert calls.kept[row] == (calls.input_tokens[row] if retried else max(head, sent.get(agent, 0)))
        if not calls.failed[row]:
            context[agent] = before + new + int(calls.visible[row] + calls.tool[row])
            sent[agent] = int(calls.input_tokens[row])
            result[agent] = int(calls.visible[row])
    assert result


def test_a_sub_agent_starts_after_the_lead_and_its_answer_comes_back():
    layout = layout_of("multi-agent-research")
    calls = next(run for k in range(9) if (run := grow_run(layout, run_rng(5, 0, k), k)).seen.any())
    waits = [calls.before[a:b] for a, b in pairwise(calls.before_start)]
    joins = [row for row in range(len(calls)) if calls.agent[row] == 0 and len(waits[row]) > 1]
    assert [len(waits[row]) for row in joins] == [4, 2]
    for row in joins:
        lead = max(k for k in range(row) if calls.agent[k] == 0)
        answers = calls.visible[waits[row]].sum()
        kept_of_lead = calls.input_tokens[lead] + calls.visible[lead] + calls.tool[lead]
        assert calls.input_tokens[row] >= kept_of_lead + answers
        assert all(
            list(waits[k]) == [lead]
            for k in range(row)
            if calls.step[k] == 1 and calls.agent[k] and k > lead and calls.attempt[k] == 1
        )


def test_shares_of_runs_given_up_and_of_calls_that_fail():
    calls = grow(layout_of("customer-service"), 11, range(2000))
    complete = np.unique(calls.run[calls.phase == len(layout_of("customer-service").template.phases) - 1])
    assert 1 - len(complete) / 2000 == pytest.approx(0.08 * 0.9, abs=0.02)  # one in ten that is given up is at its end
    assert calls.failed.mean() == pytest.approx(0.03 / 1.03, abs=0.005)
    assert (calls.attempt[np.flatnonzero(calls.failed) + 1] == 2).all()


def test_the_fitted_agent_compacts_and_calls_sub_agents():
    calls = grow_fitted(load_fitted("coding-agent"), 2, range(300))
    together = (calls.run[1:] == calls.run[:-1]) & (calls.agent[1:] == calls.agent[:-1])
    shrunk = calls.input_tokens[1:] < 0.7 * calls.input_tokens[:-1]
    assert 10 < (together & shrunk).sum() < 0.02 * len(calls)
    assert calls.agent.max() >= 1
    assert np.array_equal(np.unique(calls.run[calls.seen]), np.arange(300))
    assert calls.seen.sum() == 300


def test_a_run_of_three_calls_is_whole():
    """Short sessions, with and without sub-agents, from many seeds."""
    fitted = load_fitted("coding-agent")
    sizes = [len(fitted_run(fitted, run_rng(9, 0, k), k)) for k in range(500)]
    assert min(sizes) >= 3
