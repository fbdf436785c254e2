"""Names of attempts against Python's own reading of UUIDs."""

import time
from uuid import RFC_4122, UUID

from tokenworks.serve.uuids import uuid7


def test_names_are_uuids_of_version_7_in_order_of_time_and_none_comes_twice():
    before_ms = time.time_ns() // 1_000_000
    names = [uuid7() for _ in range(5000)]
    after_ms = time.time_ns() // 1_000_000
    read = [UUID(name) for name in names]
    assert {(one.version, one.variant) for one in read} == {(7, RFC_4122)}
    assert [str(one) for one in read] == names
    times_ms = [one.int >> 80 for one in read]
    assert times_ms == sorted(times_ms)
    assert before_ms <= times_ms[0] <= times_ms[-1] <= after_ms
    assert len(set(names)) == 5000
    chance = [(one.int >> 64 & 0xFFF) << 62 | (one.int & (1 << 62) - 1) for one in read]
    for bit in range(74):  # a fair coin falls on one side 2,500 times, give or take 35
        assert abs(sum(value >> bit & 1 for value in chance) - 2500) < 250
