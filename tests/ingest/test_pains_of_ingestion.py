"""Each pain that users of other meters report about usage records, with the naive way beside it, which is wrong."""

from usage_records import ACME, NOON, buckets, chat, export, message, one, payload, read, span, total, use

from tokenworks.events.ledger_events import UsageEvent
from tokenworks.ledger.ingest.records import Context, Rejected

CACHED = {
    "prompt_tokens": 10_000,
    "completion_tokens": 100,
    "total_tokens": 10_100,
    "prompt_tokens_details": {"cached_tokens": 9000, "cache_write_tokens": 500},
}


def test_cached_tokens_are_a_subset_at_openai():
    """Naive: cached and written tokens are added to the prompt's, as Anthropic's must be."""
    event = one("openai", chat(CACHED))
    naive = 10_000 + 9000 + 500
    assert event.input_fresh + event.cache_read + event.cache_write == 10_000 != naive


def test_cached_tokens_are_additive_at_anthropic():
    """Naive: cache reads are taken out of the input, as OpenAI's must be; the fresh input would even fall below zero."""
    event = one(
        "anthropic",
        message(
            {
                "input_tokens": 12,
                "cache_read_input_tokens": 9000,
                "cache_creation_input_tokens": 500,
                "output_tokens": 100,
            }
        ),
    )
    naive = 12 - 9000 - 500
    assert buckets(event)[:3] == (12, 9000, 500)
    assert event.input_fresh != naive
    assert total(event) == 12 + 9000 + 500 + 100


def test_cache_writes_are_a_subset_at_openai_not_an_addition():
    """Naive: the 2.24-fold bill, writes priced besides the prompt that holds them."""
    usage = {**CACHED, "prompt_tokens_details": {"cached_tokens": 0, "cache_write_tokens": 9900}}
    event = one("openai", chat(usage))
    assert (event.input_fresh, event.cache_write) == (100, 9900)
    assert event.input_fresh + event.cache_write == 10_000 != 10_000 + 9900


def test_reasoning_is_a_subset_of_the_output():
    """Naive: reasoning tokens are added to completion tokens."""
    usage = {
        "prompt_tokens": 1,
        "completion_tokens": 300,
        "total_tokens": 301,
        "completion_tokens_details": {"reasoning_tokens": 200},
    }
    event = one("openai", chat(usage))
    assert (event.output_visible, event.output_reasoning) == (100, 200)
    assert total(event) == 301 != 301 + 200


def test_a_parent_span_restates_its_children():
    """Naive: every span with usage is summed; two calls of 110 tokens become 440."""
    root = span("invoke_agent", 1, **use(200, 20))
    calls = [span("chat", 2, 1, **use(100, 10)), span("chat", 3, 1, **use(100, 10))]
    found = read("otlp", export(root, *calls))
    usage = [e for e in found if isinstance(e, UsageEvent)]
    (parent,) = [e for e in found if isinstance(e, Rejected)]
    assert sum(map(total, usage)) == 220 != 440
    assert parent.kind == "restated"
    assert "invoke_agent restates" in parent.reason


def test_an_inference_span_around_another_one_is_a_parent():
    """Naive: both are of operation `chat`, so both count: a framework's span and its client library's."""
    found = read(
        "otlp",
        export(
            span("chat", 1, **use(100, 10)),
            span("chat", 2, 1, **use(100, 10)),
            span(
                "",
                3,
                2,
                gen_ai__usage__prompt_tokens=100,
                gen_ai__usage__completion_tokens=10,
                gen_ai__request__model="llama",
            ),
        ),
    )
    usage = [e for e in found if isinstance(e, UsageEvent)]
    assert [e.id for e in usage] == ["0af7651916cd43dd8448eb211c80319c/0000000000000003/1"]
    assert [e.kind for e in found if isinstance(e, Rejected)] == ["restated", "restated"]


def test_an_engines_span_and_its_clients_in_two_exports():
    """Naive: both are leaves of their own export. Whoever runs both says so, and the engine's is named as restated."""
    context = Context(tenant="acme", engine_spans=False)
    found = read(
        "otlp",
        export(span("chat", 1, **use(100, 10))),
        export(span("", 3, 2, gen_ai__usage__prompt_tokens=100, gen_ai__request__model="llama")),
        context=context,
    )
    assert [getattr(e, "kind", "usage") for e in found] == ["usage", "restated"]


