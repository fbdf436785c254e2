"""Who pays for a step: hand calculation on a made-up table, and what must hold for every split."""

from dataclasses import replace

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from test_kernel import service_time_model

from tokenworks.rehearsal.purposes import (
    CACHED,
    DECODE,
    PREFILL,
    PROMPT,
    Counts,
    context,
    joule_shares,
    time_shares,
)

KEY, PAIR = 3, 5


def model(limits=(0, 0)):
    """Every prompt token costs 10, a decode step 8 whatever its batch, a key 3, a pair 5, in class 0 alone."""
    plain = service_time_model(4, np.full(5, 0.001), 0.002)
    table = plain.levels[0]
    flat = lambda a, value: np.full_like(a, value)  # noqa: E731
    table = replace(
        table,
        mixed=np.tile(10 * np.arange(table.mixed.shape[1]), (len(table.mixed), 1)),
        decode=flat(table.decode, 8),
        context=np.tile([KEY, 0, 0], (len(table.context), 1)),
        pair=np.tile([PAIR, 0, 0], (len(table.pair), 1)),
        shared_mixed=flat(table.shared_mixed, 0),
        shared_decode=flat(table.shared_decode, 0),
    )
    return replace(plain, levels=(table,), limits=limits)


def test_by_hand():
    """One prompt of 100 tokens, 40 of them cached, answered in 10: the cached ones are half of what reading them takes."""
    seen = context(np.array([100.0]), np.array([10.0]), 0.4, (0, 0))
    work = np.zeros(4)
    work[PREFILL] = 60 * 10 + PAIR * 60 * 60 / 2 + PAIR * 60 * 40 / 2
    work[PROMPT] = KEY * 10 * 60 / 2
    work[CACHED] = PAIR * 60 * 40 / 2 + KEY * 10 * 40 / 2
    work[DECODE] = 10 * 8 / 2 + KEY * 10 * 5 + KEY * 10 * 100 / 2  # two sequences share a step
    found = time_shares(model(), Counts(60.0, 10.0, 2.0), seen)
    assert found == pytest.approx(work / work.sum())


lengths = st.lists(st.integers(1, 50_000), min_size=1, max_size=20).map(lambda x: np.array(x, float))


@settings(derandomize=True, max_examples=100, deadline=None)
@given(lengths, st.integers(1, 5000), st.floats(0.0, 0.95), st.sampled_from([(0, 0), (128, 0), (128, 4096)]))
def test_shares_are_of_one_whole(inputs, output, cached, limits):
    seen = context(inputs, np.full(len(inputs), float(output)), cached, limits)
    counts = Counts(float(inputs.sum()) * (1 - cached), float(output * len(inputs)), 3.0)
    for split in (time_shares, joule_shares):
        shares = split(model(limits), counts, seen)
        assert shares.sum() == pytest.approx(1.0)
        assert (shares >= 0).all()
    shares = time_shares(model(limits), counts, seen)
    assert (shares[CACHED] > 0) == (cached > 0)


def test_a_window_caps_what_reading_costs():
    inputs, outputs = np.array([10_000.0]), np.array([100.0])
    whole, capped = context(inputs, outputs, 0.5, (0, 0)), context(inputs, outputs, 0.5, (128, 0))
    assert capped.prompt[0] == whole.prompt[0]
    seen = capped.prompt[1] + capped.cached[1] + capped.answer[1]
    assert seen == pytest.approx(128)


def test_nothing_done_is_nobodys_prompt():
    seen = context(np.array([]), np.array([]), 0.0, (0, 0))
    assert time_shares(model(), Counts(0.0, 0.0, 0.0), seen).tolist() == [0.0, 0.0, 0.0, 1.0]
