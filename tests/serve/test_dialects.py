"""Responses and messages over scripted engines: what the engine is asked, what the caller gets, what is metered, what is refused."""

import asyncio
import json
from itertools import pairwise

import pytest
from hypothesis import given
from hypothesis import strategies as st
from live_gateway import DONE, USAGE, USAGE_CHUNK, Engine, call, front, run
from test_keys import ring_with

from tokenworks.api import load
from tokenworks.errors import SpecError
from tokenworks.serve.body.stream import Stream
from tokenworks.serve.dialects.chat import Translated
from tokenworks.serve.dialects.messages.from_chat import MessageEvents
from tokenworks.serve.dialects.messages.native import MessageStream
from tokenworks.serve.dialects.responses.asked import ResponsesRequest
from tokenworks.serve.dialects.responses.from_chat import ResponseEvents
from tokenworks.serve.dialects.responses.native import ResponseStream
from tokenworks.serve.dialects.way import Unfit

MESSAGES, RESPONSES = "/v1/messages", "/v1/responses"
MESSAGE = {"model": "chat", "max_tokens": 9, "messages": [{"role": "user", "content": "hi"}]}
RESPONSE = {"model": "chat", "input": "hi"}
CALL = {"index": 0, "id": "call_1", "type": "function", "function": {"name": "f", "arguments": ""}}
DELTAS = [
    {"role": "assistant", "content": ""}, {"reasoning_content": "hm"}, {"reasoning": "m"}, {"content": "he"}, {"content": "llo"},
    {"tool_calls": [CALL]}, {"tool_calls": [{"index": 0, "function": {"arguments": '{"a":'}}]},
    {"tool_calls": [{"index": 0, "function": {"arguments": "1}"}}]},
    {"tool_calls": [{"index": 1, "id": "call_2", "function": {"name": "g", "arguments": "{}"}}]},
]  # fmt: skip


def chunk(delta, finish=None, **more):
    choice = {"index": 0, "delta": delta, "finish_reason": finish, **more}
    return b"data: %b\n\n" % json.dumps({"id": "c", "object": "chat.completion.chunk", "choices": [choice]}).encode()


def chunks(deltas=DELTAS, finish="tool_calls"):
    return [*map(chunk, deltas), chunk({}, finish), USAGE_CHUNK, DONE]


def playing(pieces):
    async def script(request, connection):
        connection.begin(200, b"text/event-stream")
        for piece in pieces:
            connection.chunk(piece)
            await asyncio.sleep(0)
        connection.finish()

    return script


def events_of(data):
    """(name, content) of a stream's events."""
    found = []
    for event in data.decode().split("\n\n")[:-1]:
        name, text = event.split("\n")
        found.append((name.removeprefix("event: "), json.loads(text.removeprefix("data: "))))
        assert found[-1][0] == found[-1][1]["type"]
    return found


# ---------------------------------------------------------------------- what the engine is asked


