"""The queue in front of full upstreams: shares by weight, priorities within a tenant, honest refusals."""

import pytest
from hypothesis import given
from hypothesis import strategies as st

from tokenworks.serve.call.admission import Admission
from tokenworks.serve.http.request import Refused
from tokenworks.serve.upstreams.fair_queue import FairQueue, QueueRules


class Clock:
    """A loop whose time stands still until it is told to move."""

    def __init__(self):
        self.now, self.soon, self.timers = 0.0, [], []

    def time(self):
        return self.now

    def call_soon(self, what, *of):
        self.soon.append((what, of))

    def call_later(self, after_s, what, *of):
        timer = Timer(self.now + after_s, what, of)
        self.timers.append(timer)
        return timer

    def run(self, until_s=None):
        self.now = self.now if until_s is None else until_s
        for timer in sorted((t for t in self.timers if t.at <= self.now and not t.over), key=lambda t: t.at):
            if not timer.over:
                timer.over = True
                timer.what(*timer.of)
        while self.soon:
            what, of = self.soon.pop(0)
            what(*of)


class Timer:
    def __init__(self, at, what, of):
        self.at, self.what, self.of, self.over = at, what, of, False

    def cancel(self):
        self.over = True


class Hall:
    """So many places; who gets one is noted."""

    def __init__(self, places=0, **rules):
        self.clock, self.free, self.served, self.refused = Clock(), places, [], []
        self.queue = FairQueue("chat", QueueRules(**rules), self.clock)

    def enter(self, tenant, name=None, priority=0):
        name = name or tenant

        def start():
            if not self.free:
                return False
            self.free -= 1
            self.served.append(name)
            return True

        return self.queue.enter(tenant, priority, start, lambda refused: self.refused.append((name, refused)))

    def give(self, places=1, at_s=None):
        self.free += places
        self.queue.freed()
        self.clock.run(at_s)


def test_places_go_to_tenants_by_weight():
    hall = Hall(weights={"a": 3.0})
    for _ in range(40):
        hall.enter("a")
        hall.enter("b")
    hall.give(40)
    assert (hall.served.count("a"), hall.served.count("b")) == (30, 10)
    assert all(abs(hall.served[:n].count("a") - 0.75 * n) <= 1 for n in range(1, 41))  # evenly, too


def test_a_flood_delays_only_itself():
    hall = Hall()
    for i in range(100):
        hall.enter("flood", f"f{i}")
    hall.give(10)
    hall.enter("quiet", "q")
    hall.give(2)
    assert "q" in hall.served
    assert [n for n in hall.served if n != "q"] == [f"f{i}" for i in range(11)]


def test_who_comes_later_is_owed_nothing_for_the_time_before():
    hall = Hall()
    for i in range(60):
        hall.enter("early", f"e{i}")
    hall.give(30)
    for i in range(20):
        hall.enter("late", f"l{i}")
    hall.give(20)
    late = [n[0] == "l" for n in hall.served[30:]]
    assert all(abs(sum(late[:n]) - n / 2) <= 1 for n in range(1, 21))


def test_nobody_overtakes_who_waits():
    """Not even where a place is free by now: those who wait are about to be called."""
    hall = Hall(places=1)
    hall.enter("a", "first")

    class Course:
        begin = pytest.fail

    admission = Admission(Course(), hall.queue, hall.clock.time, lambda: None, lambda refused: None)
    assert not admission.enter("b", {})
    assert hall.queue.length == 2
    assert admission.leave()


def test_priorities_order_a_tenants_own_and_nobody_elses():
    hall = Hall()
    for name, priority in (("a0", 0), ("a9", 9), ("a5", 5), ("a9b", 9)):
        hall.enter("a", name, priority)
    hall.enter("b", "b0", -9)
    hall.give(5)
    assert [n for n in hall.served if n[0] == "a"] == ["a9", "a9b", "a5", "a0"]
    assert hall.served.index("b0") <= 1


@given(
    st.lists(st.sampled_from("abcd"), min_size=1, max_size=60),
    st.dictionaries(st.sampled_from("abcd"), st.sampled_from([0.5, 1.0, 2.0, 5.0])),
    st.integers(1, 60),
)
def test_no_tenant_falls_behind_its_share(arrivals, weights, places):
    """While two tenants both wait, what they got differs from their weights by one request each at most (SCFQ's bound)."""
    hall = Hall(weights=weights)
    left = {}
    for tenant in arrivals:
        hall.enter(tenant)
        left[tenant] = left.get(tenant, 0) + 1
    got = dict.fromkeys(left, 0)
    for _ in range(min(places, len(arrivals))):
        hall.give()
        tenant = hall.served[-1]
        got[tenant] += 1
        left[tenant] -= 1
        waiting = [t for t in left if left[t]]
        for a in waiting:
            for b in waiting:
                assert abs(got[a] / weights.get(a, 1) - got[b] / weights.get(b, 1)) <= 1 / weights.get(
                    a, 1
                ) + 1 / weights.get(b, 1)
    assert hall.queue.length == sum(left.values())