def test_an_agent_without_its_calls_is_named_and_not_billed():
    """Naive: it is skipped without a word. Its children may have come in another export."""
    (found,) = read("otlp", export(span("invoke_agent", 1, **use(200, 20))))
    assert found.kind == "restated"
    assert "does not hold" in found.reason


def chunks(*contents, usage=None, end="stop"):
    base = {"id": "chatcmpl-s", "created": 1772366400, "model": "gpt-5", "object": "chat.completion.chunk"}
    found = [
        {**base, "choices": [{"index": 0, "delta": {"content": c}, "finish_reason": None}], "usage": None}
        for c in contents
    ]
    if end:
        found.append({**base, "choices": [{"index": 0, "delta": {}, "finish_reason": end}]})
    return found + ([{**base, "choices": [], "usage": usage}] if usage else [])


def test_an_aborted_stream_is_never_zero():
    """Naive: no usage chunk came, so 0 tokens are recorded."""
    event = one("openai", {"stream": chunks("Hel", "lo", end=None)})
    assert (event.usage_status, buckets(event)) == ("missing", (None,) * 6)
    event = one("openai", {"stream": chunks("Hel", "lo", end=None), "produced": 2})
    assert (event.usage_status, event.usage_source, event.output_visible, event.input_fresh) == (
        "partial",
        "estimate",
        2,
        None,
    )


def test_a_stream_that_ended_is_final():
    event = one(
        "openai",
        {"stream": chunks("Hel", "lo", usage={"prompt_tokens": 9, "completion_tokens": 2, "total_tokens": 11})},
    )
    assert (event.usage_status, buckets(event)) == ("final", (9, None, None, 2, None, 0))


def test_cumulative_usage_of_chunks_is_not_added():
    """Naive: engines that state usage in every chunk are summed."""
    stream = chunks("Hel", "lo", end=None)
    for n, chunk in enumerate(stream, 1):
        chunk["usage"] = {"prompt_tokens": 9, "completion_tokens": n, "total_tokens": 9 + n}
    event = one("openai", {"stream": stream})
    assert (event.usage_status, event.input_fresh, event.output_visible) == ("partial", 9, 2)


START = {
    "type": "message_start",
    "message": {
        "id": "msg_s",
        "model": "claude-sonnet-4-5",
        "content": [],
        "usage": {
            "input_tokens": 2679,
            "cache_read_input_tokens": 0,
            "cache_creation_input_tokens": 0,
            "output_tokens": 3,
        },
    },
}
BLOCK = {"type": "content_block_start", "index": 0, "content_block": {"type": "text", "text": ""}}
DELTA = {"type": "message_delta", "delta": {"stop_reason": "end_turn"}, "usage": {"output_tokens": 503}}


def test_an_aborted_message_keeps_its_input():
    """Naive: without the last delta the whole message is dropped or 0; its input was processed and is billed."""
    event = one("anthropic", {"time": NOON, "stream": [START, BLOCK], "produced": 120})
    assert (event.usage_status, event.input_fresh, event.output_visible) == ("partial", 2679, 120)


def test_the_deltas_count_replaces_the_starts():
    """Naive: the start's 3 output tokens are added to the delta's 503."""
    event = one("anthropic", {"time": NOON, "stream": [START, BLOCK, DELTA, {"type": "message_stop"}]})
    assert (event.usage_status, total(event)) == ("final", 2679 + 503)


def test_a_failed_request_is_not_zero_tokens():
    """Naive: gateways log a failure with 0 tokens; nobody counted."""
    event = one("litellm", payload(status="failure", prompt_tokens=0, completion_tokens=0, total_tokens=0))
    assert (event.failed, event.usage_status, buckets(event)) == (True, "missing", (None,) * 6)


def test_a_span_with_an_error_is_partial():
    broken = {**span("chat", 1, **use(50, 0)), "status": {"code": 2}}
    event = one("otlp", export(broken))
    assert (event.failed, event.usage_status, event.input_fresh, event.output_visible) == (True, "partial", 50, None)


def test_attempts_are_events_of_their_own():
    """Naive: the key is the operation's id, so a retry overwrites or repeats the first attempt."""
    first, second = read(
        "anthropic",
        message({"input_tokens": 5, "output_tokens": 1}, failed=True),
        message({"input_tokens": 5, "output_tokens": 9}, attempt=2),
    )
    assert (first.id, second.id) == ("msg_1/1", "msg_1/2")
    assert (first.failed, first.attempt, second.failed, second.attempt) == (True, 1, False, 2)


