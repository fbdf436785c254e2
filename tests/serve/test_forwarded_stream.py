"""Streams pass as they are, whatever the network cuts them into; their end waits; usage is found."""

import json

from hypothesis import given
from hypothesis import strategies as st

from tokenworks.ledger.ingest.buckets import never_zero
from tokenworks.ledger.ingest.openai import buckets_of
from tokenworks.serve.body.stream import Stream
from tokenworks.serve.body.usage import PLAIN, _buckets, told

TRICKY = ['"usage":{', "data: [DONE]", '"choices":[]', "\n\n", 'a\\"usage":{', "ü", ""]


def event(data, newline="\n"):
    return f"data: {data}{newline}{newline}".encode()


def chunk(text, **more):
    return json.dumps({"id": "c", "choices": [{"index": 0, "delta": {"content": text}}], **more}, separators=(",", ":"))


@st.composite
def streams(draw):
    """(events before the end, usage chunk or none, [DONE] or none), and their bytes cut somewhere."""
    newline = draw(st.sampled_from(["\n", "\r\n"]))
    space = draw(st.sampled_from([(",", ":"), (", ", ": ")]))
    texts = draw(st.lists(st.sampled_from(TRICKY) | st.text(max_size=5), max_size=6))
    null = draw(st.sampled_from([{}, {"usage": None}]))
    before = [
        event(json.dumps({"choices": [{"delta": {"content": t}}], **null}, separators=space), newline) for t in texts
    ]
    usage = (
        {"prompt_tokens": 5, "completion_tokens": len(texts), "total_tokens": 5 + len(texts)}
        if draw(st.booleans())
        else None
    )
    last = [event(json.dumps({"choices": [], "usage": usage}, separators=space), newline)] if usage else []
    done = [event("[DONE]", newline)] if draw(st.booleans()) else []
    whole = b"".join([*before, *last, *done])
    cuts = sorted(draw(st.lists(st.integers(0, len(whole)), max_size=8)))
    pieces = [whole[a:b] for a, b in zip([0, *cuts], [*cuts, len(whole)], strict=True)]
    return before, last, done, usage, pieces


@given(streams(), st.booleans())
def test_any_cut_gives_the_same_stream(made, withhold):
    before, last, done, usage, pieces = made
    stream = Stream(withhold)
    now = b"".join(stream.feed(piece) for piece in pieces if piece)
    plain = lambda parts: b"".join(parts).replace(b"\r\n", b"\n")  # noqa: E731
    assert now == plain(before)
    assert stream.rest() == plain([*([] if withhold else last), *done])
    assert stream.done == bool(done)
    assert (json.loads(stream.usage) if stream.usage else None) == usage


def test_the_last_of_several_usages_counts():
    stream = Stream(True)
    for made in (1, 2, 3):
        usage = {"prompt_tokens": 4, "completion_tokens": made, "total_tokens": 4 + made}
        data = event(chunk("w", usage=usage))
        assert stream.feed(data) == data
    assert json.loads(stream.usage)["completion_tokens"] == 3
    assert told(stream.usage, stream.counted, whole=False).buckets.output_visible == 3


def test_pieces_of_text_are_counted_where_no_usage_comes():
    stream = Stream(True)
    stream.feed(event('{"choices":[{"delta":{"role":"assistant","content":""}}]}'))
    for _ in range(7):
        stream.feed(event(chunk("word")))
    stream.feed(event('{"choices":[{"delta":{},"finish_reason":"stop"}]}'))
    found = told(stream.usage, stream.counted, whole=False)
    assert (found.buckets.output_visible, found.buckets.input_fresh, found.source, found.status) == (
        7,
        None,
        "estimate",
        "partial",
    )


def test_an_event_beyond_all_measure_does_not_stay_in_memory():
    stream = Stream(True)
    piece = b"x" * 100_000
    passed = sum(len(stream.feed(piece)) for _ in range(50))
    assert passed >= 5_000_000 - 1_100_000


COUNTS = st.integers(-2, 60) | st.none()


@given(
    st.fixed_dictionaries({}, optional={
        "prompt_tokens": COUNTS, "completion_tokens": COUNTS, "total_tokens": COUNTS,
        "prompt_tokens_details": st.none() | st.fixed_dictionaries({}, optional={"cached_tokens": COUNTS, "audio_tokens": COUNTS}),
        "completion_tokens_details": st.none() | st.fixed_dictionaries({}, optional={"reasoning_tokens": COUNTS}),
        "cache_read_input_tokens": COUNTS,
    }),
    st.booleans(),
)  # fmt: skip
def test_usage_means_here_what_it_means_to_the_ledgers_readers(usage, sums):
    """The short way for what most engines state, against the readers that take any usage block."""
    if sums and usage.get("prompt_tokens") is not None and usage.get("completion_tokens") is not None:
        usage["total_tokens"] = usage["prompt_tokens"] + usage["completion_tokens"]
    try:
        expected = buckets_of(usage, PLAIN)
    except ValueError:
        expected = None
    assert _buckets(json.dumps(usage).encode()) == expected
    if expected is not None:
        assert told(json.dumps(usage).encode(), 0, whole=False).buckets == never_zero(expected)


def test_no_usage_and_nothing_counted_is_missing_not_zero():
    found = told(None, 0, whole=True)
    assert (found.status, found.buckets.output_visible, found.buckets.input_fresh) == ("missing", None, None)
