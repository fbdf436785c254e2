"""Calls of agents by the names of the ledger's events: one tree per run, tools with their seconds."""

import numpy as np
import pytest

from tokenworks.workload.agents.grow import grow
from tokenworks.workload.agents.layout import layout_of
from tokenworks.workload.agents.usage import names_of, tools_of


@pytest.fixture(scope="module")
def made():
    layout = layout_of("multi-agent-research")
    return grow(layout, 3, range(5)), layout.template.phases


def test_every_call_has_one_place_in_its_run(made):
    calls, phases = made
    names = names_of(calls, phases, "research", "w2/")
    places = zip(names["run"], names["step"], names["attempt"], strict=True)
    assert len(set(places)) == len(calls)
    assert set(names["root_run"]) == {f"w2/research-{run}" for run in range(5)}
    lead = calls.agent == 0
    assert (names["run"][lead] == names["root_run"][lead]).all()
    assert (names["parent_run"][lead] == "").all()
    assert (names["parent_run"][~lead] == names["root_run"][~lead]).all()
    assert (names["run"][~lead] != names["root_run"][~lead]).all()
    assert set(names["agent"][lead]) == {"research"}
    assert (names["purpose"] == "final").sum() == names["final"].sum() == calls.seen.sum()


def test_tools_are_those_of_the_phases_with_their_seconds(made):
    calls, phases = made
    tools = tools_of(calls, phases)
    ran = tools["meter"] != ""
    assert set(tools["meter"][ran]) == {"search_second", "citation_second"}
    assert abs(tools["tool_us"][ran].sum() - 1e6 * calls.tool_s.sum()) < ran.sum()
    assert (tools["tool_us"][ran] > 0).all()
    assert np.array_equal(ran, np.array([bool(phases[p].uses) for p in calls.phase]) & (tools["tool_us"] > 0))
