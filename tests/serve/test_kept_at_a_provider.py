"""Members of the three APIs that refer to what a provider keeps, store something there or run it: each is refused. Those that
look alike and refer to nothing go on as they came."""

import json

import pytest
from live_gateway import CHAT, Engine, front, run

RESPONSES, MESSAGES, COUNT = "/v1/responses", "/v1/messages", "/v1/messages/count_tokens"
USER = {"role": "user", "content": "hi"}
BASE = {
    CHAT: {"model": "chat", "messages": [USER]},
    RESPONSES: {"model": "chat", "input": "hi"},
    MESSAGES: {"model": "chat", "max_tokens": 9, "messages": [USER]},
    COUNT: {"model": "chat", "messages": [USER]},
}
FILE = {"type": "file", "file_id": "file-other"}


def said(*parts, role="user"):
    return {"messages": [{"role": role, "content": list(parts)}]}


def heard(*parts):
    return {"input": [{"role": "user", "content": list(parts)}]}


def item(**members):
    return {"input": [{"role": "user", "content": "hi"}, members]}


REFUSED = {
    "chat, an answer that is stored": (CHAT, {"store": True}),
    "chat, an answer that is stored, in other words": (CHAT, {"store": 1}),
    "chat, a search": (CHAT, {"web_search_options": {}}),
    "chat, a file": (CHAT, said({"type": "file", "file": {"file_id": "file-other"}})),
    "chat, an image": (CHAT, said({"type": "image_file", "image_file": {"file_id": "file-other"}})),
    "chat, an answer in audio": (CHAT, {"messages": [USER, {"role": "assistant", "audio": {"id": "audio_other"}}, USER]}),
    "chat, a voice": (CHAT, {"modalities": ["audio"], "audio": {"format": "wav", "voice": {"id": "voice_other"}}}),
    "responses, the response before": (RESPONSES, {"previous_response_id": "resp_1"}),
    "responses, a conversation": (RESPONSES, {"conversation": {"id": "conv_1"}}),
    "responses, a prompt": (RESPONSES, {"prompt": {"id": "pmpt_1", "version": "2"}}),
    "responses, in the background": (RESPONSES, {"background": True}),
    "responses, stored": (RESPONSES, {"store": True}),
    "responses, stored by default": (RESPONSES, {"store": None}),
    "responses, stored in other words": (RESPONSES, {"store": 0}),
    "responses, a vector store": (RESPONSES, {"tools": [{"type": "file_search", "vector_store_ids": ["vs_1"]}]}),
    "responses, a container": (RESPONSES, {"tools": [{"type": "code_interpreter", "container": "cntr_1"}]}),
    "responses, a shell": (RESPONSES, {"tools": [{"type": "shell", "environment": {"type": "container_reference", "container_id": "cntr_1"}}]}),
    "responses, a mask of an image": (RESPONSES, {"tools": [{"type": "image_generation", "input_image_mask": {"file_id": "file-other"}}]}),
    "responses, a connector": (RESPONSES, {"tools": [{"type": "mcp", "server_label": "a", "connector_id": "connector_gmail"}]}),
    "responses, a search": (RESPONSES, {"tools": [{"type": "web_search"}]}),
    "responses, tools in an item": (RESPONSES, item(type="additional_tools", tools=[{"type": "web_search"}])),
    "responses, an item": (RESPONSES, item(type="item_reference", id="msg_1")),
    "responses, an item without a type": (RESPONSES, item(id="msg_1")),
    "responses, an item with more": (RESPONSES, item(id="msg_1", status="completed")),
    "responses, an item of another type": (RESPONSES, item(type="message", id="msg_1")),
    "responses, a picture that was made": (RESPONSES, item(type="image_generation_call", id="ig_1", status="completed", result=None)),
    "responses, code that ran": (RESPONSES, item(type="code_interpreter_call", id="ci_1", container_id="cntr_1", code="1", outputs=[], status="completed")),
    "responses, an approval": (RESPONSES, item(type="mcp_approval_response", approval_request_id="mcpr_1", approve=True)),
    "responses, a thought": (RESPONSES, item(type="reasoning", id="rs_1", summary=[{"type": "summary_text", "text": "s"}])),
    "responses, a screenshot": (RESPONSES, item(type="computer_call_output", call_id="c", output={"type": "computer_screenshot", "file_id": "file-other"})),
    "responses, an image": (RESPONSES, heard({"type": "input_image", "file_id": "file-other"})),
    "responses, a file": (RESPONSES, heard({"type": "input_file", "file_id": "file-other"})),
    "responses, a result that is a file": (RESPONSES, item(type="function_call_output", call_id="c", output=[{"type": "input_file", "file_id": "file-other"}])),
    "responses, a result that is one file": (RESPONSES, item(type="function_call_output", call_id="c", output={"type": "input_file", "file_id": "file-other"})),
    "responses, a cited file": (RESPONSES, item(type="message", role="assistant", content=[{"type": "output_text", "text": "a", "annotations": [{"type": "file_citation", "index": 0, "file_id": "file-other"}]}])),
    "messages, a container": (MESSAGES, {"container": "container_1"}),
    "messages, skills": (MESSAGES, {"container": {"skills": [{"type": "custom", "skill_id": "skill_1"}]}}),
    "messages, a server": (MESSAGES, {"mcp_servers": [{"type": "url", "name": "a", "url": "https://a"}]}),
    "messages, a profile": (MESSAGES, {"user_profile_id": "uprof_1"}),
    "messages, an upload": (MESSAGES, said({"type": "container_upload", "file_id": "file-other"})),
    "messages, a document": (MESSAGES, said({"type": "document", "source": FILE})),
    "messages, an image": (MESSAGES, said({"type": "image", "source": FILE})),
    "messages, a document in a result": (MESSAGES, said({"type": "tool_result", "tool_use_id": "1", "content": [{"type": "document", "source": FILE}]})),
    "messages, an image in a document": (MESSAGES, said({"type": "document", "source": {"type": "content", "content": [{"type": "image", "source": FILE}]}})),
    "messages, what code made": (MESSAGES, said({"type": "code_execution_tool_result", "tool_use_id": "1", "content": {"type": "code_execution_result", "content": [{"type": "code_execution_output", "file_id": "file-other"}]}}, role="assistant")),
    "messages, a document of the system's": (MESSAGES, {"system": [{"type": "document", "source": FILE}]}),
    "messages, a search": (MESSAGES, {"tools": [{"type": "web_search_20260318", "name": "web_search"}]}),
    "messages, code": (MESSAGES, {"tools": [{"type": "code_execution_20260521", "name": "code_execution"}]}),
    "messages, a toolset": (MESSAGES, {"tools": [{"type": "mcp_toolset", "mcp_server_name": "a"}]}),
    "counting, a document": (COUNT, said({"type": "document", "source": FILE})),
}  # fmt: skip
SCHEMA = {"type": "object", "properties": {"file_id": {"type": "string"}}, "required": ["file_id"]}
HARMLESS = {
    "chat, nothing is stored": (CHAT, {"store": False, "metadata": {"a": "b"}, "web_search_options": None}),
    "chat, a tool for files": (CHAT, {"tools": [{"type": "function", "function": {"name": "f", "parameters": SCHEMA}}]}),
    "chat, a file's name in a text": (CHAT, said({"type": "text", "text": '{"file_id": "file-1"}'})),
    "chat, a file as data": (CHAT, said({"type": "file", "file": {"filename": "a", "file_data": "data:;base64,aGk=", "file_id": None}})),
    "chat, audio": (CHAT, {"modalities": ["text", "audio"], "audio": {"voice": "alloy", "format": "wav"}, **said({"type": "input_audio", "input_audio": {"data": "aGk=", "format": "wav"}})}),
    "responses, plain": (RESPONSES, {"store": False, "background": False, "conversation": None, "tools": None, "prompt_cache_key": "a", "metadata": {"a": "b"}}),
    "responses, own tools": (RESPONSES, {"store": False, "tools": [{"type": "function", "name": "f", "parameters": SCHEMA}, {"type": "custom", "name": "g"}]}),
    "responses, a conversation": (RESPONSES, {"store": False, "input": [
        USER,
        {"type": "message", "role": "assistant", "id": "msg_1", "status": "completed", "content": [{"type": "output_text", "text": "a", "annotations": []}]},
        {"type": "reasoning", "id": "rs_1", "summary": [], "encrypted_content": "x"},
        {"type": "reasoning", "id": "rs_2", "summary": [], "content": [{"type": "reasoning_text", "text": "x"}]},
        {"type": "reasoning", "summary": [{"type": "summary_text", "text": "s"}]},
        {"type": "function_call", "id": "fc_1", "call_id": "c", "name": "f", "arguments": '{"file_id":"mine"}'},
        {"type": "function_call_output", "call_id": "c", "output": [{"type": "input_image", "image_url": "data:image/png;base64,aGk="}]},
        {"type": "custom_tool_call", "call_id": "d", "name": "g", "input": "x"}, {"type": "custom_tool_call_output", "call_id": "d", "output": "y"},
    ]}),
    "messages, own tools": (MESSAGES, {"mcp_servers": [], "tools": [{"name": "f", "input_schema": SCHEMA}, {"type": "custom", "name": "g", "input_schema": {}}, {"type": "bash_20250124", "name": "bash"}, {"type": None, "name": "h", "input_schema": {}}]}),
    "messages, a call of a tool for files": (MESSAGES, {"messages": [USER, {"role": "assistant", "content": [{"type": "tool_use", "id": "1", "name": "f", "input": {"file_id": "mine"}}]}, {"role": "user", "content": [{"type": "tool_result", "tool_use_id": "1", "content": "x"}]}]}),
    "messages, a citation of no file": (MESSAGES, {"messages": [USER, {"role": "assistant", "content": [{"type": "text", "text": "a", "citations": [{"type": "char_location", "cited_text": "b", "file_id": None}]}]}, USER]}),
}  # fmt: skip
KEYED = {"key_env": "UPSTREAM_KEY", "serves": ["responses", "messages"]}


