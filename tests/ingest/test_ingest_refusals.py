"""What is refused, and that the reason names it."""

import json

import pytest
from usage_records import NATIVE, NOON_US, chat, export, message, payload, read, reason, span, use

from tokenworks.errors import InputError
from tokenworks.ledger.ingest.parse import parse
from tokenworks.ledger.ingest.records import Context

USAGE = [
    (
        {"prompt_tokens": 10, "completion_tokens": 1, "prompt_tokens_details": {"cached_tokens": 11}},
        "exceed the stated input of 10",
    ),
    (
        {"prompt_tokens": 10, "completion_tokens": 5, "completion_tokens_details": {"reasoning_tokens": 6}},
        "exceeds the stated output of 5",
    ),
    ({"prompt_tokens": 10, "completion_tokens": 5, "total_tokens": 16}, "total of 16 is not the sum of its parts, 15"),
    ({"prompt_tokens": -1, "completion_tokens": 5}, "prompt_tokens is -1, below zero"),
    ({"prompt_tokens": 1.5, "completion_tokens": 5}, "prompt_tokens is 1.5, not a whole number"),
    ({"prompt_tokens": True, "completion_tokens": 5}, "prompt_tokens is True, not a whole number"),
    ({"prompt_tokens": "10", "completion_tokens": 5}, "prompt_tokens is '10', not a whole number"),
    ({"prompt_tokens": 2**63, "completion_tokens": 5}, "above the largest integer"),
    ({"prompt_tokens": 2**63 - 1, "completion_tokens": 5}, "above the largest integer"),
    ({"prompt_tokens": 3, "input_tokens": 4, "completion_tokens": 5}, "they disagree"),
    ({}, "neither input nor output"),
    ([], "usage is list, not an object"),
]


@pytest.mark.parametrize(("usage", "why"), USAGE)
def test_openai_usage(usage, why):
    assert why in reason("openai", chat(usage))


def test_anthropic_usage():
    assert "not the sum of its lifetimes, 556" in reason(
        "anthropic",
        message(
            {
                "input_tokens": 1,
                "output_tokens": 1,
                "cache_creation_input_tokens": 248,
                "cache_creation": {"ephemeral_5m_input_tokens": 456, "ephemeral_1h_input_tokens": 100},
            }
        ),
    )
    assert "lacks input_tokens" in reason("anthropic", message({"output_tokens": 1}))


def test_anthropic_has_no_time_of_its_own():
    assert "no time" in reason("anthropic", message({"input_tokens": 1, "output_tokens": 1})["response"])


@pytest.mark.parametrize("time", ["yesterday", "2026-03-01T12:00:00", True, [], -1, 1e300])
def test_times(time):
    assert "time" in reason("anthropic", message({"input_tokens": 1, "output_tokens": 1}) | {"time": time})


def test_nobodys_call():
    assert "no tenant" in reason("openai", chat({"prompt_tokens": 1, "completion_tokens": 1}), context=Context())


def test_a_clock_that_runs_ahead():
    late = Context(tenant="t", latest_us=NOON_US - 1)
    assert "a clock runs ahead" in reason("openai", chat({"prompt_tokens": 1, "completion_tokens": 1}), context=late)
    assert "a clock runs ahead" in reason("native", NATIVE, context=late)


def test_litellm_that_contradicts_itself():
    usage = {"prompt_tokens": 999, "completion_tokens": 200, "total_tokens": 1199}
    assert "prompt_tokens 1000 is not its usage object's 999" in reason("litellm", payload(response={"usage": usage}))
    assert "total of 1300" in reason("litellm", payload(total_tokens=1300))


