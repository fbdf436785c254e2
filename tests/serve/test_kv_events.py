"""KV events of engines: what they make the gateway forget, and that they make it believe nothing."""

import asyncio

import msgspec
import pytest
from hypothesis import given
from hypothesis import strategies as st
from live_gateway import Engine, front, run

from tokenworks.serve.upstreams.kv_events import CacheMirror
from tokenworks.serve.upstreams.prefix_index import PrefixIndex
from tokenworks.serve.upstreams.prompt import UNIT_TOKENS


def batch(*events, rank=None):
    """As vLLM's publisher packs them: arrays, the kind first."""
    return msgspec.msgpack.encode([1.5, list(events), rank] if rank is not None else [1.5, list(events)])


def stored(*names, size=16, medium="GPU"):
    return ["BlockStored", list(names), None, [1] * size * len(names), size, None, medium]


def removed(*names, medium="GPU"):
    return ["BlockRemoved", list(names), medium]


CLEARED = ["AllBlocksCleared"]


def mirror(units=range(20)):
    index = PrefixIndex([100, 100])
    for i in (0, 1):
        index.touch(i, list(units))
    return CacheMirror(index, 0), index


def test_a_cleared_cache_and_a_new_engine_are_forgotten():
    for number, payload in ((5, batch(CLEARED)), (0, batch()), (0, batch(stored(b"x")))):
        cache, index = mirror()
        cache.batch(number, payload)
        assert (index.size(0) == 0, index.size(1)) == (True, 20)
    cache, index = mirror()
    cache.batch(7, batch(stored(b"x")))
    assert index.size(0) == 20  # what came before is not known: nothing is concluded
    cache.batch(3, batch())  # its numbers begin anew
    assert index.size(0) == 0


def test_a_cache_that_holds_less_than_is_believed_is_believed():
    cache, index = mirror([])
    cache.batch(0, batch(stored(*range(40))))
    index.touch(0, list(range(12)))
    cache.batch(1, batch(stored(*range(40, 44))))
    assert (cache.tokens, index.size(0)) == (44 * 16, 44 * 16 // UNIT_TOKENS)
    cache.batch(2, batch(removed(*range(30))))
    assert (cache.tokens, index.size(0)) == (14 * 16, 4)
    assert index.runs(list(range(12)))[0] == 4  # the ends of prompts went first
    cache.batch(3, batch(stored(*range(100, 160), medium="CPU")))  # another tier
    assert cache.tokens == 14 * 16


def test_a_gap_ends_what_is_known_until_the_cache_is_empty_again():
    cache, index = mirror([])
    cache.batch(0, batch(stored(*range(40))))
    index.touch(0, list(range(10)))
    cache.batch(2, batch(removed(*range(39))))
    assert (cache.tokens, index.size(0)) == (None, 10)
    cache.batch(3, batch(CLEARED, stored("a")))
    assert (cache.tokens, index.size(0)) == (16, 0)
    cache.batch(4, b"\xc1 noise")
    assert cache.tokens is None


ODD = [[], 7, None, ["BlockStored"], ["BlockStored", [1], None, [1], "x"], ["BlockStored", [1], None, [1], None],
       ["BlockStored", [[1]], None, [1], 16], ["BlockStored", 5, None, [1], 16], ["BlockStored", [1], None, [1], float("nan")],
       ["BlockStored", [1], None, [1], float("inf")], ["BlockStored", [1], None, [1], -16], ["BlockRemoved", 5]]  # fmt: skip


@pytest.mark.parametrize("event", ODD)
def test_an_event_that_cannot_be_read_is_skipped_and_what_comes_after_it_counts(event):
    cache, index = mirror()
    cache.batch(5, batch(event, stored("a")))
    assert (cache.tokens, index.size(0)) == (None, 20)
    cache.batch(6, batch(event, CLEARED, stored("b")))
    assert (cache.tokens, index.size(0)) == (16, 0)
    cache.batch(7, batch(stored("c"), event))
    assert (cache.tokens, index.size(0)) == (None, 0)


ANYTHING = st.recursive(
    st.none() | st.booleans() | st.integers(-(2**63), 2**64 - 1) | st.floats() | st.text(max_size=5)
    | st.sampled_from(["BlockStored", "BlockRemoved", "AllBlocksCleared", "GPU"]),
    lambda inner: st.lists(inner, max_size=6) | st.dictionaries(st.text(max_size=3) | st.integers(0, 9), inner, max_size=3),
)  # fmt: skip


@given(st.binary(max_size=40) | ANYTHING.map(msgspec.msgpack.encode))
def test_no_message_raises_anything(payload):
    cache, index = mirror()
    cache.batch(0, payload)
    cache.batch(1, payload)
    cache.batch(2, b"\x91" * 5000)
    assert cache.tokens is None
    assert index.size(1) == 20


NAMES = st.lists(st.integers(0, 9), min_size=1, max_size=4, unique=True)


@given(st.lists(st.tuples(st.sampled_from(["store", "remove", "clear"]), NAMES, st.integers(0, 1)), max_size=30))
def test_tokens_are_those_of_the_blocks_that_are_there(events):
    cache, _ = mirror([])
    cache.batch(0, batch())
    held = set()
    for number, (kind, names, rank) in enumerate(events, 1):
        event = {"store": stored(*names), "remove": removed(*names), "clear": CLEARED}[kind]
        cache.batch(number, batch(event, rank=rank))
        blocks = {(rank, n) for n in names}
        held = set() if kind == "clear" else held | blocks if kind == "store" else held - blocks
        assert cache.tokens == 16 * len(held)


def test_events_come_over_zeromq(tmp_path):
    zmq = pytest.importorskip("zmq")
    context = zmq.Context()
    publisher = context.socket(zmq.PUB)
    port = publisher.bind_to_random_port("tcp://127.0.0.1")

    async def case():
        upstream = {"kv_events": f"tcp://127.0.0.1:{port}"}
        async with front(tmp_path, Engine(), Engine(), upstream=upstream, routing="kv-aware") as gate:
            index = gate.served[0].router.index
            text = "a long beginning " * 40
            body = {"model": "chat", "messages": [{"role": "user", "content": text}]}
            for _ in range(2):
                assert (await gate.post(body))[0] == 200
            believed = index.size(0) + index.size(1)
            number = 0
            while index.size(0) + index.size(1):  # until the subscription stands
                number += 1
                publisher.send_multipart([b"", number.to_bytes(8, "big"), batch(CLEARED)])
                await asyncio.sleep(0.02)
            return believed, [len(e.asked) for e in gate.engines]

    try:
        believed, asked = run(case())
    finally:
        publisher.close(0)
        context.term()
    assert believed > 1
    assert sorted(asked) == [0, 2]  # the second call went where the first one's beginning is


def test_without_zeromq_it_is_said_how_to_get_it(tmp_path, monkeypatch):
    import sys

    from tokenworks.errors import InputError

    monkeypatch.setitem(sys.modules, "zmq", None)

    async def case():
        async with front(
            tmp_path, Engine(), Engine(), upstream={"kv_events": "tcp://127.0.0.1:5557"}, routing="kv-aware"
        ):
            pass

    with pytest.raises(InputError, match=r"tokenworks\[kv-events\]"):
        run(case())