TOOL = {"name": "f", "description": "d", "input_schema": {"type": "object"}, "cache_control": {"type": "ephemeral"}}
FUNCTION = {"name": "f", "description": "d", "parameters": {"type": "object"}}
PNG = {"type": "base64", "media_type": "image/png", "data": "aGk="}
IMAGE = {"type": "image_url", "image_url": {"url": "data:image/png;base64,aGk="}}
ASKED_MESSAGES = {
    "system and limits": (
        {"system": [{"type": "text", "text": "a"}, {"type": "text", "text": "b"}], "stop_sequences": ["x"], "top_k": 3, "top_p": 0.5, "temperature": 0},
        {"messages": [{"role": "system", "content": "a\n\nb"}, {"role": "user", "content": "hi"}], "stop": ["x"], "top_k": 3, "top_p": 0.5, "temperature": 0.0},
    ),
    "tools": ({"tools": [TOOL], "tool_choice": {"type": "any", "disable_parallel_tool_use": True}}, {"tools": [{"type": "function", "function": FUNCTION}], "tool_choice": "required", "parallel_tool_calls": False}),
    "one tool": ({"tools": [TOOL], "tool_choice": {"type": "tool", "name": "f"}}, {"tools": [{"type": "function", "function": FUNCTION}], "tool_choice": {"type": "function", "function": {"name": "f"}}}),
    "no thinking": ({"thinking": {"type": "disabled"}}, {"chat_template_kwargs": {"enable_thinking": False}}),
    "structure": ({"output_config": {"format": {"type": "json_schema", "schema": {"type": "object"}}, "effort": "low"}}, {"reasoning_effort": "low", "response_format": {"type": "json_schema", "json_schema": {"name": "answer", "schema": {"type": "object"}, "strict": True}}}),
    "a user": ({"metadata": {"user_id": "u"}}, {"user": "u"}),
    "an image": (
        {"messages": [{"role": "user", "content": [{"type": "text", "text": "see"}, {"type": "image", "source": PNG}, {"type": "image", "source": {"type": "url", "url": "https://a/b"}}]}]},
        {"messages": [{"role": "user", "content": [{"type": "text", "text": "see"}, IMAGE, {"type": "image_url", "image_url": {"url": "https://a/b"}}]}]},
    ),
    "documents": (
        {"messages": [{"role": "user", "content": [{"type": "document", "title": "t", "source": {"type": "text", "data": "x"}}, {"type": "document", "source": {"type": "base64", "media_type": "application/pdf", "data": "aGk="}}]}]},
        {"messages": [{"role": "user", "content": [{"type": "text", "text": "t\nx"}, {"type": "file", "file": {"filename": "document", "file_data": "data:application/pdf;base64,aGk="}}]}]},
    ),
    "a conversation with tools": (
        {"messages": [
            {"role": "user", "content": "hi"},
            {"role": "assistant", "content": [{"type": "thinking", "thinking": "t", "signature": ""}, {"type": "text", "text": "a"}, {"type": "tool_use", "id": "1", "name": "f", "input": {"x": 1}}]},
            {"role": "user", "content": [{"type": "tool_result", "tool_use_id": "1", "is_error": True, "content": [{"type": "text", "text": "r"}, {"type": "image", "source": PNG}]}, {"type": "text", "text": "go on"}]},
        ]},
        {"messages": [
            {"role": "user", "content": "hi"},
            {"role": "assistant", "content": "a", "reasoning_content": "t", "tool_calls": [{"id": "1", "type": "function", "function": {"name": "f", "arguments": '{"x":1}'}}]},
            {"role": "tool", "tool_call_id": "1", "content": "r"},
            {"role": "user", "content": [IMAGE, {"type": "text", "text": "go on"}]},
        ]},
    ),
}  # fmt: skip
TOOL_R = {"type": "function", **FUNCTION, "strict": True}
ASKED_RESPONSES = {
    "instructions and limits": ({"instructions": "be", "max_output_tokens": 5, "temperature": 0, "user": "u"}, {"messages": [{"role": "system", "content": "be"}, {"role": "user", "content": "hi"}], "max_tokens": 5, "temperature": 0.0, "user": "u"}),
    "tools": ({"tools": [TOOL_R], "tool_choice": {"type": "function", "name": "f"}, "parallel_tool_calls": False}, {"tools": [{"type": "function", "function": {**FUNCTION, "strict": True}}], "tool_choice": {"type": "function", "function": {"name": "f"}}, "parallel_tool_calls": False}),
    "structure": ({"text": {"format": {"type": "json_schema", "name": "n", "schema": {}, "strict": True}, "verbosity": "low"}}, {"response_format": {"type": "json_schema", "json_schema": {"name": "n", "schema": {}, "strict": True}}, "verbosity": "low"}),
    "an object": ({"text": {"format": {"type": "json_object"}}}, {"response_format": {"type": "json_object"}}),
    "reasoning": ({"reasoning": {"effort": "high", "summary": "auto"}, "include": ["reasoning.encrypted_content"]}, {"reasoning_effort": "high"}),
    "log probabilities": ({"top_logprobs": 2, "include": ["message.output_text.logprobs"]}, {"logprobs": True, "top_logprobs": 2}),
    "parts": (
        {"input": [{"role": "developer", "content": "d"}, {"role": "user", "content": [{"type": "input_text", "text": "a"}, {"type": "input_image", "image_url": "https://a/b", "detail": "low"}]}]},
        {"messages": [{"role": "system", "content": "d"}, {"role": "user", "content": [{"type": "text", "text": "a"}, {"type": "image_url", "image_url": {"url": "https://a/b", "detail": "low"}}]}]},
    ),
    "a conversation with functions": (
        {"input": [
            {"role": "user", "content": "hi"},
            {"type": "reasoning", "id": "rs", "summary": [{"type": "summary_text", "text": "s"}], "content": [{"type": "reasoning_text", "text": "t"}]},
            {"type": "message", "role": "assistant", "id": "m", "status": "completed", "content": [{"type": "output_text", "text": "a", "annotations": []}]},
            {"type": "function_call", "call_id": "1", "name": "f", "arguments": "{}", "id": "fc", "status": "completed"},
            {"type": "function_call", "call_id": "2", "name": "g", "arguments": "{}"},
            {"type": "function_call_output", "call_id": "1", "output": "r"},
            {"type": "function_call_output", "call_id": "2", "output": [{"type": "input_text", "text": "q"}]},
            {"role": "assistant", "content": "b"},
            {"role": "assistant", "content": "c"},
        ]},
        {"messages": [
            {"role": "user", "content": "hi"},
            {"role": "assistant", "content": "a", "reasoning_content": "t", "tool_calls": [{"id": "1", "type": "function", "function": {"name": "f", "arguments": "{}"}}, {"id": "2", "type": "function", "function": {"name": "g", "arguments": "{}"}}]},
            {"role": "tool", "tool_call_id": "1", "content": "r"},
            {"role": "tool", "tool_call_id": "2", "content": "q"},
            {"role": "assistant", "content": "b"},
            {"role": "assistant", "content": "c"},
        ]},
    ),
}  # fmt: skip