NATIVE_FAULTS = [
    ({"type": "bill"}, "type is 'bill'"),
    ({"input_fresh": -1}, "input_fresh is -1, below zero"),
    ({"input_fresh": 2**63}, "input_fresh is 9223372036854775808"),
    ({"input_fresh": 2**63 - 1}, "above the largest integer"),
    ({"tenant": ""}, "tenant is empty"),
    ({"id": 7}, "Expected `str`, got `int` - at `$.id`"),
    ({"attempt": 0}, "the first is 1"),
    ({"usage_status": "done"}, "Invalid enum value 'done'"),
    ({"usage_status": "missing"}, "yet tokens are stated"),
    ({"time_us": -5}, "time_us is -5, below zero"),
]


@pytest.mark.parametrize(("change", "why"), NATIVE_FAULTS)
def test_native(change, why):
    assert why in reason("native", NATIVE | change)


def test_an_outcome_with_an_unknown_field_has_nowhere_to_keep_it():
    record = {
        "type": "outcome",
        "source": "s",
        "id": "1",
        "time_us": NOON_US,
        "tenant": "t",
        "outcome": "o",
        "status": "claimed",
    }
    assert read("native", record)[0].outcome == "o"
    assert "no field colour" in reason("native", record | {"colour": "red"})


@pytest.mark.parametrize(
    ("export_", "why"),
    [
        ({"resourceMetrics": []}, "no resourceSpans"),
        (export({**span("chat", 1, **use(1, 1)), "spanId": ""}), "lacks traceId or spanId"),
        (export(span("http", 1)), "a span of no model (http)"),
        (
            export(
                {**span("chat", 1), "attributes": [{"key": "gen_ai.usage.input_tokens", "value": {"intValue": "x"}}]}
            ),
            "intValue 'x'",
        ),
        (export({**span("chat", 1, **use(1, 1)), "startTimeUnixNano": "0", "endTimeUnixNano": "0"}), "no time"),
    ],
)
def test_otlp(export_, why):
    assert why in reason("otlp", export_)


def test_vllm_needs_what_its_log_does_not_print():
    line = "INFO 03-01 12:00:00 [logger.py:45] Received request a: params: SamplingParams(n=1), lora_request: None."
    assert "no year" in reason("vllm", line, context=Context(tenant="t", model="m"))
    assert "no model" in reason("vllm", line, context=Context(tenant="t", year=2026))
    assert "no time" in reason(
        "vllm", "Received request a: params: x, lora_request: None.", context=Context(tenant="t", model="m")
    )


def test_one_bad_record_of_a_batch_leaves_the_others():
    good, bad = chat({"prompt_tokens": 1, "completion_tokens": 1}), chat({"prompt_tokens": -1, "completion_tokens": 1})
    first, second, third = read("openai", [good, bad, good | {"id": "z"}])
    assert (first.id, second.line, third.id) == ("chatcmpl-1/1", 1, "z/1")
    assert json.loads(second.raw)["usage"]["prompt_tokens"] == -1


def test_what_is_kept_can_be_read_again():
    """A rejected record, mended (here by a context that names the tenant), gives the event that it would have given."""
    batch = {
        "openai": [
            chat({"prompt_tokens": 1, "completion_tokens": 1}),
            chat({"prompt_tokens": 2, "completion_tokens": 1}),
        ],
        "litellm": [payload(metadata={})],
        "otlp": export(span("chat", 1, **use(1, 1)), span("execute_tool", 2), service__name="shop"),
        "vllm": "INFO 03-01 12:00:00 [logger.py:45] Received request a: params: SamplingParams(n=1), lora_request: None.",
    }
    for format, records in batch.items():
        kept = read(format, records, context=Context(year=2026, model="m"))
        mended = Context(year=2026, model="m", tenant="t")
        again = [event for item in kept for event in parse(format, item.raw.splitlines(), mended)]
        assert [item.reason.split(":")[0] for item in kept] == ["no tenant"] * len(again)
        assert again == read(format, records, context=mended)


def test_an_unknown_format_names_the_others():
    with pytest.raises(InputError, match="native, cloudevents, openai, anthropic, litellm, otlp, vllm"):
        parse("csv", [])
