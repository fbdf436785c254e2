"""The gateway decides as the twin does; what is ill or full is passed over; breakers open, try and close."""

import json

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from tokenworks.api import load
from tokenworks.control.routing import KV_AWARE
from tokenworks.events.requests import Requests
from tokenworks.physics.compile import compile_worker
from tokenworks.physics.fleet import fleet
from tokenworks.serve.body.splice import Body, read
from tokenworks.serve.http.request import Refused
from tokenworks.serve.upstreams.breaker import Breaker, BreakerRules
from tokenworks.serve.upstreams.prefix_index import PrefixIndex
from tokenworks.serve.upstreams.prefix_router import PrefixRouter
from tokenworks.serve.upstreams.prompt import BLOCK_BYTES, Prompt
from tokenworks.serve.upstreams.routing import Router, session_number
from tokenworks.serve.upstreams.upstream import Upstream
from tokenworks.spec.factory import ROUTING
from tokenworks.twin.cell import FINISHED, Cell, ServicePlan, TwinOptions
from tokenworks.twin.simulate import simulate

WORKERS, REQUESTS = 5, 400
POLICIES = [ROUTING.index(name) for name in ("round-robin", "random", "least-loaded", "power-of-two", "session")]


def router(policy, count=WORKERS, seed=0, rules=None, most=0):
    return Router("chat", upstreams(count, most=most), policy, seed, rules or BreakerRules())


def upstreams(count, **more):
    return [Upstream(f"http://127.0.0.1:{i + 1}", **more) for i in range(count)]


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