def test_calls_are_put_into_chat_completions(tmp_path):
    async def case():
        async with front(tmp_path, Engine(), upstream={"model": "org/m"}) as gate:
            for more, _ in ASKED_MESSAGES.values():
                assert (await gate.post({**MESSAGE, **more}, MESSAGES))[0] == 200
            for more, _ in ASKED_RESPONSES.values():
                assert (await gate.post({**RESPONSE, **more}, RESPONSES))[0] == 200
            return gate.engines[0].asked

    asked = run(case())
    assert {request.path for request in asked} == {b"/v1/chat/completions"}
    first, second = {"max_tokens": 9}, {}
    expected = [first | more for _, more in ASKED_MESSAGES.values()] + [
        second | more for _, more in ASKED_RESPONSES.values()
    ]
    said = {"model": "org/m", "messages": [{"role": "user", "content": "hi"}]}
    for request, more in zip(asked, expected, strict=True):
        assert json.loads(request.body) == said | more


FILE = {"type": "file", "file_id": "file-1"}
REFUSED = [
    (MESSAGES, {"messages": [{"role": "user", "content": [{"type": "image", "source": FILE}]}]}, "not stored"),
    (MESSAGES, {"messages": [{"role": "user", "content": [{"type": "tool_result", "tool_use_id": "1", "content": [{"type": "document", "source": FILE}]}]}]}, "not stored"),
    (MESSAGES, {"container": "c-1"}, "container"),
    (MESSAGES, {"mcp_servers": [{"type": "url", "url": "http://169.254.169.254"}]}, "mcp_servers"),
    (MESSAGES, {"tools": [{"type": "web_fetch_20250910", "name": "web_fetch"}]}, "runs at the provider"),
    (RESPONSES, {"previous_response_id": "resp_1"}, "not stored"),
    (RESPONSES, {"conversation": "conv_1"}, "not stored"),
    (RESPONSES, {"prompt": {"id": "p"}}, "not stored"),
    (RESPONSES, {"background": True}, "waits"),
    (RESPONSES, {"store": True}, "not stored"),
    (RESPONSES, {"store": None}, "not stored"),
    (RESPONSES, {"tools": [{"type": "mcp", "server_url": "http://169.254.169.254"}]}, "runs at the provider"),
    (RESPONSES, {"input": [{"type": "item_reference", "id": "msg_1"}]}, "not stored"),
    (RESPONSES, {"input": [{"id": "msg_1"}]}, "not stored"),
    (RESPONSES, {"input": [{"role": "user", "content": [{"type": "input_image", "file_id": "file-1"}]}]}, "not stored"),
]  # fmt: skip
NOT_TRANSLATED = [
    (MESSAGES, {"max_tokens": 0}, "max_tokens"),
    (MESSAGES, {"unheard_of": 1}, "unheard_of"),
    (MESSAGES, {"tool_choice": {"type": "tool"}}, "needs a name"),
    (MESSAGES, {"messages": [{"role": "user", "content": [{"type": "text", "text": "a"}, {"type": "tool_result", "tool_use_id": "1"}]}]}, "come before"),
    (MESSAGES, {"messages": [{"role": "assistant", "content": [{"type": "image", "source": PNG}]}]}, "holds no image"),
    (MESSAGES, {"messages": [{"role": "user", "content": [{"type": "redacted_thinking", "data": ""}]}]}, "redacted_thinking"),
    (RESPONSES, {"unheard_of": 1}, "unheard_of"),
    (RESPONSES, {"tools": [{"type": "custom", "name": "c"}]}, "custom"),
    (RESPONSES, {"reasoning": {"summary": "detailed"}}, "detailed"),
    (RESPONSES, {"truncation": "auto"}, "auto"),
    (RESPONSES, {"input": [{"role": "user", "content": 1}]}, "input[0]"),
]  # fmt: skip


