"""A request's body is changed only where it must be, and read in one way only."""

import json

import pytest
from hypothesis import given
from hypothesis import strategies as st

from tokenworks.serve.body.scan import READ, USUAL
from tokenworks.serve.body.splice import Known, read, spliced
from tokenworks.serve.call.handover import MEMBERS
from tokenworks.serve.dialects import kept
from tokenworks.serve.dialects.messages import guard as messages
from tokenworks.serve.dialects.responses import guard as responses
from tokenworks.serve.http.request import Refused
from tokenworks.serve.limits.asked import UNBOUNDED, Asked

SPECIAL = ("model", "stream", "stream_options", "user", "prompt_cache_key")
ONE_CASE = str.maketrans("İıſK", "iisk")


def in_other_case(name):
    return name.encode() not in READ and name.translate(ONE_CASE).lower().encode() in READ


KEYS = st.text(max_size=8).filter(lambda k: k not in SPECIAL and not in_other_case(k))
VALUES = st.recursive(
    st.none() | st.booleans() | st.integers(-(2**53), 2**53) | st.floats(allow_nan=False, allow_infinity=False) | st.text(max_size=20),
    lambda inner: st.lists(inner, max_size=3) | st.dictionaries(st.text(max_size=5), inner, max_size=3),
    max_leaves=12,
)  # fmt: skip


@st.composite
def calls(draw):
    """(a call, its bytes as some client writes them)."""
    call = draw(st.dictionaries(KEYS, VALUES, max_size=4))
    call["model"] = draw(st.text(max_size=12))
    if draw(st.booleans()):
        call["stream"] = draw(st.sampled_from([True, False, None]))
    if draw(st.booleans()):
        call["stream_options"] = draw(
            st.sampled_from([None, {}, {"include_usage": True}, {"include_usage": False}, {"x": [1]}])
        )
    call = dict(draw(st.permutations(list(call.items()))))
    text = json.dumps(
        call, ensure_ascii=draw(st.booleans()), indent=draw(st.sampled_from([None, 1, "\t"])),
        separators=draw(st.sampled_from([None, (",", ":"), (" , ", " : ")])),
    )  # fmt: skip
    return call, (draw(st.sampled_from(["", " ", "\r\n"])) + text + draw(st.sampled_from(["", "\n"]))).encode()


@given(calls(), st.none() | st.text(max_size=10), st.booleans(), st.booleans())
def test_the_upstream_reads_the_call_with_its_name_of_the_model_and_usage_asked_for(made, model, usage, continuous):
    call, text = made
    if any("\\" in json.dumps(k, ensure_ascii=t) for k in call for t in (True, False)):
        return  # refused: a test of its own
    options = call.get("stream_options") or {}
    expected = dict(call)
    if model is not None:
        expected["model"] = model
    if usage and call.get("stream") is True and (continuous or options.get("include_usage") is not True):
        expected["stream_options"] = {**options, "include_usage": True} | (
            {"continuous_usage_stats": True} if continuous else {}
        )
    sent = spliced(read(text), model, usage, continuous)
    assert json.loads(sent) == expected
    if expected == call:
        assert sent == text


@given(calls())
def test_all_other_bytes_go_on_as_they_came(made):
    """With the two changes taken out again, the bytes are those of the caller."""
    call, text = made
    if "stream_options" in call or any("\\" in json.dumps(k, ensure_ascii=t) for k in call for t in (True, False)):
        return
    sent = spliced(read(text), "an upstream's name", True)
    begin, end = read(text).places[b"model"]
    assert sent.replace(b',"stream_options":{"include_usage":true}', b"").replace(
        b'"an upstream\'s name"', text[begin:end], 1
    ) == text or (b"an upstream" in text or b"include_usage" in text)


def nested(value):
    inner = value.values() if isinstance(value, dict) else value if isinstance(value, list) else None
    return 0 if inner is None else 1 + max(map(nested, inner), default=0)


