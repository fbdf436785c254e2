"""Second attempts of slow streams: who begins first answers, the other is given up and metered, their share is bounded."""

import asyncio

import pytest
from live_gateway import CHUNK, DONE, Engine, front, run

from tokenworks.serve.upstreams.hedging import EVERY, FEW, HedgeRules, Hedging

STREAM = {"model": "chat", "messages": [{"role": "user", "content": "hi"}], "stream": True}
OTHER = CHUNK.replace(b'"w"', b'"other"')


def saying(chunk, after_s=0.0, count=3):
    async def script(request, connection):
        await asyncio.sleep(after_s)
        connection.begin(200, b"text/event-stream")
        for _ in range(count):
            connection.chunk(chunk)
        connection.finish(DONE)

    return script


def dead(request, connection):
    connection.transport.abort()


def knowing(gate, ttft_s=0.02, calls=1000):
    """The service has seen such times to the first token."""
    hedging = gate.served[0].hedging
    for _ in range(FEW):
        hedging.observe(ttft_s)
    hedging.calls = calls
    return hedging


def played(tmp_path, first, second, events, calls=1000):
    async def case():
        engines = Engine(first), Engine(second)
        async with front(tmp_path, *engines, hedge={}) as gate:
            hedging = knowing(gate, calls=calls)
            answer = await gate.post(STREAM)
            found = await gate.events(events)
            await asyncio.sleep(0.05)
            metrics = (await gate.get("/v1/metrics"))[2].decode()
            assert f'tokenworks_hedges_total{{service="chat",outcome="asked"}} {hedging.hedged}' in metrics
            return answer, found, [(len(e.asked), e.gone) for e in engines], gate.served[0].router.outstanding, hedging

    return run(case())


def test_the_faster_second_attempt_answers(tmp_path):
    (status, headers, data), events, asked, outstanding, hedging = played(
        tmp_path, saying(CHUNK, 5.0), saying(OTHER), 2
    )
    assert (status, data) == (200, OTHER * 3 + DONE)
    assert asked == [(1, 1), (1, 0)]  # the slow one was told to stop
    assert outstanding == [0, 0]
    assert sorted((e["attempt"], e["usage_status"], e["failed"]) for e in events) == [
        (1, "missing", True),
        (2, "final", False),
    ]
    assert headers["x-request-id"] == next(e["id"] for e in events if e["attempt"] == 1)
    assert (hedging.hedged, hedging.won) == (1, 1)


def test_the_faster_first_attempt_answers_and_the_second_is_metered(tmp_path):
    (status, _, data), events, asked, outstanding, hedging = played(
        tmp_path, saying(CHUNK, 0.15), saying(OTHER, 5.0), 2
    )
    assert (status, data) == (200, CHUNK * 3 + DONE)
    assert asked == [(1, 0), (1, 1)]
    assert outstanding == [0, 0]
    assert sorted((e["attempt"], e["usage_status"]) for e in events) == [(1, "final"), (2, "missing")]
    assert (hedging.hedged, hedging.won) == (1, 0)


def test_a_quick_answer_is_asked_for_once(tmp_path):
    (status, _, data), events, asked, _, hedging = played(tmp_path, saying(CHUNK), saying(OTHER), 1)
    assert (status, data, [n for n, _ in asked], len(events)) == (200, CHUNK * 3 + DONE, [1, 0], 1)
    assert hedging.hedged == 0


def test_no_more_than_the_share(tmp_path):
    (status, _, data), events, asked, outstanding, hedging = played(
        tmp_path, saying(CHUNK, 0.15), saying(OTHER), 1, calls=5
    )
    assert (status, data, [n for n, _ in asked]) == (200, CHUNK * 3 + DONE, [1, 0])
    assert (hedging.hedged, outstanding) == (0, [0, 0])


async def dying(request, connection):
    await asyncio.sleep(0.1)
    connection.transport.abort()