@pytest.mark.parametrize("upstream", [{}, {"serves": ["responses", "messages"]}], ids=["translated", "passed through"])
def test_what_is_kept_or_run_at_a_provider_is_refused(tmp_path, upstream):
    """All tenants share the gateway's key there: what one of them stored is no other one's."""
    cases = REFUSED + ([] if upstream else NOT_TRANSLATED)

    async def case():
        async with front(tmp_path, Engine(), upstream=upstream) as gate:
            found = []
            for path, more, _ in cases:
                found.append(await gate.post({**(MESSAGE if path == MESSAGES else RESPONSE), **more}, path))
            return found, gate.engines[0].asked, gate.ledger.usage_table().num_rows

    found, asked, events = run(case())
    assert (asked, events) == ([], 0)
    for (path, more, why), (status, _, body) in zip(cases, found, strict=True):
        assert status == 400, more
        assert why in json.loads(body)["error"]["message"], more
        assert (json.loads(body).get("type") == "error") == (path == MESSAGES)


@pytest.mark.parametrize("name", ["file_id", "\\u0066ile_id"])
def test_files_that_a_provider_keeps_are_refused_in_chat_completions(tmp_path, monkeypatch, name):
    """A file's id in a message; the same name in a tool's schema is no file."""
    kept = (
        b'{"model":"chat","messages":[{"role":"user","content":[{"type":"file","file":{"%b":"file-1"}}]}]}'
        % name.encode()
    )
    monkeypatch.setenv("UPSTREAM_KEY", "sk-upstream")
    schema = (
        b'{"model":"chat","messages":[{"role":"user","content":"hi"}],"tools":[{"function":{"parameters":{"%b":{}}}}]}'
    )

    async def case():
        async with front(tmp_path, Engine(), upstream={"key_env": "UPSTREAM_KEY"}) as gate:
            return await gate.post(kept), await gate.post(schema % name.encode())

    refused, taken = run(case())
    assert (refused[0], taken[0]) == (400, 200)
    assert "not stored" in json.loads(refused[2])["error"]["message"]


def test_what_is_passed_through_goes_as_it_came_and_is_not_stored(tmp_path):
    async def case():
        async with front(tmp_path, Engine(), upstream={"serves": ["responses", "messages"], "model": "org/m"}) as gate:
            await gate.post({**RESPONSE, "tools": [{"type": "custom", "name": "c"}], "odd": 1}, RESPONSES)
            await gate.post({**RESPONSE, "store": False}, RESPONSES)
            await gate.post(
                {**MESSAGE, "odd": 1}, MESSAGES + "?beta=true", ["anthropic-beta: b-1", "anthropic-version: 2024-01-01"]
            )
            return gate.engines[0].asked

    one, other, message = run(case())
    assert (
        one.body
        == json.dumps({**RESPONSE, "model": "org/m", "tools": [{"type": "custom", "name": "c"}], "odd": 1})[
            :-1
        ].encode()
        + b',"store":false}'
    )
    assert other.body == json.dumps({**RESPONSE, "model": "org/m", "store": False}).encode()
    assert message.body == json.dumps({**MESSAGE, "model": "org/m", "odd": 1}).encode()
    assert (message.path, message.headers[b"anthropic-beta"], message.headers[b"anthropic-version"]) == (
        b"/v1/messages",
        b"b-1",
        b"2024-01-01",
    )


def test_keys_of_both_dialects(tmp_path, monkeypatch):
    """The caller's in x-api-key; the upstream's in the header of its dialect."""
    monkeypatch.setenv("UPSTREAM_KEY", "sk-upstream")
    ring, text = ring_with(tmp_path)

    async def case():
        async with front(
            tmp_path, Engine(), ring=ring, upstream={"dialect": "anthropic", "key_env": "UPSTREAM_KEY"}
        ) as gate:
            good = await gate.post(MESSAGE, MESSAGES, [f"x-api-key: {text}"])
            bad = await gate.post(MESSAGE, MESSAGES, [f"x-api-key: {text}x"])
            none = await gate.post(MESSAGE, MESSAGES)
            twice = await gate.post(MESSAGE, MESSAGES, [f"x-api-key: {text}", f"x-api-key: {text}"])
            return [answer[0] for answer in (good, bad, none, twice)], json.loads(bad[2]), gate.engines[0].asked

    statuses, error, asked = run(case())
    assert statuses == [200, 401, 401, 400]
    assert error["error"]["type"] == "authentication_error"
    assert asked[0].headers[b"x-api-key"] == b"sk-upstream"
    assert asked[0].headers[b"anthropic-version"] == b"2023-06-01"
    assert b"authorization" not in asked[0].headers


def test_upstreams_of_one_service_speak_one_dialect():
    rows = [{"service": "chat", "url": "http://a"}, {"service": "chat", "url": "http://b", "dialect": "anthropic"}]
    with pytest.raises(SpecError, match="make them two services"):
        load("laptop").replace("serve", {"upstreams": rows})
    with pytest.raises(SpecError, match="messages alone"):
        load("laptop").replace("serve", {"upstreams": [{**rows[1], "serves": ["responses"]}]})


