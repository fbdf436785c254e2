"""Templates: exact means, worked out another way, and what the narrative says against what its figures give."""

import json
from fractions import Fraction

import numpy as np
import pytest

from tokenworks.catalog import loader
from tokenworks.errors import CatalogError
from tokenworks.workload.agents.grow import grow
from tokenworks.workload.agents.layout import laid_out, layout_of
from tokenworks.workload.agents.template import load_template, template_ids, template_of
from tokenworks.workload.agents.templates import mean_tokens, remarks, templates

KINDS = {
    "chat", "rag", "deep-research", "coding-agent", "multi-agent-research", "customer-service", "batch-documents", "reasoning",
    "narrative-deep-research", "narrative-coding-agent",
}  # fmt: skip
ENTRY = """
id = "toy"
name = "Toy"
source = "tokenworks-agents"
date = "2026-11"
status = "assumed"
[facts]
shared = {value = 10, unit = "tokens"}
team_shared = {value = 5, unit = "tokens"}
run_sigma = {value = 0.3, unit = "of the logarithm"}
call_sigma = {value = 0.3, unit = "of the logarithm"}
time_sigma = {value = 0.3, unit = "of the logarithm"}
abandoned = {value = %s, unit = "share of runs"}
retry = {value = %s, unit = "share of calls"}
"""
PHASES = """
[[phases]]
purpose = "plan"
new = 100
visible = 20
reasoning = 7
[[phases]]
purpose = "sub-agent"
team = "two"
agents = 2
calls = 2
new = 50
visible = 30
[[phases]]
purpose = "retry"
failed = true
new = 40
visible = 9
[[phases]]
purpose = "final"
new = 60
visible = 200
seen = true
"""


def toy(tmp_path, abandoned=0, retry=0, phases=PHASES):
    path = tmp_path / "toy.toml"
    path.write_text(ENTRY % (abandoned, retry) + phases)
    return laid_out(template_of(loader.load_file(path, "agents")))


def test_the_kinds_of_agents_that_are_asked_for():
    assert {figures["name"] for figures in templates()} >= KINDS


def test_the_narratives_totals_are_exact():
    found = {figures["name"]: figures for figures in json.loads(json.dumps(templates()))}
    research, coding = found["narrative-deep-research"], found["narrative-coding-agent"]
    assert (research["total_tokens"], research["visible_tokens"], research["taf"]) == (331_500, 10_000, 33.15)
    assert (coding["total_tokens"], coding["visible_tokens"], coding["taf"]) == (262_000, 8_000, 32.75)
    assert set(research) == {"name", "total_tokens", "visible_tokens", "taf"}


def test_the_narratives_slip_is_said():
    research, coding = sorted(remarks(), key=len)
    assert "331,500 tokens for 10,000 visible ones are 33.15, outside the narrative's own range of 10 to 30" in research
    assert "262,000 tokens for 8,000 visible ones are 32.75, printed there as 26, outside" in coding


def test_means_worked_out_by_hand(tmp_path):
    """plan 10+100 in, 27 out; each of two sub-agents 5+50, 30 and 5+50+30+50, 30; the failed call reads 10+100+20 (no
    reasoning) + 30+30 of the sub-agents + 40 and writes 9; the final one 10+120+60 and 200. What the failed call was
    given is lost with it, so the sub-agents' answers go to it alone."""
    layout = toy(tmp_path)
    total = (110 + 27) + 2 * (55 + 30 + 135 + 30) + (10 + 120 + 60 + 40 + 9) + (10 + 120 + 60 + 200)
    assert mean_tokens(layout) == (Fraction(total), Fraction(200))