@given(calls(), st.lists(st.sampled_from([name.decode() for name in USUAL]), unique=True))
def test_what_is_seen_of_a_call_at_a_glance(made, usual):
    """How deep it nests, and whether it has no members but those of most chats."""
    call, text = made
    if any("\\" in json.dumps(k, ensure_ascii=t) for k in call for t in (True, False)):
        return
    assert read(text).depth == nested(call)
    assert read(text).usual == all(name.encode() in USUAL for name in call)
    plain = read(json.dumps({**dict.fromkeys(usual), "model": "m"}).encode())
    assert (plain.usual, plain.depth) == (True, 1)


def test_a_text_of_any_length_is_read():
    for size in (10, 1 << 16, 1 << 20):
        text = json.dumps({"messages": [{"content": "{[" * size}], "model": "m", "user": "u"}).encode()
        body = read(text)
        begin, end = body.places[b"model"]
        assert (text[begin:end], body.depth, body.usual) == (b'"m"', 3, True)


REFUSED = {
    "the model twice": b'{"model":"cheap","model":"dear"}',
    "the model twice, once escaped": b'{"model":"cheap","mode\\u006c":"dear"}',
    "an escape in another name": b'{"model":"m","a\\n":1}',
    "another member twice": b'{"model":"m","stream":false,"stream":true}',
    "another model for engines to whom case is nothing": b'{"model":"cheap","Model":"dear"}',
    "a limit in capitals": b'{"model":"m","max_tokens":1,"MAX_TOKENS":99999}',
    "a limit in capitals alone": b'{"model":"m","Max_tokens":99999}',
    "a stream with a long s": '{"model":"m","ſtream":true}'.encode(),
    "a limit in kelvins": '{"model":"m","max_toKens":9}'.encode(),
    "storage in capitals": b'{"model":"m","STORE":true}',
    "a member twice after another name in capitals": b'{"model":"m","USER":"u","a":1,"a":2}',
    "no model": b'{"messages":[{"model":"m"}]}',
    "a model that is no text": b'{"model":7}',
    "a list": b'["model"]',
    "nothing": b"",
    "half": b'{"model":"m"',
    "something after it": b'{"model":"m"} {"model":"n"}',
    "a stream that is no truth value": b'{"model":"m","stream":"yes"}',
    "more members than anybody writes": json.dumps({"model": "m", **{f"k{i}": i for i in range(300)}}).encode(),
}


@pytest.mark.parametrize("name", REFUSED)
def test_what_two_readers_could_understand_differently_is_refused(name):
    with pytest.raises(Refused) as refused:
        read(REFUSED[name])
    assert refused.value.status == 400


def test_names_that_are_nobodys_may_have_any_case():
    for name in ("topK", "Models", "MODE", "max_tokenſ_more", "streäm2", "K", "ä", "N2", "strea"):
        text = json.dumps({"model": "m", "messages": [{"Model": "x"}], name: 1}, ensure_ascii=False).encode()
        assert read(text).text == text


@given(st.sampled_from(READ), st.data())
def test_what_is_known_is_taken_in_lower_case_alone(name, data):
    cases = {"i": "iIİı", "s": "sSſ", "k": "kKK"}
    written = "".join(data.draw(st.sampled_from(cases.get(c, c + c.upper()))) for c in name.decode())
    if written != name.decode():
        with pytest.raises(Refused, match="lower case"):
            read(json.dumps({"model": "m", written: None}, ensure_ascii=False).encode())


def test_all_that_the_gateway_reads_has_one_case():
    found = {f for one in (Known, Asked, kept._Chat, messages._Asked, responses._Asked) for f in one.__struct_fields__}
    assert {name.encode() for name in {*found, *UNBOUNDED}} | set(MEMBERS) <= set(READ)
    assert set(READ[: len(USUAL)]) == set(USUAL)


def test_names_inside_strings_and_inner_objects_are_left_alone():
    text = b'{"messages":[{"content":"\\"model\\":\\"x\\", {","model":"inner"}],"a":"\\\\","model" : "outer" ,"stream":true}'
    sent = spliced(read(text), "up", True)
    assert sent == text.replace(b'"outer"', b'"up"').replace(b"true}", b'true,"stream_options":{"include_usage":true}}')
