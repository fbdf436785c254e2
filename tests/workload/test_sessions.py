"""Conversations: what is shared is a prefix, what is drawn has its theory, and caches find something to keep."""

import itertools
from collections import defaultdict

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from tokenworks.spec.demand import Workload
from tokenworks.workload.generate import generate
from tokenworks.workload.streams import TICKS_PER_S

Z = 2.576


def load(**changes):
    shape = {"turns": 5, "gap": "30 s", "system_prompt": 300, "prompts": 3, "max_context": 10**6, "block": 64} | changes
    lengths = {"kind": "uniform", "low": 20, "high": 200}
    return Workload.model_validate(
        {
            "service": "a",
            "arrivals": {"kind": "poisson", "rate": 5},
            "sessions": shape,
            "input": lengths,
            "output": lengths,
        }
    )


def by_session(made):
    turns = defaultdict(list)
    for i, session in enumerate(made.session.tolist()):
        turns[session].append(i)
    return turns


def hashes(made, i):
    return made.block_hash[made.block_start[i] : made.block_start[i + 1]].tolist()


@settings(derandomize=True, max_examples=25, deadline=None)
@given(
    prompt=st.integers(0, 400),
    limit=st.integers(1000, 3000),
    block=st.sampled_from([16, 64, 100, 128]),
    prompts=st.integers(1, 3),
    seed=st.integers(0, 5),
)
def test_a_turn_continues_its_session_and_shares_nothing_else(prompt, limit, block, prompts, seed):
    made = generate(load(system_prompt=prompt, max_context=limit, block=block, prompts=prompts), 0, 5.0, 200, seed, 0)
    shared, owner, heads = prompt // block, {}, set()
    for session, rows in by_session(made).items():
        for before, now in itertools.pairwise(rows):
            a, b = hashes(made, before), hashes(made, now)
            grown = int(made.input_tokens[before]) + int(made.output_tokens[before])
            if made.input_tokens[now] > grown:  # else it began anew
                assert b[: len(a)] == a
                assert 20 <= made.input_tokens[now] - grown <= 200
            else:
                assert grown + 200 > limit
                assert b[:shared] == a[:shared]
                assert not set(b[shared:]) & set(a[shared:])
        for row in rows:
            found = hashes(made, row)
            assert len(found) == made.input_tokens[row] // block
            assert made.input_tokens[row] <= max(limit, prompt + 200)
            assert len(set(found)) == len(found)
            heads.add(tuple(found[:shared]))
            assert all(owner.setdefault(h, session) == session for h in found[shared:])
    assert len(heads) <= prompts


def test_turns_gaps_and_rate_have_their_theory():
    """The run begins among conversations: rate from the first second, geometric turns, exponential gaps."""
    made = generate(load(), 0, 20.0, 4000, 3, 0)
    seconds = made.arrival / TICKS_PER_S
    early, late = (seconds < 200).sum(), len(made) / 20
    assert abs(early - late) < 4 * np.sqrt(late * 5)
    whole = [rows for rows in by_session(made).values() if 600 < seconds[rows[0]] < 2500]
    first = {int(made.session[rows[0]]) for rows in whole}
    assert len(first) > 5000
    turns = np.array([len(rows) for rows in whole])
    assert abs(turns.mean() - 5) < Z * np.sqrt(5 * 4 / len(turns)) + 0.03
    ones = (turns == 1).mean()
    assert abs(ones - 0.2) < Z * np.sqrt(0.16 / len(turns)) + 0.01
    gaps = np.concatenate([np.diff(seconds[rows]) for rows in whole])
    assert abs(gaps.mean() - 30) < Z * 30 / np.sqrt(len(gaps))
    assert abs((gaps > 30).mean() - np.exp(-1)) < Z * 0.483 / np.sqrt(len(gaps))


def test_a_session_has_one_tenant():
    shape = load().model_copy(update={"tenants": 7})
    made = generate(shape, 0, 20.0, 300, 1, 0)
    assert all(len(set(made.tenant[rows].tolist())) == 1 for rows in by_session(made).values())
    assert set(made.tenant.tolist()) == set(range(7))


def test_one_turn_without_a_prompt_shares_nothing():
    made = generate(load(turns=1, system_prompt=0), 0, 5.0, 300, 1, 0)
    assert len(np.unique(made.session)) == len(made)
    assert len(np.unique(made.block_hash)) == len(made.block_hash)


@pytest.mark.parametrize("turns", [2, 8])
def test_longer_conversations_repeat_more(turns):
    """Share of blocks seen before: with t turns of equal growth at most (t − 1) / t and more than half of that."""
    made = generate(load(turns=turns, system_prompt=0), 0, 5.0, 2000, 1, 0)
    seen = 1 - len(np.unique(made.block_hash)) / len(made.block_hash)
    assert 0.5 * (turns - 1) / turns < seen < 1
