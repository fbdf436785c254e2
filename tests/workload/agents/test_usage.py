"""Generated runs as events: every token of every attempt once, tools beside them, nothing of what had no answer."""

import numpy as np

from tokenworks.events.ledger_events import CostEvent, UsageEvent
from tokenworks.workload.agents.grow import grow
from tokenworks.workload.agents.layout import layout_of
from tokenworks.workload.agents.schedule import Pace, answer_ticks, at_pace
from tokenworks.workload.agents.usage import Naming, usage_events

NAMING = Naming("twin/run-1", "multi-agent-research", "gpt-oss-120b", tenants=2)


def made(lost=()):
    layout = layout_of("multi-agent-research")
    calls = grow(layout, 3, range(5))
    sent = at_pace(calls, np.zeros(len(calls), np.int64), Pace())
    ends = sent + answer_ticks(calls, Pace())
    ends[list(lost)] = -1
    return calls, list(usage_events(calls, layout.template.phases, sent, ends, NAMING))


def test_tokens_are_those_of_the_calls():
    calls, events = made()
    usage = [e for e in events if isinstance(e, UsageEvent)]
    assert len(usage) == len(calls) == len({e.id for e in usage})
    assert sum(e.input_fresh + e.cache_read for e in usage) == calls.input_tokens.sum()
    assert sum(e.output_visible + e.output_reasoning + e.output_tool for e in usage) == calls.output_tokens.sum()
    assert sum(e.output_visible for e in usage if e.final) == calls.seen_tokens
    assert sum(e.failed for e in usage) == calls.failed.sum()
    assert all(e.input_fresh >= 0 and e.duration_us > 0 for e in usage)
    assert {e.tenant for e in usage} == {"tenant-00", "tenant-01"}
    assert all((e.run == e.root_run) == (e.parent_run == "") for e in usage)


def test_tools_are_costs_of_the_same_runs_with_unknown_amounts():
    calls, events = made()
    tools = [e for e in events if isinstance(e, CostEvent)]
    assert {e.meter for e in tools} == {"search_second", "citation_second"}
    assert abs(sum(e.quantity_micro for e in tools) - 1e6 * calls.tool_s.sum()) < len(tools)
    assert all(e.amount_micro is None for e in tools)
    assert {e.root_run for e in tools} <= {e.root_run for e in events if isinstance(e, UsageEvent)}
    assert len({e.id for e in events}) == len(events)


def test_a_call_without_an_answer_is_not_recorded():
    calls, events = made(lost=[2])
    assert sum(isinstance(e, UsageEvent) for e in events) == len(calls) - 1
