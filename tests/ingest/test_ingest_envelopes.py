"""Whose call it was: wrappers, metadata, CloudEvents, run trees of spans; native events come back as they went."""

import base64
import json

import msgspec
import pytest
from usage_records import NOON, NOON_US, chat, export, message, one, payload, read, reason, span, use

from tokenworks.events.ledger_events import CostEvent, OutcomeEvent, Reversal, UsageEvent
from tokenworks.ledger.ingest.cloudevents import from_binary
from tokenworks.ledger.ingest.records import Context, Rejected

USAGE = {"prompt_tokens": 5, "completion_tokens": 1, "total_tokens": 6}


def test_a_wrapper_places_the_call_in_its_run():
    record = {
        "response": chat(USAGE, metadata={"tenant": "other", "project": "search", "step": "3"}),
        "tenant": "acme",
        "time_us": 7,
        "root_run": "r",
        "run": "r.1",
        "parent_run": "r",
        "agent": "searcher",
        "purpose": "tool",
        "attempt": 2,
        "final": True,
        "source": "gateway-3",
        "tags": {"cost_centre": 12},
    }
    event = one("openai", record, context=Context())
    assert (event.tenant, event.time_us, event.root_run, event.run, event.parent_run, event.agent) == (
        "acme",
        7,
        "r",
        "r.1",
        "r",
        "searcher",
    )
    assert (event.purpose, event.attempt, event.final, event.step, event.source, event.id) == (
        "tool",
        2,
        True,
        3,
        "gateway-3",
        "chatcmpl-1/2",
    )
    assert event.tags == {"project": "search", "cost_centre": "12"}


def test_metadata_of_the_answer_is_the_second_word_and_the_context_the_last():
    record = chat(USAGE, metadata={"tenant": "acme", "root_run": "r", "final": "true"})
    event = one("openai", record, context=Context(tenant="default", source="file-1"))
    assert (event.tenant, event.root_run, event.run, event.final, event.source) == ("acme", "r", "r", True, "file-1")


def test_what_users_write_into_metadata_moves_no_time_and_no_key():
    """Naive: any key of the metadata is a field; a user's "time" or "source" then breaks or renames the event."""
    event = one("openai", chat(USAGE, metadata={"time": "morning", "source": "leaflet", "failed": "no"}))
    assert (event.time_us, event.source, event.failed) == (NOON_US, "openai", False)
    assert event.tags == {"time": "morning", "source": "leaflet", "failed": "no"}


def test_litellms_caller_knows_its_run_better_than_the_trace():
    metadata = {
        "user_api_key_hash": "hash",
        "spend_logs_metadata": {"root_run": "task-7", "final": True, "project": "x"},
    }
    event = one("litellm", payload(metadata=metadata, end_user="ann"), context=Context())
    assert (event.tenant, event.root_run, event.run, event.final) == ("hash", "task-7", "task-7", True)
    assert event.tags == {"prod": "true", "end_user": "ann", "project": "x"}


def envelope(type, data, **more):
    return {
        "specversion": "1.0",
        "id": "e-1",
        "source": "//gateway",
        "type": type,
        "subject": "acme",
        "time": NOON,
        "data": data,
        **more,
    }


def test_cloudevent_with_a_native_event():
    data = {"model": "m", "input_fresh": 1, "cache_read": None, "output_visible": 2, "root_run": "r"}
    event = one("cloudevents", envelope("tokenworks.usage", data), context=Context())
    assert event == UsageEvent(
        source="//gateway",
        id="e-1",
        time_us=NOON_US,
        tenant="acme",
        root_run="r",
        model="m",
        input_fresh=1,
        cache_read=None,
        output_visible=2,
    )


def test_cloudevent_with_a_providers_record_has_the_envelopes_key():
    data = message({"input_tokens": 1, "output_tokens": 1, "server_tool_use": {"web_search_requests": 1}})["response"]
    usage, search = read("cloudevents", envelope("tokenworks.anthropic", data), context=Context())
    assert (usage.source, usage.id, usage.tenant, usage.time_us) == ("//gateway", "e-1", "acme", NOON_US)
    assert (search.source, search.id) == ("//gateway", "e-1/web_search")
    event = one("cloudevents", envelope("tokenworks.openai", chat(USAGE)), context=Context())
    assert (event.id, event.input_fresh) == ("e-1", 5)
    event = one("cloudevents", envelope("tokenworks.litellm", payload()), context=Context())
    assert (event.id, event.tenant, event.root_run) == ("e-1", "acme", "trace-1")