def test_who_would_wait_too_long_is_told_when_to_come_again():
    hall = Hall(longest_s=5.0)
    for _ in range(8):
        hall.enter("a")
    for second in range(1, 6):
        hall.give(1, at_s=float(second) / 2)  # a place every half second
    assert len(hall.served) == 5
    assert hall.queue.expected_s("a") == pytest.approx(4 * 0.5)
    assert hall.queue.expected_s("b") == pytest.approx(2 * 0.5)  # one of the others' comes before it
    for _ in range(7):
        hall.enter("a")
    with pytest.raises(Refused, match=r"about 5\.5 s to wait, 5 s is the limit") as refused:
        hall.enter("a")
    assert (refused.value.status, refused.value.retry_after_s) == (429, 1.0)
    hall.enter("b")  # whose own line is short


def test_no_longer_than_stated_and_no_more_than_stated():
    hall = Hall(longest_s=5.0, most=2)
    hall.enter("a", "first")
    hall.clock.run(until_s=1.0)
    hall.enter("a", "second")
    with pytest.raises(Refused, match="full"):
        hall.enter("b")
    hall.clock.run(until_s=5.5)
    assert [(n, r.status, r.retry_after_s >= 1) for n, r in hall.refused] == [("first", 429, True)]
    hall.give(3)
    assert (hall.served, hall.queue.length) == (["second"], 0)


def test_who_leaves_takes_no_place():
    hall = Hall()
    waiting = [hall.enter("a", f"a{i}") for i in range(3)]
    hall.queue.leave(waiting[0])
    hall.queue.leave(waiting[0])
    hall.give(5)
    assert (hall.served, hall.queue.length, hall.free) == (["a1", "a2"], 0, 3)
    hall.clock.run(until_s=100.0)
    assert hall.refused == []  # no timer outlives its request


def test_time_in_which_nobody_waited_is_no_pause_between_two_places():
    hall = Hall(longest_s=5.0)
    hall.enter("a")
    hall.enter("a")
    hall.give(1, at_s=0.5)
    hall.clock.run(until_s=5.5)
    assert (len(hall.refused), hall.queue.length) == (1, 0)
    hall.clock.run(until_s=1000.0)
    hall.enter("a")
    hall.give(1, at_s=1000.5)
    assert hall.queue.expected_s("a") == pytest.approx(0.5)


def test_after_a_slow_time_one_may_wait_and_teaches_the_pace_of_today():
    hall = Hall(longest_s=5.0)
    hall.enter("a")
    hall.give(1, at_s=4.9)
    hall.enter("a", "one")
    with pytest.raises(Refused, match="to wait, 5 s is the limit"):
        hall.enter("a")
    hall.give(1, at_s=5.0)
    hall.clock.run(until_s=1000.0)
    waits = []
    for call in range(20):
        hall.enter("a")
        waits.append(hall.queue.expected_s("a"))
        hall.give(1, at_s=1000.1 + call)
        hall.clock.run(until_s=1001.0 + call)
    assert waits == sorted(waits, reverse=True)
    assert waits[-1] < 2.0


def test_who_waited_in_vain_leaves_nothing_behind():
    hall = Hall(longest_s=5.0)
    for _ in range(9):
        hall.enter("flood")
    hall.give(4)
    hall.clock.run(until_s=6.0)
    assert hall.queue.length == 0
    hall.enter("flood", "again")
    hall.enter("quiet")
    hall.give(1)
    assert hall.served[-1] == "again"  # it owes nothing for what came before


def test_a_call_that_cannot_be_started_holds_nobody_up():
    hall = Hall()

    def start():
        raise ZeroDivisionError

    hall.clock.call_exception_handler = (troubles := []).append
    hall.queue.enter("a", 0, start, pytest.fail)
    hall.enter("a", "next")
    hall.enter("b", "other")
    hall.give(2)
    assert sorted(hall.served) == ["next", "other"]
    assert [type(t["exception"]) for t in troubles] == [ZeroDivisionError]
    assert hall.queue.length == 0


@pytest.mark.parametrize("priority", [9, -9])
def test_who_enters_while_another_one_starts_is_not_taken_for_it(priority):
    """The next request of a connection may come as soon as the one before it is refused."""
    hall = Hall()

    def start():
        hall.enter("a", "second", priority)
        return True

    hall.queue.enter("a", 0, start, pytest.fail)
    hall.give(1)
    assert (hall.served, hall.queue.length) == (["second"], 0)