# ---------------------------------------------------------------------- what the caller gets


def message_of(data):
    """The message that the events of a stream make, as Anthropic's SDK puts it together."""
    content, last, open_ = [], None, None
    names = [name for name, _ in data]
    assert names[:2] == ["message_start", "ping"]
    assert names[-2:] == ["message_delta", "message_stop"]
    for name, event in data:
        if name == "content_block_start":
            assert open_ is None
            assert event["index"] == len(content)
            open_ = event["index"]
            content.append({**event["content_block"], "json": ""})
        elif name == "content_block_delta":
            assert event["index"] == open_
            delta = event["delta"]
            field = {"text_delta": "text", "thinking_delta": "thinking", "input_json_delta": "json"}[delta["type"]]
            content[-1][field] += delta.get(field) or delta.get("partial_json")
        elif name == "content_block_stop":
            assert event["index"] == open_
            open_ = None
        elif name == "message_delta":
            last = event
    assert open_ is None
    return content, last


def response_of(data):
    """The response that the last event holds; the events before it must make the same."""
    assert [event["sequence_number"] for _, event in data] == list(range(len(data)))
    assert [name for name, _ in data][:2] == ["response.created", "response.in_progress"]
    texts, items = {}, []
    for name, event in data:
        if name.endswith(".delta"):
            where = (event["output_index"], event.get("content_index"))
            texts[where] = texts.get(where, "") + event["delta"]
        elif name.endswith((".text.done", "_text.done")):
            assert texts[(event["output_index"], event["content_index"])] == event["text"]
        elif name.endswith("arguments.done"):
            assert texts[(event["output_index"], None)] == event["arguments"]
        elif name == "response.output_item.added":
            assert event["output_index"] == len(items)
            items.append(event["item"]["id"])
        elif name == "response.output_item.done":
            assert items[event["output_index"]] == event["item"]["id"]
            items[event["output_index"]] = event["item"]
    final = data[-1][1]["response"]
    assert final["output"] == items
    assert data[0][1]["response"]["id"] == final["id"]
    return final


def translated(writer, data, cuts):
    """A stream of chunks that come in pieces cut at ``cuts``, in the caller's dialect."""
    stream, made, out = Stream(False), Translated(writer), b""
    for begin, end in pairwise(sorted({0, len(data), *(c % len(data) for c in cuts)})):
        out += made.put(stream.feed(data[begin:end]))
    assert made.finished
    return events_of(out + made.put(stream.rest()) + made.end())


@given(st.lists(st.integers(0, 10_000), max_size=12))
def test_a_stream_is_the_same_message_wherever_its_bytes_are_cut(cuts):
    content, last = message_of(translated(MessageEvents("m"), b"".join(chunks()), cuts))
    assert [(b["type"], b.get("thinking") or b.get("text") or (b["id"], b["name"], b["json"])) for b in content] == [
        ("thinking", "hmm"), ("text", "hello"), ("tool_use", ("call_1", "f", '{"a":1}')), ("tool_use", ("call_2", "g", "{}")),
    ]  # fmt: skip
    assert last["delta"] == {"stop_reason": "tool_use", "stop_sequence": None}
    assert (last["usage"]["input_tokens"], last["usage"]["output_tokens"]) == (11, 3)


@given(st.lists(st.integers(0, 10_000), max_size=12))
def test_a_stream_is_the_same_response_wherever_its_bytes_are_cut(cuts):
    final = response_of(translated(ResponseEvents(ResponsesRequest("m", "hi")), b"".join(chunks()), cuts))
    assert [i["type"] for i in final["output"]] == ["reasoning", "message", "function_call", "function_call"]
    assert final["output"][0]["content"][0]["text"] == "hmm"
    assert final["output"][1]["content"][0]["text"] == "hello"
    assert [(i["call_id"], i["name"], i["arguments"]) for i in final["output"][2:]] == [
        ("call_1", "f", '{"a":1}'),
        ("call_2", "g", "{}"),
    ]
    assert (final["status"], final["usage"]["total_tokens"]) == ("completed", 14)


ENDINGS = {"stop": ("end_turn", "completed"), "length": ("max_tokens", "incomplete"), "tool_calls": ("tool_use", "completed"),
           "content_filter": ("refusal", "incomplete")}  # fmt: skip