def test_the_second_attempt_stands_in_where_the_first_fails(tmp_path):
    (status, _, data), events, asked, outstanding, _ = played(tmp_path, dying, saying(OTHER, 0.3), 2)
    assert (status, data, [n for n, _ in asked]) == (200, OTHER * 3 + DONE, [1, 1])
    assert outstanding == [0, 0]
    assert sorted((e["attempt"], e["usage_status"]) for e in events) == [(1, "missing"), (2, "final")]


def test_a_second_attempt_that_fails_is_no_matter_of_the_caller(tmp_path):
    (status, _, data), events, asked, outstanding, _ = played(tmp_path, saying(CHUNK, 0.2), dead, 2)
    assert (status, data) == (200, CHUNK * 3 + DONE)
    assert outstanding == [0, 0]
    assert sorted((e["attempt"], e["usage_status"]) for e in events) == [(1, "final"), (2, "missing")]


def test_a_caller_who_leaves_ends_both(tmp_path):
    async def case():
        engines = Engine(saying(CHUNK, 9.0)), Engine(saying(OTHER, 9.0))
        async with front(tmp_path, *engines, hedge={}) as gate:
            knowing(gate)
            asking = asyncio.create_task(gate.post(STREAM))
            while not engines[1].asked:
                await asyncio.sleep(0.005)
            asking.cancel()
            events = await gate.events(2)
            while not all(e.gone for e in engines):
                await asyncio.sleep(0.005)
            return events, gate.served[0].router.outstanding

    events, outstanding = run(case())
    assert [e["usage_status"] for e in events] == ["missing"] * 2
    assert outstanding == [0, 0]


REFUSALS = {400: 0, 429: 0, 503: 1}  # by status: failures that the second upstream is held to


@pytest.mark.parametrize("status", [None, *REFUSALS])
def test_a_trial_that_a_second_attempt_takes_does_not_outlive_it(tmp_path, status):
    """Of an open breaker that is due while the first attempt waits. ``status``: what the second one gets; None: it is not allowed."""

    def answer(request, connection):
        connection.respond(status or 500, b"{}")

    async def case():
        engines = Engine(saying(CHUNK, 0.2)), Engine(saying(CHUNK, 0.2)), Engine(answer)
        async with front(tmp_path, *engines, hedge={}, failures=1, pause="30 s") as gate:
            hedging = knowing(gate, ttft_s=0.1, calls=1000 if status else 0)
            router, now = gate.served[0].router, asyncio.get_running_loop().time
            router.failed(2, now())
            router.breakers[2].retry_s = now() + 0.05
            assert (await gate.post(STREAM))[0] == 200
            due = router.breakers[2].may_try(now())
            router.breakers[2].retry_s = now()
            engines[2].script = engines[2].works
            assert (await gate.post(STREAM))[0] == 200
            return hedging.hedged, len(engines[2].asked), due, router.breakers[2].closed, router.outstanding

    hedged, asked, due, closed, outstanding = run(case())
    assert (hedged, asked) == ((1, 2) if status else (0, 1))
    assert due == (not REFUSALS.get(status, 0))
    assert (closed, outstanding) == (True, [0, 0, 0])


def test_times_to_the_first_token_are_learned_from_traffic(tmp_path):
    async def case():
        async with front(tmp_path, Engine(saying(CHUNK, 0.03)), hedge={}) as gate:
            hedging = gate.served[0].hedging
            before = hedging.delay_s()
            await asyncio.gather(*(gate.post(STREAM) for _ in range(FEW)))
            return before, hedging.delay_s()

    before, after = run(case())
    assert before is None
    assert after > 0.03


def test_the_delay_is_the_quantile_of_late_and_the_share_is_kept():
    hedging = Hedging(HedgeRules(share=0.1, quantile=0.95))
    assert hedging.delay_s() is None
    for i in range(FEW + 2 * EVERY):
        hedging.observe(i / (FEW + 2 * EVERY))
    assert hedging.delay_s() == pytest.approx(0.95, abs=0.05)
    for _ in range(1000):
        if hedging.delay_s() is not None and hedging.may():
            hedging.hedged += 1
    assert 90 < hedging.hedged <= 0.1 * hedging.calls
    for _ in range(600):
        hedging.observe(2.0)
    assert hedging.delay_s() == 2.0
