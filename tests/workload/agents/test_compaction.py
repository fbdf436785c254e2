"""Agents that summarise: prompts stay below the limit, what comes in stays in, and the cache begins anew."""

import numpy as np
import pytest

from tokenworks.errors import InputError
from tokenworks.workload.agents.compaction import SUMMARY, compacted
from tokenworks.workload.agents.prompts import prompt_hashes
from tokenworks.workload.agents.source import runs_of


@pytest.fixture(scope="module")
def calls():
    return runs_of("deep-research")(1, range(8), 0)


def test_prompts_stay_below_the_limit_unless_head_and_news_alone_pass_it(calls):
    limit = 12_000
    made = compacted(calls, limit)
    fresh = calls.input_tokens - calls.kept
    long = made.input_tokens > limit
    assert calls.input_tokens.max() > 2 * limit
    assert (made.input_tokens[long] <= calls.kept.min() + limit // SUMMARY + fresh[long]).all()
    assert made.input_tokens.sum() < 0.8 * calls.input_tokens.sum()
    assert (made.kept <= made.input_tokens).all()


def test_a_summary_is_written_where_the_cache_begins_anew(calls):
    limit = 12_000
    made = compacted(calls, limit)
    written = (made.reasoning - calls.reasoning) // (limit // SUMMARY)
    assert written.sum() > 0
    assert set(np.unique(made.reasoning - calls.reasoning)) == {0, limit // SUMMARY}
    start, hashes = prompt_hashes(made, 64)
    for row in np.flatnonzero(written)[:5]:
        before, after = set(hashes[start[row] : start[row + 1]]), hashes[start[row + 1] : start[row + 2]]
        shared = sum(h in before for h in after)
        assert shared == made.kept[row + 1] // 64  # the head, and nothing of the old context


def test_a_limit_that_is_never_reached_changes_nothing(calls):
    made = compacted(calls, 10**7)
    assert np.array_equal(made.input_tokens, calls.input_tokens)
    assert np.array_equal(made.reasoning, calls.reasoning)
    with pytest.raises(InputError, match="at least 1,024"):
        compacted(calls, 100)