@pytest.mark.parametrize("finish", ENDINGS)
@pytest.mark.parametrize("stream", [True, False])
def test_why_an_answer_ended(tmp_path, finish, stream):
    whole = {
        "choices": [{"index": 0, "message": {"role": "assistant", "content": "he"}, "finish_reason": finish}],
        "usage": USAGE,
    }

    def script(request, connection):
        if not stream:
            return connection.respond(200, json.dumps(whole).encode())
        return playing(chunks([{"content": "he"}], finish))(request, connection)

    async def case():
        async with front(tmp_path, Engine(script)) as gate:
            more = {"stream": True} if stream else {}
            return (
                await gate.post({**MESSAGE, **more}, MESSAGES),
                await gate.post({**RESPONSE, **more}, RESPONSES),
                await gate.events(2),
            )

    (_, _, message), (_, _, response), events = run(case())
    reason = message_of(events_of(message))[1]["delta"]["stop_reason"] if stream else json.loads(message)["stop_reason"]
    final = response_of(events_of(response)) if stream else json.loads(response)
    assert (reason, final["status"]) == ENDINGS[finish]
    assert {(e["input_fresh"], e["output_visible"], e["usage_status"], e["usage_source"]) for e in events} == {
        (11, 3, "final", "engine")
    }


@pytest.mark.parametrize(
    ("finish", "reason"), [("stop", "tool_use"), ("length", "max_tokens"), ("content_filter", "refusal")]
)
@pytest.mark.parametrize("stream", [True, False])
def test_a_call_of_a_tool_is_why_an_answer_ended(tmp_path, stream, finish, reason):
    """Engines say ``stop`` where the caller named the tool; agents stop when they read that its turn is over."""
    call = {**CALL, "function": {"name": "f", "arguments": "{}"}}
    choice = {
        "index": 0,
        "message": {"role": "assistant", "content": None, "tool_calls": [call]},
        "finish_reason": finish,
    }

    def script(request, connection):
        if not stream:
            return connection.respond(200, json.dumps({"choices": [choice], "usage": USAGE}).encode())
        return playing(chunks([{"tool_calls": [call]}], finish))(request, connection)

    async def case():
        named = {"tools": [TOOL], "tool_choice": {"type": "tool", "name": "f"}, "stream": stream}
        async with front(tmp_path, Engine(script)) as gate:
            one = await gate.post({**MESSAGE, **named}, MESSAGES)
            other = await gate.post({**RESPONSE, "tools": [TOOL_R], "stream": stream}, RESPONSES)
            return one[2], other[2]

    message, response = run(case())
    if stream:
        content, last = message_of(events_of(message))
        assert (content[0]["type"], last["delta"]["stop_reason"]) == ("tool_use", reason)
    else:
        assert (json.loads(message)["content"][0]["type"], json.loads(message)["stop_reason"]) == ("tool_use", reason)
    final = response_of(events_of(response)) if stream else json.loads(response)
    assert [one["type"] for one in final["output"]] == ["function_call"]
    assert final["status"] == ("completed" if finish == "stop" else "incomplete")


BEGUN = {
    "messages": [{"role": "user", "content": "hi"}, {"role": "assistant", "content": [{"type": "text", "text": "{"}]}]
}


def test_the_beginning_of_an_answer_is_gone_on_with(tmp_path):
    async def case():
        async with front(tmp_path, Engine(), upstream={"continues": True}) as gate:
            assert (await gate.post({**MESSAGE, **BEGUN}, MESSAGES))[0] == 200
            assert (await gate.post({**MESSAGE, **BEGUN, "stream": True}, MESSAGES))[0] == 200
            tool = {"type": "tool_use", "id": "1", "name": "f", "input": {}}
            odd = [[tool], [{"type": "text", "text": "a"}, tool], [{"type": "thinking", "thinking": "a"}], []]
            for content in odd:
                said = {"messages": [BEGUN["messages"][0], {"role": "assistant", "content": content}]}
                assert (await gate.post({**MESSAGE, **said}, MESSAGES))[0] == 400
            return [json.loads(request.body) for request in gate.engines[0].asked]

    asked = run(case())
    assert len(asked) == 2
    for body in asked:
        assert body["messages"][-1] == {"role": "assistant", "content": "{"}
        assert (body["continue_final_message"], body["add_generation_prompt"]) == (True, False)


def test_an_engine_that_would_answer_anew_is_not_asked_to_go_on(tmp_path):
    """Not where one of the service's engines cannot; passed through it is the upstream's own matter."""

    able = iter([True, False])

    async def case():
        async with front(tmp_path, Engine(), Engine(), upstream=lambda url: {"continues": next(able)}) as gate:
            refused = await gate.post({**MESSAGE, **BEGUN}, MESSAGES)
            return refused, [len(engine.asked) for engine in gate.engines]

    async def native():
        async with front(tmp_path, Engine(), upstream={"serves": ["messages"]}) as gate:
            return await gate.post({**MESSAGE, **BEGUN}, MESSAGES), gate.engines[0].asked[0].body

    (status, _, body), asked = run(case())
    assert (status, asked) == (400, [0, 0])
    assert "go on" in json.loads(body)["error"]["message"]
    passed, sent = run(native())
    assert (passed[0], json.loads(sent)) == (200, {**MESSAGE, **BEGUN})