def test_given_up_and_retried_calls_weigh_in_exactly(tmp_path):
    plain, both = toy(tmp_path), toy(tmp_path, abandoned=0.1, retry=0.02)
    calls = grow_mean(plain)
    costs = [Fraction(cost) * (1 if failed else Fraction(102, 100)) for cost, failed in calls]
    n = len(costs)
    given_up = sum(sum(costs[:k]) for k in range(1, n + 1)) / n
    assert mean_tokens(both)[0] == Fraction(9, 10) * sum(costs) + Fraction(1, 10) * given_up
    assert mean_tokens(both)[1] == Fraction(9, 10) * 200 + Fraction(1, 10) * Fraction(200, n)


def grow_mean(layout):
    """(tokens, failed) of the calls of a run whose sizes are the means, from the generator and not from the formula."""
    still = laid_out(load_flat(layout.template))
    calls = grow(still, 1, range(1))
    return list(zip((calls.input_tokens + calls.output_tokens).tolist(), calls.failed.tolist(), strict=True))


def load_flat(template):
    from dataclasses import replace

    return replace(template, run_sigma=0.0, call_sigma=0.0, retry=Fraction(0), abandoned=Fraction(0))


@pytest.mark.parametrize("name", [name for name in sorted(KINDS) if name != "coding-agent"])
def test_generated_runs_have_the_stated_means(name):
    """Within four standard errors, of 600 runs."""
    layout = layout_of(name)
    calls = grow(layout, 7, range(600))
    total = np.bincount(calls.run, calls.input_tokens + calls.output_tokens, minlength=600)
    seen = np.bincount(calls.run, np.where(calls.seen, calls.visible, 0), minlength=600)
    for found, told in zip((total, seen), mean_tokens(layout), strict=True):
        assert abs(found.mean() - float(told)) < 4 * found.std() / np.sqrt(600)


def test_several_agents_take_15_quarters_of_one():
    """As the publisher of the two factors (4 and 15 times a chat) says, within 2%."""
    one, several = (mean_tokens(layout_of(name))[0] for name in ("deep-research", "multi-agent-research"))
    assert abs(several / one / Fraction(15, 4) - 1) < 0.02


def test_the_chat_has_the_lengths_of_the_recorded_conversations():
    from tokenworks.workload.trace_formats import load_trace

    trace, calls = load_trace("azure-2023-conversation"), grow(laid_out(load_flat(load_template("chat"))), 1, range(1))
    assert calls.input_tokens.mean() == round(trace.input_tokens.mean())
    assert calls.output_tokens.mean() == round(trace.output_tokens.mean())


@pytest.mark.parametrize(
    ("phases", "said"),
    [
        ('[[phases]]\npurpose = "think"\nvisible = 1\nseen = true', "phase 1 is for 'think', not one of plan, reason"),
        ('[[phases]]\npurpose = "final"\nvisible = 1', "no phase is seen"),
        ('[[phases]]\npurpose = "final"\nseen = true', "phase 1 has no output"),
        ('[[phases]]\npurpose = "final"\nvisible = 1\nseen = true\ncalls = 0', "at least one call"),
        ('[[phases]]\npurpose = "final"\nvisable = 1', "phase 1 has 'visable'; a phase has purpose, calls, team"),
        ('[[phases]]\npurpose = "sub-agent"\nteam = "a"\nvisible = 1\nseen = true', "begins and ends with its lead"),
        (
            '[[phases]]\npurpose = "plan"\nvisible = 1\n'
            + "".join(f'[[phases]]\npurpose = "tool"\nteam = "{t}"\ntool = 1\n' for t in "ab")
            + '[[phases]]\npurpose = "final"\nvisible = 1\nseen = true',
            "a team follows a team",
        ),
    ],
)
def test_malformed_templates_are_named(phases, said, tmp_path):
    with pytest.raises(CatalogError, match="agents/toy") as caught:
        toy(tmp_path, phases=phases)
    assert said in str(caught.value)


def test_every_template_stands_on_a_source():
    known = loader.sources()
    for name in loader.ids("agents"):
        for fact in loader.load("agents", name).facts.values():
            assert fact.source in known
    assert set(template_ids()) == KINDS - {"coding-agent"}
