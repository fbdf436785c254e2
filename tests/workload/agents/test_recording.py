"""The shipped sessions against what was counted from the publication, by other code."""

import numpy as np
import pytest

from tokenworks.workload.agents.ratios import input_per_output, ratio_of_sessions
from tokenworks.workload.agents.recording import PLACE, SUMS, load_recording

# Published totals by the model that requests name: sessions in which it occurs, input, output.
BY_MODEL = {
    "claude-opus-4-5-20251101": (327, 2_217_731_467, 9_661_325),
    "claude-haiku-4-5-20251001": (36, 36_717_315, 394_482),
    "claude-sonnet-4-5-20250929": (209, 2_198_366_602, 5_578_906),
    "claude-opus-4-6": (93, 802_393_439, 3_574_020),
    "claude-sonnet-4-20250514": (76, 729_803_042, 2_168_504),
    "claude-opus-4-1-20250805": (18, 52_433_538, 332_683),
}


def test_it_adds_up_token_for_token():
    found = load_recording()
    assert found.sums == SUMS
    assert int(found.fresh.sum()) == SUMS.input - SUMS.cache_read
    assert (found.fresh >= 0).all()
    assert (found.cache_read % 64 == 0).all()


def test_it_is_small():
    assert PLACE.stat().st_size < 500_000


def test_rows_stand_by_session_and_time():
    r = load_recording()
    assert np.array_equal(np.unique(r.session), np.arange(710))
    assert (np.diff(r.session) >= 0).all()
    together = (r.session[1:] == r.session[:-1]) & (r.agent[1:] == r.agent[:-1])
    assert (np.diff(r.start_s)[together] >= 0).all()
    assert (r.depth.sum(), len(r.sub_session)) == (676, 63)
    assert len({*zip(r.session[r.agent > 0], r.agent[r.agent > 0], strict=True)}) == 63


def test_figures_that_were_read_by_eye():
    r = load_recording()
    second = (r.start_s[1], r.api_s[1], r.think_s[1], r.input_tokens[1], r.output_tokens[1], r.cache_read[1])
    assert second == (19.0, 9.19, 12.0, 72_762, 296, 1112 * 64)
    assert r.models[r.model[1]] == "claude-opus-4-5-20251101"
    assert (r.tool_tokens[0], r.system_tokens[0], r.trace[0]) == (12_974, 4_243, 1)
    assert np.isnan(r.api_s).sum() == 49_334 - 45_022
    assert np.isnan(r.think_s).sum() == 49_334 - 49_218
    assert np.isnan(r.ttft_s).sum() == 49_334 - 4_153


def test_markers_of_sub_agents_stand_where_their_results_came():
    """Taken so, 61 of 63 begin within 1.2 s after the lead's request before them (two after a pause of days), and the
    requests of those with a known duration fit into it."""
    r = load_recording()
    near = 0
    for number, (session, agent) in enumerate(zip(r.sub_session, agents_of(r.sub_session), strict=True)):
        mine = np.flatnonzero((r.session == session) & (r.agent == agent))
        lead = np.flatnonzero((r.session == session) & (r.agent == 0))
        before = lead[lead < mine[0]][-1]
        near += 0 <= r.sub_start_s[number] - (r.start_s[before] + r.api_s[before]) < 1.2
        took = (r.start_s[mine] + np.nan_to_num(r.api_s[mine])).max()
        assert np.isnan(r.sub_duration_s[number]) or took <= r.sub_duration_s[number]
    assert near == 61
    assert np.isnan(r.sub_duration_s).sum() == 4


def agents_of(sub_session):
    return np.concatenate([np.arange(1, n + 1) for n in np.bincount(sub_session)])


def test_last_requests_are_one_a_session_and_of_its_own_agent():
    r = load_recording()
    last = r.last_of_session()
    assert last.sum() == 710
    assert (r.agent[last] == 0).all()
    assert np.array_equal(np.sort(r.session[last]), np.arange(710))


@pytest.mark.parametrize(("model", "told"), BY_MODEL.items())
def test_totals_by_model_are_those_published(model, told):
    r = load_recording()
    mine = r.model == r.models.index(model)
    assert told == (len(np.unique(r.session[mine])), int(r.input_tokens[mine].sum()), int(r.output_tokens[mine].sum()))


def test_ratio_of_input_to_output():
    r = load_recording()
    found = input_per_output(r.session, r.input_tokens, r.output_tokens)
    assert found.of_sums == pytest.approx(278.096, abs=5e-4)  # as printed beside the other published agents
    assert (found.sessions, found.without_output) == (710, 0)
    assert found.percentiles[50] == pytest.approx(244.4, abs=0.05)
    assert list(found.percentiles.values()) == sorted(found.percentiles.values())


def test_a_session_without_output_is_counted_and_not_zero():
    session, inputs, outputs = np.array([0, 0, 1]), np.array([10, 20, 5]), np.array([1, 2, 0])
    assert list(ratio_of_sessions(session, inputs, outputs)) == [10.0, np.inf]
    found = input_per_output(session, inputs, outputs)
    assert (found.of_sums, found.without_output, found.percentiles[50]) == (35 / 3, 1, 10.0)