@pytest.mark.parametrize("serves", [[], ["responses"]], ids=["translated", "passed through"])
def test_the_error_of_a_response_that_broke_off_counts_on(tmp_path, serves):
    begun = [chunk({"content": "he"}), chunk({"content": "llo"})] if not serves else [PIECE, PIECE]

    async def breaks(request, connection):
        connection.begin(200, b"text/event-stream")
        for piece in begun:
            connection.chunk(piece)
            await asyncio.sleep(0.01)
        connection.transport.abort()

    async def case():
        async with front(tmp_path, Engine(breaks), upstream={"serves": serves}) as gate:
            return await gate.post({**RESPONSE, "stream": True}, RESPONSES)

    *before, (name, last) = events_of(run(case())[2])
    assert (name, last["code"]) == ("error", "upstream_failed")
    assert last["sequence_number"] == len(before) > 1


def test_a_stop_sequence_is_named(tmp_path):
    engine = Engine(playing([chunk({"content": "he"}), chunk({}, "stop", stop_reason="END"), DONE]))

    async def case():
        async with front(tmp_path, engine) as gate:
            return await gate.post({**MESSAGE, "stream": True}, MESSAGES)

    assert message_of(events_of(run(case())[2]))[1]["delta"] == {"stop_reason": "stop_sequence", "stop_sequence": "END"}


def test_streams_that_fit_no_dialect_are_told():
    again = [*chunks(DELTAS)[:-3], chunk({"tool_calls": [{"index": 0, "function": {"arguments": "1"}}]})]
    for data in (
        b"data: {]\n\n",
        b"".join(again),
        chunk({"tool_calls": [{"index": 0, "function": {"arguments": "1"}}]}),
    ):
        for writer in (MessageEvents("m"), ResponseEvents(ResponsesRequest("m", "hi"))):
            with pytest.raises(Unfit):
                Translated(writer).put(data)


@pytest.mark.parametrize(("path", "asked"), [(MESSAGES, MESSAGE), (RESPONSES, RESPONSE)])
@pytest.mark.parametrize("serves", [[], ["responses", "messages"]])
def test_a_stream_without_an_end_is_no_answer(tmp_path, path, asked, serves):
    """The engine closes in order, but never said that it was done."""
    begun = [chunk({"content": "he"})] if not serves else [DELTA if path == MESSAGES else PIECE]

    async def case():
        async with front(tmp_path, Engine(playing(begun)), upstream={"serves": serves}) as gate:
            return await gate.post({**asked, "stream": True}, path), await gate.events(1)

    (status, _, body), events = run(case())
    assert status == 0  # no end of the answer
    assert body.count(b"event: error") == 1
    assert b"message_stop" not in body
    assert b"response.completed" not in body
    assert events[0]["usage_status"] == "partial"


def test_a_stream_whose_only_piece_does_not_fit_is_502(tmp_path):
    """It came with the end, when nothing had been said to the caller."""
    odd = (
        b'data: {"choices":[],"usage":{"prompt_tokens":1,"completion_tokens":1,"total_tokens":2}}\n\ndata: {]\n\n'
        + DONE
    )

    async def case():
        async with front(tmp_path, Engine(playing([odd]))) as gate:
            return await gate.post({**MESSAGE, "stream": True}, MESSAGES)

    status, _, body = run(case())
    assert (status, json.loads(body)["error"]["type"]) == (502, "api_error")


def test_an_answer_that_is_no_chat_completion_is_502_and_metered_as_failed(tmp_path):
    bad = {
        "choices": [
            {
                "index": 0,
                "message": {"tool_calls": [{"id": "1", "function": {"name": "f", "arguments": "{"}}]},
                "finish_reason": "tool_calls",
            }
        ],
        "usage": USAGE,
    }

    async def case():
        async with front(
            tmp_path, Engine(lambda request, connection: connection.respond(200, json.dumps(bad).encode()))
        ) as gate:
            return await gate.post(MESSAGE, MESSAGES), await gate.events(1)

    (status, _, body), events = run(case())
    assert (status, json.loads(body)["type"]) == (502, "error")
    assert (events[0]["failed"], events[0]["output_visible"]) == (True, 3)


# ---------------------------------------------------------------------- passed through: usage is read on the way


def sse(name, **content):
    return b"event: %b\ndata: %b\n\n" % (name.encode(), json.dumps({"type": name, **content}).encode())