def asked(tmp_path, monkeypatch, calls, upstream=KEYED):
    """(answers, bodies that the upstream got) of calls, one after the other."""
    monkeypatch.setenv("UPSTREAM_KEY", "sk-upstream")

    async def case():
        async with front(tmp_path, Engine(), upstream=upstream) as gate:
            return [await gate.post(body, path) for path, body in calls], [r.body for r in gate.engines[0].asked]

    return run(case())


@pytest.mark.parametrize("separators", [(",", ":"), (" , ", " : ")], ids=["compact", "with blanks"])
def test_what_refers_to_a_provider_is_refused(tmp_path, monkeypatch, separators):
    calls = [
        (path, json.dumps({**BASE[path], **more}, separators=separators).encode()) for path, more in REFUSED.values()
    ]
    answers, got = asked(tmp_path, monkeypatch, calls)
    assert dict(zip(REFUSED, [a[0] for a in answers], strict=True)) == dict.fromkeys(REFUSED, 400)
    assert got == []
    for _, _, body in answers:
        assert json.loads(body)["error"]["type"] == "invalid_request_error"


@pytest.mark.parametrize("separators", [(",", ":"), (" , ", " : ")], ids=["compact", "with blanks"])
def test_what_refers_to_nothing_goes_on_as_it_came(tmp_path, monkeypatch, separators):
    calls = [
        (path, json.dumps({**BASE[path], **more}, separators=separators).encode()) for path, more in HARMLESS.values()
    ]
    answers, got = asked(tmp_path, monkeypatch, calls)
    assert dict(zip(HARMLESS, [a[0] for a in answers], strict=True)) == dict.fromkeys(HARMLESS, 200)
    assert got == [
        body if path != RESPONSES or b"store" in body else body[:-1] + b',"store":false}' for path, body in calls
    ]