def test_batch_binary_and_base64_are_the_same_event():
    data = {"model": "m", "input_fresh": 1, "cache_read": 0, "output_visible": 2}
    whole = envelope("tokenworks.usage", data)
    plain = one("cloudevents", whole)
    assert read("cloudevents", [whole, {**whole, "id": "e-2"}]) == [plain, msgspec.structs.replace(plain, id="e-2")]
    headers = {f"CE-{k}": v for k, v in whole.items() if k != "data"} | {"Content-Type": "application/json"}
    assert one("cloudevents", from_binary(headers, json.dumps(data))) == plain
    packed = {k: v for k, v in whole.items() if k != "data"} | {
        "data_base64": base64.b64encode(json.dumps(data).encode()).decode()
    }
    assert one("cloudevents", packed) == plain


@pytest.mark.parametrize(
    ("change", "why"),
    [
        ({"specversion": "0.3"}, "specversion is '0.3'"),
        ({"id": ""}, "attribute id is missing"),
        ({"source": None}, "attribute source is missing"),
        ({"type": "com.example.thing"}, "'com.example.thing' is not understood"),
        ({"type": "usage"}, "'usage' is not understood"),
        ({"data": 3}, "data is int"),
        ({"data_base64": "?"}, "data_base64"),
        ({"time": "noon"}, "not RFC 3339"),
    ],
)
def test_broken_envelopes(change, why):
    record = (
        envelope("tokenworks.usage", {"model": "m", "input_fresh": 1, "cache_read": 0, "output_visible": 2}) | change
    )
    assert why in reason("cloudevents", record)


def test_the_tree_of_spans():
    """The outermost agent is the root run; an agent below a tool is a run of its own, child of the root."""
    spans = [
        span("invoke_agent", 1, gen_ai__agent__name="lead", **use(9, 9)),
        span("chat", 2, 1, **use(10, 1)),
        span("execute_tool", 3, 1, gen_ai__tool__name="delegate"),
        span("invoke_agent", 4, 3, gen_ai__agent__name="searcher"),
        span("chat", 5, 4, tokenworks__purpose="tool", tokenworks__step=2, tokenworks__final=False, **use(20, 2)),
        span("invoke_agent", 6, 4, gen_ai__agent__name="reader"),
        span("chat", 7, 6, gen_ai__conversation__id="conv", **use(30, 3)),
    ]
    found = read("otlp", export(*spans, service__name="shop", tenant__id="acme"), context=Context())
    calls = {e.id.split("/")[1][-1]: e for e in found if not isinstance(e, Rejected)}
    trace = spans[0]["traceId"]
    lead, tool, searcher, reader = (calls[n] for n in "2357")
    assert [(e.root_run, e.run, e.parent_run, e.agent) for e in (lead, tool, searcher, reader)] == [
        (trace, trace, "", "lead"),
        (trace, trace, "", "lead"),
        (trace, f"{trace}/{4:016x}", trace, "searcher"),
        (trace, f"{trace}/{6:016x}", f"{trace}/{4:016x}", "reader"),
    ]
    assert (searcher.purpose, searcher.step, reader.conversation, reader.service) == ("tool", 2, "conv", "shop")
    assert isinstance(tool, CostEvent)
    assert [e.kind for e in found if isinstance(e, Rejected)] == ["restated"] * 3


def test_a_circle_of_parents_ends():
    found = read("otlp", export(span("chat", 1, 2, **use(1, 1)), span("chat", 2, 1, **use(1, 1))))
    assert [e.kind for e in found] == ["restated", "restated"]


@pytest.mark.parametrize(
    "event",
    [
        UsageEvent(
            source="s",
            id="1",
            time_us=1,
            tenant="t",
            model="m",
            input_fresh=None,
            cache_read=0,
            output_visible=3,
            tags={"a": "b"},
            final=True,
        ),
        CostEvent(
            source="s", id="2", time_us=1, tenant="t", meter="search", quantity_micro=1, unit="call", amount_micro=None
        ),
        OutcomeEvent(source="s", id="3", time_us=1, tenant="t", outcome="resolved", status="verified", value_micro=5),
        Reversal(source="s", id="4", time_us=1, tenant="t", of_source="s", of_id="1", reason="twice"),
    ],
)
def test_native_events_come_back_as_they_went(event):
    assert read("native", msgspec.json.encode(event)) == [event]
