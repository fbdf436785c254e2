"""For any usage: Σ buckets = the stated total, and what cannot be is refused, never bent."""

from hypothesis import given
from hypothesis import strategies as st
from usage_records import chat, export, message, payload, read, span, total, use

from tokenworks.events.ledger_events import BUCKETS, UsageEvent
from tokenworks.ledger.ingest.parse import FORMATS, parse
from tokenworks.ledger.ingest.records import Context, Rejected

TOKENS = st.integers(0, 2**40)
PART = st.none() | TOKENS


def given_only(**parts):
    return {name: value for name, value in parts.items() if value is not None}


def holds(event, stated_in, stated_out):
    """The event's buckets, known and none negative, hold what was stated, input and output apart."""
    parts = [getattr(event, name) for name in BUCKETS]
    assert all(p is None or p >= 0 for p in parts)
    assert sum(p or 0 for p in parts[:3]) == stated_in
    assert sum(p or 0 for p in parts[3:]) == stated_out


@given(TOKENS, TOKENS, PART, PART, PART)
def test_openai(told, made, cached, written, reasoning):
    usage = {
        "prompt_tokens": told,
        "completion_tokens": made,
        "total_tokens": told + made,
        "prompt_tokens_details": given_only(cached_tokens=cached, cache_write_tokens=written),
        "completion_tokens_details": given_only(reasoning_tokens=reasoning),
    }
    for found in (
        read("openai", chat(usage)),
        read(
            "litellm",
            payload(prompt_tokens=told, completion_tokens=made, total_tokens=told + made, response={"usage": usage}),
        ),
    ):
        fits = (cached or 0) + (written or 0) <= told and (reasoning or 0) <= made
        assert isinstance(found[0], UsageEvent if fits else Rejected)
        if fits:
            holds(found[0], told, made)
            assert found[0].cache_read == cached
            assert found[0].output_reasoning == reasoning


@given(TOKENS, TOKENS, PART, PART, PART)
def test_otlp(told, made, cached, written, reasoning):
    names = given_only(
        gen_ai__usage__cache_read__input_tokens=cached,
        gen_ai__usage__cache_creation__input_tokens=written,
        gen_ai__usage__reasoning__output_tokens=reasoning,
    )
    (found,) = read("otlp", export(span("chat", 1, **use(told, made), **names)))
    fits = (cached or 0) + (written or 0) <= told and (reasoning or 0) <= made
    assert isinstance(found, UsageEvent if fits else Rejected)
    if fits:
        holds(found, told, made)


@given(TOKENS, TOKENS, PART, PART, PART)
def test_anthropic(fresh, made, cached, written, thinking):
    usage = {
        "input_tokens": fresh,
        "output_tokens": made,
        **given_only(cache_read_input_tokens=cached, cache_creation_input_tokens=written),
    }
    if thinking is not None:
        usage["output_tokens_details"] = {"thinking_tokens": thinking}
    (found,) = read("anthropic", message(usage))
    if (thinking or 0) > made:
        assert isinstance(found, Rejected)
    else:
        holds(found, fresh + (cached or 0) + (written or 0), made)


@given(st.lists(st.integers(1, 10**6), max_size=8), st.booleans())
def test_a_stream_that_breaks_off_never_meters_zero(counts, usage_in_chunks):
    stream = [
        {"id": "c", "created": 1772366400, "model": "m", "choices": [{"delta": {"content": "x"}}]} for _ in counts
    ]
    for n, chunk in enumerate(stream if usage_in_chunks else ()):
        chunk["usage"] = {"prompt_tokens": 1, "completion_tokens": sum(counts[: n + 1])}
    if not stream:
        return
    (event,) = read("openai", {"stream": stream})
    assert event.usage_status == ("partial" if usage_in_chunks else "missing")
    assert total(event) == (1 + sum(counts) if usage_in_chunks else 0)
    assert 0 not in (event.input_fresh, event.output_visible)


JSON = st.recursive(
    st.none() | st.booleans() | st.integers() | st.floats() | st.text(),
    lambda inner: st.lists(inner, max_size=3) | st.dictionaries(st.text(), inner, max_size=3),
    max_leaves=8,
)
KEYS = [
    "type",
    "id",
    "usage",
    "response",
    "stream",
    "metadata",
    "choices",
    "output",
    "data",
    "source",
    "specversion",
    "resourceSpans",
    "prompt_tokens",
    "created",
    "time",
    "content",
    "request_tags",
    "attempt",
]


@given(st.sampled_from(FORMATS), st.dictionaries(st.sampled_from(KEYS), JSON, max_size=8) | JSON)
def test_any_json_gives_events_or_reasons_and_never_breaks_a_reader(format, record):
    import msgspec

    for found in parse(format, [msgspec.json.encode(record)], Context(tenant="t", model="m", year=2026)):
        assert isinstance(found, Rejected) or found.id


@given(st.sampled_from(FORMATS), st.binary(max_size=60))
def test_any_bytes_give_reasons(format, line):
    for found in parse(format, [line], Context(tenant="t", model="m", year=2026)):
        assert isinstance(found, Rejected)
        assert found.reason