TWICE = {
    "a file": (CHAT, b'"messages":[{"role":"user","content":[{"type":"file","file":{"file_id":"x","file_id":null}}]}]'),
    "a file, escaped": (CHAT, b'"messages":[{"role":"user","content":[{"type":"file","file":{"\\u0066ile_id":"x","\\u0066ile_id":null}}]}]'),
    "a file, the second escaped": (CHAT, b'"messages":[{"role":"user","content":[{"type":"file","file":{"file_id":"x","fil\\u0065_id":null}}]}]'),
    "a message": (CHAT, b'"messages":[{"role":"user","content":[{"type":"file","file":{"file_id":"x"}}],"content":"hi"}]'),
    "an answer in audio": (CHAT, b'"messages":[{"role":"assistant","audio":{"id":"x"},"audio":null}]'),
    "a voice": (CHAT, b'"messages":[],"audio":{"voice":{"id":"x"},"voice":"alloy"}'),
    "a tool": (RESPONSES, b'"input":"hi","tools":[{"type":"web_search","type":"function","name":"f"}]'),
    "a tool, escaped": (RESPONSES, b'"input":"hi","tools":[{"\\u0074ype":"web_search","type":"function","name":"f"}]'),
    "an item": (RESPONSES, b'"input":[{"type":"item_reference","type":"message","id":"m","role":"user","content":"hi"}]'),
    "an image": (RESPONSES, b'"input":[{"role":"user","content":[{"type":"input_image","file_id":"x","file_id":null}]}]'),
    "a tool of messages": (MESSAGES, b'"max_tokens":9,"messages":[],"tools":[{"type":"web_search_20260318","type":"custom","name":"f"}]'),
    "a document": (MESSAGES, b'"max_tokens":9,"messages":[{"role":"user","content":[{"type":"document","source":{"file_id":"x","file_id":null}}]}]'),
    "what a tool was called with": (MESSAGES, b'"max_tokens":9,"messages":[{"role":"user","content":[{"type":"container_upload","file_id":"x","type":"tool_use","file_id":null}]}]'),
}  # fmt: skip