def prefix_requests(seed, unit):
    """Of conversations: each prompt begins as one before it did, and goes on in its own way."""
    dice = np.random.default_rng(seed)
    count, talks = REQUESTS, 25
    hashes = [[] for _ in range(count)]
    stems = [[] for _ in range(talks)]
    tokens = dice.integers(1, 2500, count)
    for i in range(count):
        stem = stems[int(dice.integers(talks))]
        kept = stem[: int(dice.integers(0, len(stem) + 1))] if dice.random() < 0.3 else list(stem)
        hashes[i] = (kept + [int(dice.integers(1, 2**62)) for _ in range(40)])[: int(tokens[i]) // unit]
        stem[:] = hashes[i] or stem
    lengths = [len(h) for h in hashes]
    return Requests(
        arrival=np.sort(dice.integers(0, 30 * 10**11, count)), input_tokens=tokens.astype(np.int32),
        output_tokens=dice.integers(1, 300, count).astype(np.int32), service=np.zeros(count, np.int16),
        tenant=np.zeros(count, np.int32), session=np.full(count, -1), priority=np.zeros(count, np.int8),
        timeout=np.zeros(count, np.int64), think=np.zeros(count, np.int64),
        block_start=np.concatenate([[0], np.cumsum(lengths)]).astype(np.int64),
        block_hash=np.array([x for h in hashes for x in h], np.uint64), hash_block_tokens=unit,
    )  # fmt: skip


@pytest.mark.parametrize(("seed", "weight"), [(0, 1.0), (1, 4.0), (2, 0.3), (3, 0.0)])
def test_kv_aware_decisions_are_the_twins(seed, weight):
    """The twin plays conversations; the gateway is told prompts as they come, first tokens and ends, and decides the same."""
    model = compile_worker(fleet(load("laptop").replace("services.chat.prefix_cache", True))[0].deployment)
    unit = 2 * model.block_tokens
    asked = prefix_requests(seed, unit)
    plan = ServicePlan("chat", workers=tuple(range(WORKERS)), policy=KV_AWARE, kv_weight_256=round(256 * weight))
    log = simulate(Cell((model,), (0,) * WORKERS, (plan,), seed=3), asked, TwinOptions(record=True)).log
    assert (log.status == FINISHED).all()
    gateway = PrefixRouter(
        "chat", upstreams(WORKERS, kv_tokens=10**9), 0, BreakerRules(), weight, model.block_tokens, unit
    )
    prompts, chosen, helped = [], {}, 0
    for i in range(REQUESTS):
        own = asked.block_hash[asked.block_start[i] : asked.block_start[i + 1]].tolist()
        prompts.append(Prompt(tuple(own), int(asked.input_tokens[i] + asked.output_tokens[i])))
    moments = [(int(t), 2, i) for i, t in enumerate(log.arrival)]
    moments += [(int(t), 0, i) for i, t in enumerate(log.first_token)] + [
        (int(t), 1, i) for i, t in enumerate(log.finish)
    ]
    for _, what, i in sorted(moments):
        if what == 2:
            usable = prompts[i].hashes[: (int(asked.input_tokens[i]) - 1) // unit]  # one token at least is computed
            least = gateway._place_for(-1, None)
            chosen[i] = gateway.take(-1, 0.0, (), Prompt(usable, prompts[i].tokens))
            helped += chosen[i] != least
        elif what == 0:
            gateway.prefilled(chosen[i], prompts[i])
        else:
            gateway.release(chosen[i], prompts[i])
    assert [chosen[i] for i in range(REQUESTS)] == log.worker.tolist()
    assert (helped > 10) == (weight > 0)  # caches had their say
    assert gateway.outstanding == [0] * WORKERS
    assert gateway._tokens == [0] * WORKERS


def test_kv_aware_routing_of_one_upstream_reads_no_prompts():
    assert not router(KV_AWARE, 1).reads_prompts
    assert router(KV_AWARE, 1).take(-1, 0.0) == 0


def call_of(text, **more):
    return read(json.dumps({"model": "m", "messages": [{"role": "user", "content": text}], **more}).encode())


def test_equal_beginnings_have_equal_blocks_however_they_are_written():
    long = "word " * 400
    one, two = Prompt.of(call_of(long + "a" * 300)), Prompt.of(call_of(long + "b" * 300))
    same = sum(a == b for a, b in zip(one.hashes, two.hashes, strict=True))
    assert same == len(long) // BLOCK_BYTES  # by the text alone: the role before it does not fill another block
    assert not set(one.hashes[same:]) & set(two.hashes)
    body = call_of(long).text
    spaced = read(json.dumps(json.loads(body), indent=3).encode())
    assert Prompt.of(spaced) == Prompt.of(read(body))
    assert Prompt.of(call_of(long, tools=[{"type": "function"}])).hashes[0] != one.hashes[0]
    assert Prompt.of(call_of(long, max_tokens=77)).tokens == (len(long) + len("\0user\1")) // 4 + 77
    assert Prompt.of(read(b'{"model":"m","messages":7}')).hashes == ()
    assert Prompt.of(read(b'{"model":"m","prompt":"%b"}' % (b"x" * 1000))).hashes != ()


class PlainIndex:
    """The caches of the index, one list an upstream, oldest first."""

    def __init__(self, capacities):
        self.capacities, self.held = capacities, [[] for _ in capacities]

    def touch(self, i, hashes):
        self.held[i] = [h for h in self.held[i] if h not in hashes] + list(dict.fromkeys(reversed(hashes)))
        self.held[i] = self.held[i][max(0, len(self.held[i]) - self.capacities[i]) :]

    def runs(self, hashes):
        return [next((n for n, h in enumerate(hashes) if h not in held), len(hashes)) for held in self.held]


@given(
    st.lists(
        st.tuples(st.integers(0, 2), st.lists(st.integers(0, 12), max_size=6, unique=True), st.integers(0, 9)),
        max_size=40,
    )
)
def test_the_index_is_a_cache_per_upstream_that_forgets_the_oldest(steps):
    index, plain = PrefixIndex([3, 5, 8]), PlainIndex([3, 5, 8])
    for i, hashes, what in steps:
        if what == 0:
            index.clear(i)
            plain.held[i] = []
        elif what == 1:
            index.shrink(i, len(hashes))
            plain.held[i] = plain.held[i][max(0, len(plain.held[i]) - len(hashes)) :]
        elif what < 7:
            index.touch(i, hashes)
            plain.touch(i, hashes)
        assert index.runs(hashes).tolist() == plain.runs(hashes)
    assert [index.size(i) for i in range(3)] == [len(h) for h in plain.held]
    assert set(index._holders) == {h for held in plain.held for h in held}  # nothing is kept for nobody


# ---------------------------------------------------------------------- breakers


def opened(count=2, **rules):
    """Of round-robin upstreams the first has failed at 10 s, and is left alone for a second."""
    gateway = router(ROUTING.index("round-robin"), count, rules=BreakerRules(failures=1, pause_s=1.0, **rules))
    gateway.failed(0, 10.0)
    return gateway


@pytest.mark.parametrize("end", ["undecided", "failed", "well"])
def test_a_trial_has_an_end_and_then_there_may_be_another(end):
    gateway = opened()
    assert [gateway.take(-1, 11.5) for _ in range(2)] == [0, 1]
    gateway.failed(0, 11.5) if end == "failed" else getattr(gateway, end)(0)
    again_s = 13.6 if end == "failed" else 11.5
    assert {gateway.take(-1, again_s) for _ in range(2)} == {0, 1}
    assert (gateway.breakers[0].closed, gateway.breakers[0].trying) == (end == "well", end != "well")


def test_an_engine_that_breaks_off_every_answer_is_left_alone():
    gateway = router(ROUTING.index("round-robin"), 2, rules=BreakerRules(failures=3, pause_s=1.0))
    for _ in range(3):
        gateway.begun(0)
        gateway.failed(0, 10.0)
    assert {gateway.take(-1, 10.5) for _ in range(4)} == {1}


def test_others_need_not_wait_for_the_end_of_a_trial_whose_answer_has_begun():
    gateway, called = opened(1), []
    gateway.freed = lambda: called.append("freed")
    assert gateway.take(-1, 11.5) == 0
    with pytest.raises(Refused):
        gateway.take(-1, 11.5)
    gateway.begun(0)
    assert (gateway.take(-1, 11.5), called) == (0, ["freed"])
    gateway.failed(0, 12.0)  # on probation one failure is enough, and the pause grows
    with pytest.raises(Refused):
        gateway.take(-1, 13.9)
    assert gateway.take(-1, 14.1) == 0
    gateway.begun(0)
    gateway.well(0)
    gateway.failed(0, 15.0)
    assert gateway.take(-1, 16.1) == 0  # a whole answer: the first pause again


def test_an_answer_of_before_begins_and_closes_nothing():
    gateway = opened()
    gateway.begun(0)
    assert {gateway.take(-1, 10.5) for _ in range(4)} == {1}


def test_who_answers_500_is_passed_over_while_others_are_well_and_asked_where_none_is():
    gateway = router(ROUTING.index("round-robin"), 2, rules=BreakerRules(failures=2, pause_s=1.0))
    for i in (0, 0):
        gateway.failed(i, 10.0, 500)
    assert {gateway.take(-1, 10.5) for _ in range(4)} == {1}
    for _ in range(2):
        gateway.failed(1, 10.5, 500)
    assert gateway.able
    assert [gateway.take(-1, 10.6) for _ in range(4)] == [0, 0, 0, 0]  # whoever has least
    with pytest.raises(Refused, match="no upstream answers"):
        gateway.take(-1, 10.6, wary=True)  # another service may be well
    gateway.failed(0, 10.7)  # a broken connection
    assert gateway.take(-1, 10.8) == 1
    gateway.well(1)
    assert {gateway.take(-1, 10.9) for _ in range(4)} == {1}


def test_who_answers_500_in_trials_is_tried_at_the_same_pause():
    gateway = router(ROUTING.index("round-robin"), 2, rules=BreakerRules(failures=1, pause_s=1.0))
    for second in range(10, 20):
        gateway.failed(0, float(second), 500)
        assert gateway.take(-1, second + 0.9) == 1
        assert gateway.take(-1, second + 1.0) == 0


def test_doubtful_upstreams_that_are_full_are_full():
    gateway = router(ROUTING.index("round-robin"), 2, rules=BreakerRules(failures=1, pause_s=9.0), most=1)
    for i in (0, 1):
        gateway.failed(i, 10.0, 500)
    assert [gateway.take(-1, 10.5) for _ in range(2)] == [0, 1]
    with pytest.raises(Refused) as refused:
        gateway.take(-1, 10.5)
    assert (refused.value.status, refused.value.code) == (429, "busy")
    assert gateway.take(-1, 10.5, begun=True) == 0


def test_a_drained_upstream_is_no_last_resort():
    gateway = opened(1)
    gateway.failed(0, 10.0, 500)
    gateway.drain(0, True)
    assert not gateway.able
    with pytest.raises(Refused):
        gateway.take(-1, 99.0)


# ---------------------------------------------------------------------- places that appear


def test_who_waits_is_called_when_places_appear():
    gateway, called = router(2, 2, most=1), []
    gateway.freed = lambda: called.append("freed")
    gateway.drain(0, True)
    gateway.open(1, False)
    assert called == []
    gateway.drain(0, False)
    gateway.open(1, True)
    assert len(called) == 2
    gateway.take_over(router(2, 3, most=5))
    assert len(called) == 3


def test_a_weight_of_caches_is_taken_over():
    def made(weight):
        gateway = PrefixRouter("chat", upstreams(2), 0, BreakerRules(), weight)
        gateway.prefilled(1, Prompt((1, 2, 3), 0))
        return gateway

    gateway, prompt = made(0.0), Prompt((1, 2, 3), 100)
    assert gateway._place_for(-1, prompt) == 0
    gateway.take_over(made(1.0))
    assert gateway._place_for(-1, prompt) == 1


# ---------------------------------------------------------------------- what callers write


@pytest.mark.parametrize("limit", [-1, -(10**12), 2**62, 2**63 - 1, 10**7 + 1])
def test_a_limit_that_no_engine_could_have_is_none(limit):
    plain = Prompt.of(call_of("hi"))
    assert Prompt.of(call_of("hi", max_tokens=limit)) == plain
    assert Prompt.of(call_of("hi", max_tokens=10**7)).tokens == plain.tokens - 256 + 10**7
    gateway = PrefixRouter("chat", upstreams(2), 0, BreakerRules(), 1.0)
    prompt = Prompt.of(call_of("hi", max_tokens=limit))
    assert sorted(gateway.take(-1, 0.0, (), prompt) for _ in range(6)) == [0, 0, 0, 1, 1, 1]


def test_a_prompt_that_is_nested_too_deeply_has_no_blocks():
    depths = range(200, 1100, 3)  # the interpreter's limit is between them
    for depth in depths:
        for text in (b'{"model":"m","messages":[{"role":"user","content":%b}]}', b'{"model":"m","prompt":%b}'):
            body = Body(text % (b"[" * depth + b"]" * depth), None, depth, False)
            assert Prompt.of(body).tokens >= 256