START = sse(
    "message_start",
    message={
        "type": "message",
        "content": [],
        "usage": {
            "input_tokens": 5,
            "cache_read_input_tokens": 70,
            "cache_creation_input_tokens": 20,
            "output_tokens": 1,
        },
    },
)
DELTA = sse("content_block_delta", index=0, delta={"type": "text_delta", "text": "w"})
LAST = sse("message_delta", delta={"stop_reason": "end_turn"}, usage={"output_tokens": 4}) + sse("message_stop")
COMPLETED = sse(
    "response.completed",
    response={
        "usage": {
            "input_tokens": 95,
            "input_tokens_details": {"cached_tokens": 70},
            "output_tokens": 4,
            "output_tokens_details": {"reasoning_tokens": 1},
            "total_tokens": 99,
        }
    },
)
PIECE = sse("response.output_text.delta", delta="w")


@given(st.lists(st.integers(0, 10_000), max_size=12), st.booleans())
def test_events_pass_unchanged_and_the_end_is_held_back(cuts, crlf):
    for stream, begun, last in ((MessageStream(), START + DELTA * 4, LAST), (ResponseStream(), PIECE * 4, COMPLETED)):
        data = begun + last
        sent = data.replace(b"\n", b"\r\n") if crlf else data
        places, out = sorted({0, len(sent), *(c % len(sent) for c in cuts)}), b""
        for begin, end in pairwise(places):
            out += stream.feed(sent[begin:end])
        assert (out, stream.rest(), stream.done) == (begun, last, True)
        buckets = stream.told(True).buckets
        assert (buckets.cache_read, sum(v or 0 for v in (buckets.output_visible, buckets.output_reasoning))) == (70, 4)
        assert sum(v or 0 for v in (buckets.input_fresh, buckets.cache_read, buckets.cache_write)) == 95


def test_a_message_is_over_with_its_last_event():
    """Not with message_delta: what comes after the commit would not reach the caller."""
    stream = MessageStream()
    stream.feed(START + DELTA + LAST.split(b"event: message_stop")[0])
    assert stream.held
    assert not stream.done
    assert stream.feed(sse("message_stop")) == b""
    assert stream.done


def test_what_an_abandoned_message_is_metered_with():
    stream = MessageStream()
    assert stream.told(False).status == "missing"
    stream.feed(START)
    assert stream.told(False).buckets.input_fresh == 5
    stream.feed(DELTA * 6)
    told = stream.told(False)
    assert (
        told.source,
        told.status,
        told.buckets.input_fresh,
        told.buckets.cache_write,
        told.buckets.output_visible,
    ) == ("estimate", "partial", 5, 20, 6)


@pytest.mark.parametrize("path", [MESSAGES, RESPONSES])
def test_another_upstream_is_tried_in_every_dialect(tmp_path, path):
    def busy(request, connection):
        connection.respond(503, b'{"error":{"message":"no"}}')

    async def case():
        async with front(tmp_path, Engine(busy), Engine()) as gate:
            asked = MESSAGE if path == MESSAGES else RESPONSE
            return await gate.post(asked, path), await gate.post({**asked, "stream": True}, path), await gate.events(2)

    first, second, events = run(case())
    assert (first[0], second[0]) == (200, 200)
    assert [e["attempt"] for e in events] in ([2, 1], [2, 2], [1, 2])


@pytest.mark.parametrize(("path", "kind"), [(MESSAGES, "rate_limit_error"), (RESPONSES, None)])
def test_errors_of_the_engine_in_the_callers_shape(tmp_path, path, kind):
    def limited(request, connection):
        connection.respond(429, b'{"error":{"message":"slowly"}}', more=b"Retry-After: 7\r\n")

    async def case():
        async with front(tmp_path, Engine(limited)) as gate:
            return await gate.post(MESSAGE if path == MESSAGES else RESPONSE, path)

    status, headers, body = run(case())
    assert (status, headers["retry-after"], json.loads(body)["error"]["message"]) == (429, "7", "slowly")
    assert json.loads(body)["error"].get("type") == kind


def test_pages_of_nim(tmp_path):
    ring, text = ring_with(tmp_path, services=("other",))

    async def case():
        async with front(tmp_path, Engine(), ring=ring, upstream={"serves": ["messages"]}) as gate:
            key = [f"Authorization: Bearer {text}"]
            closed = [await call(gate.port, "GET", f"/v1/{page}") for page in ("manifest", "metadata")]
            hidden = await gate.get("/v1/manifest", key)
            gate.listening.app.access.ring = None
            return closed, hidden, await gate.get("/v1/manifest"), await gate.get("/v1/license")

    closed, hidden, manifest, licence = run(case())
    assert [answer[0] for answer in closed] == [401, 401]
    assert json.loads(hidden[2])["profiles"] == []
    assert json.loads(manifest[2])["profiles"] == [
        {"service": "chat", "model": "llama-3.1-8b", "upstreams": 1, "speaks": ["chat", "messages"]}
    ]
    assert json.loads(licence[2])["name"] == "Apache-2.0"
    assert "Apache License" in json.loads(licence[2])["content"]