def test_members_that_two_readers_could_take_differently_are_refused(tmp_path, monkeypatch):
    calls = [(path, b'{"model":"chat",' + body + b"}") for path, body in TWICE.values()]
    answers, got = asked(tmp_path, monkeypatch, calls)
    assert dict(zip(TWICE, [a[0] for a in answers], strict=True)) == dict.fromkeys(TWICE, 400)
    assert got == []


def test_an_engine_without_a_key_keeps_nothing(tmp_path, monkeypatch):
    """What chat completions may ask it is its own matter."""
    more = [{"store": True}, {"web_search_options": {}}, said({"type": "file", "file": {"file_id": "file-1"}})]
    calls = [(CHAT, {**BASE[CHAT], **one}) for one in more]
    answers, got = asked(tmp_path, monkeypatch, calls, upstream={})
    assert [a[0] for a in answers] == [200] * 3
    assert [json.loads(body) for body in got] == [body for _, body in calls]


def test_a_summary_of_thoughts_stays_behind_where_it_is_translated(tmp_path, monkeypatch):
    """It has an id, and the engine that is asked keeps none."""
    path, more = REFUSED["responses, a thought"]
    answers, got = asked(tmp_path, monkeypatch, [(path, {**BASE[path], **more})], upstream={"key_env": "UPSTREAM_KEY"})
    assert answers[0][0] == 200
    assert json.loads(got[0])["messages"] == [USER]


@pytest.mark.parametrize("inner", [b"[" * 900 + b"]" * 900, b"1" * 5000], ids=["deep", "a long number"])
def test_what_another_reader_of_json_cannot_take_is_answered(tmp_path, monkeypatch, inner):
    body = b'{"model":"chat","max_tokens":9,"messages":[{"role":"user","content":[{"file_id":null,"x":%b}]}]}' % inner
    answers, _ = asked(tmp_path, monkeypatch, [(MESSAGES, body), (CHAT, body)])
    assert {a[0] for a in answers} <= {200, 400}


def test_what_would_take_long_to_look_through_is_refused(tmp_path, monkeypatch):
    """Seconds, in which nobody else is served."""
    many = b",".join([b'{"a":1}'] * 200_000)
    body = b'{"model":"chat","max_tokens":9,"messages":[{"role":"user","content":[{"file_id":null},%b]}]}' % many
    answers, got = asked(tmp_path, monkeypatch, [(MESSAGES, body), (CHAT, body)])
    assert ([a[0] for a in answers], got) == ([400, 400], [])