def test_the_same_record_twice_is_one_event():
    """Naive: a new id per reading. However the record is laid out or batched, the event is equal, byte for byte."""
    record = chat({"prompt_tokens": 5, "completion_tokens": 1, "total_tokens": 6})
    turned = dict(reversed(record.items()))
    (plain,), (again,), (batched,) = read("openai", record), read("openai", turned), read("openai", [record])
    assert plain == again == batched


def test_a_record_without_an_id_has_a_stable_one_that_says_so():
    record = chat({"prompt_tokens": 5, "completion_tokens": 1, "total_tokens": 6})
    del record["id"]
    other = {**record, "created": record["created"] + 1}
    assert one("openai", record).id == one("openai", dict(reversed(record.items()))).id != one("openai", other).id
    assert one("openai", record).id.startswith("sha256-")


def test_an_answer_from_the_gateways_cache_used_no_model():
    """Naive: the log restates the first call's tokens and they are billed again."""
    (found,) = read("litellm", payload(cache_hit=True))
    assert (found.kind, "own cache" in found.reason) == ("restated", True)


def test_input_without_its_cached_part_is_refused_not_guessed():
    """Naive: fresh = input − cached, below zero or cut to zero. The exporter left cached tokens out of the input."""
    record = export(span("chat", 1, **use(12, 3, gen_ai__usage__cache_read__input_tokens=9000)))
    (found,) = read("otlp", record)
    assert "exceed the stated input of 12" in found.reason
    event = one("otlp", record, context=Context(tenant="acme", input_tokens="exclusive"))
    assert buckets(event)[:3] == (12, 9000, 0)


def test_unknown_fields_are_kept():
    """Naive: the reader's structure drops what it does not know; later nobody can count it."""
    event = one("openai", chat({"prompt_tokens": 5, "completion_tokens": 1, "total_tokens": 6, "new_kind_tokens": 4}))
    assert '"new_kind_tokens":4' in event.raw
    assert '"new_kind_tokens":4' in one("native", NATIVE | {"new_kind_tokens": 4}).raw


def test_what_gives_no_event_is_counted():
    """Naive: bad lines are skipped. Each comes out once, with its line, its reason and its text."""
    lines = ["", "{", "[1]", '{"usage": 3}', b"\xff", '{"type": "usage"}']
    found = read("native", *lines, context=ACME)
    assert [(f.line, f.raw) for f in found] == [
        (2, "{"),
        (3, "1"),
        (4, '{"usage": 3}'),
        (5, "�"),
        (6, '{"type": "usage"}'),
    ]
    assert all(f.kind == "malformed" and f.reason for f in found)


NATIVE = {
    "type": "usage",
    "source": "gateway",
    "id": "1",
    "time_us": 1_772_366_400_000_000,
    "tenant": "acme",
    "model": "m",
    "input_fresh": 1,
    "cache_read": 2,
    "output_visible": None,
}


def test_an_advisor_inside_a_call_is_metered_at_its_own_model():
    """The top level leaves out what an advisor used: another model, at another price. Its answer is seen by no user."""
    used = {"input_tokens": 400, "cache_read_input_tokens": 0, "cache_creation_input_tokens": 0, "output_tokens": 90}
    advice = {"type": "advisor_message", "model": "claude-advisor", "input_tokens": 823, "output_tokens": 1612}
    steps = [{"type": "message", **used}, advice, advice]
    call, first, second = read("anthropic", message({**used, "iterations": steps}, [{"type": "text"}]))
    assert (call.input_fresh, call.output_visible) == (400, 90)
    assert [(e.model, e.input_fresh, e.output_visible, e.output_reasoning, e.purpose) for e in (first, second)] == [
        ("claude-advisor", 823, 0, 1612, "advise")
    ] * 2
    assert len({call.id, first.id, second.id}) == 3
    assert first.root_run == call.root_run


def test_an_advisor_without_a_model_is_refused_not_billed_as_another():
    steps = [{"type": "advisor_message", "input_tokens": 823, "output_tokens": 1612}]
    (found,) = read("anthropic", message({"input_tokens": 1, "output_tokens": 1, "iterations": steps}))
    assert "lacks model" in found.reason
