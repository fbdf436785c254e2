"""The gateway decides as the twin does; what is ill or full is passed over; breakers open, try and close."""

import numpy as np
import pytest

from tokenworks.api import load
from tokenworks.errors import UnsupportedError
from tokenworks.events.requests import Requests
from tokenworks.physics.compile import compile_worker
from tokenworks.physics.fleet import fleet
from tokenworks.serve.breaker import Breaker, BreakerRules
from tokenworks.serve.http.request import Refused
from tokenworks.serve.routing import Router, session_number
from tokenworks.serve.upstream import Upstream
from tokenworks.spec.factory import ROUTING
from tokenworks.twin.cell import FINISHED, Cell, ServicePlan, TwinOptions
from tokenworks.twin.simulate import simulate

WORKERS, REQUESTS = 5, 400
POLICIES = [ROUTING.index(name) for name in ("round-robin", "random", "least-loaded", "power-of-two", "session")]


def router(policy, count=WORKERS, seed=0, rules=None, most=0):
    return Router(
        "chat",
        [Upstream(f"http://127.0.0.1:{i + 1}", most=most) for i in range(count)],
        policy,
        seed,
        rules or BreakerRules(),
    )


@pytest.fixture(scope="module")
def model():
    return compile_worker(fleet(load("laptop"))[0].deployment)


def requests(seed):
    dice = np.random.default_rng(seed)
    n = REQUESTS
    return Requests(
        arrival=np.sort(dice.integers(0, 20 * 10**11, n)),
        input_tokens=dice.integers(1, 3000, n).astype(np.int32), output_tokens=dice.integers(1, 400, n).astype(np.int32),
        service=np.zeros(n, np.int16), tenant=np.zeros(n, np.int32), session=dice.integers(-1, 40, n),
        priority=np.zeros(n, np.int8), timeout=np.zeros(n, np.int64), think=np.zeros(n, np.int64),
        block_start=np.zeros(n + 1, np.int64), block_hash=np.zeros(0, np.uint64), hash_block_tokens=1,
    )  # fmt: skip


@pytest.mark.parametrize("policy", POLICIES)
def test_the_same_arrivals_and_completions_give_the_same_decisions(policy, model):
    """The twin plays a trace; the gateway is told when requests came and when they had left, and nothing else."""
    plan = ServicePlan("chat", workers=tuple(range(WORKERS)), policy=policy)
    asked = requests(policy)
    log = simulate(Cell((model,), (0,) * WORKERS, (plan,), seed=3), asked, TwinOptions(record=True)).log
    assert (log.status == FINISHED).all()
    moments = sorted(
        [*((int(t), 1, i) for i, t in enumerate(log.arrival)), *((int(t), 0, i) for i, t in enumerate(log.finish))]
    )
    gateway, chosen = router(policy, seed=3), {}
    most = 0
    for _, arrives, i in moments:
        if arrives:
            chosen[i] = gateway.take(int(asked.session[i]), 0.0)
            most = max(most, *gateway.outstanding)
        else:
            gateway.release(chosen[i])
    assert [chosen[i] for i in range(REQUESTS)] == log.worker.tolist()
    assert most > 2  # loads differed, so that a policy that looks at them had something to see
    assert gateway.outstanding == [0] * WORKERS


def test_a_session_is_the_same_number_everywhere():
    """BLAKE2b of the text to 8 bytes, little-endian, without the lowest bit (computed apart): gateways must agree."""
    assert session_number("user-1") == 0x88E1EA21865AAC9A >> 1
    assert session_number("") == -1
    assert 0 <= session_number("ü") < 2**63


def test_upstreams_that_fail_in_a_row_are_left_alone_then_tried_by_one_request():
    gateway = router(ROUTING.index("round-robin"), 2, rules=BreakerRules(failures=2, pause_s=1.0))
    gateway.failed(0, 10.0)
    assert {gateway.take(-1, 10.0) for _ in range(4)} == {0, 1}
    gateway.failed(0, 10.0)
    assert {gateway.take(-1, 10.5) for _ in range(4)} == {1}
    assert [gateway.take(-1, 11.5) for _ in range(4)] == [0, 1, 1, 1]  # one trial at a time
    gateway.failed(0, 11.5)
    assert {gateway.take(-1, 13.4) for _ in range(3)} == {1}  # twice the pause
    assert gateway.take(-1, 13.6) == 0
    gateway.well(0)
    assert {gateway.take(-1, 13.7) for _ in range(4)} == {0, 1}


def test_a_success_in_between_keeps_a_breaker_closed():
    breaker = Breaker(BreakerRules(failures=2))
    for _ in range(5):
        assert not breaker.failure(0.0)
        assert not breaker.success()
    assert breaker.closed


def test_nobody_well_is_503_and_says_when_to_come_again():
    gateway = router(2, 2, rules=BreakerRules(failures=1, pause_s=7.0))
    gateway.failed(0, 100.0)
    gateway.failed(1, 101.0)
    with pytest.raises(Refused) as refused:
        gateway.take(-1, 102.0)
    assert (refused.value.status, refused.value.retry_after_s) == (503, 5.0)


def test_a_full_upstream_is_passed_over_and_all_full_is_429():
    gateway = router(ROUTING.index("session"), 2, most=2)
    assert sorted(gateway.take(session_number("a"), 0.0) for _ in range(4)) == [0, 0, 1, 1]
    with pytest.raises(Refused) as refused:
        gateway.take(session_number("a"), 0.0)
    assert refused.value.status == 429
    assert refused.value.retry_after_s > 0
    gateway.release(1)
    assert gateway.take(session_number("a"), 0.0) == 1


def test_kv_aware_routing_is_refused_where_it_would_be_something_else():
    with pytest.raises(UnsupportedError, match="kv-aware"):
        router(ROUTING.index("kv-aware"))
    assert router(ROUTING.index("kv-aware"), 1).take(-1, 0.0) == 0
