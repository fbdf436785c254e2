"""Responses and events read the same in whatever pieces they come; addresses, prompts and what they cost."""

import itertools
import json

import pytest
from benched import at, benched
from hypothesis import given
from hypothesis import strategies as st
from scripted_server import Scripted

from tokenworks.errors import InputError
from tokenworks.serve.bench.address import address_of
from tokenworks.serve.bench.prompts import Asking, prompt
from tokenworks.serve.bench.response import BadResponseError, Response
from tokenworks.serve.bench.server_events import ServerEvents
from tokenworks.serve.bench.texts import WORDS, Characters, Words
from tokenworks.spec.demand import Workload
from tokenworks.workload.agents.linked import linked_runs

BODY = b'data: {"a": 1}\n\ndata: {"b": 2}\r\n\r\n: a comment\n\ndata: [DONE]\n\n'
CHUNKED = (
    b"HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\n"
    + b"".join(b"%X;x=y\r\n" % len(p) + p + b"\r\n" for p in (BODY[:7], BODY[7:30], BODY[30:]))
    + b"0\r\nTrailer: x\r\n\r\n"
)
WHOLE = b"HTTP/1.1 100 Continue\r\n\r\nHTTP/1.1 200 OK\r\nContent-Length: %d\r\n\r\n" % len(BODY) + BODY
UNTIL_END = b"HTTP/1.0 200 OK\r\n\r\n" + BODY


def cut(data, places):
    edges = [0, *sorted(p % (len(data) + 1) for p in places), len(data)]
    return [data[a:b] for a, b in itertools.pairwise(edges)]


@pytest.mark.parametrize(
    ("data", "kept"), [(CHUNKED, True), (WHOLE, True), (UNTIL_END, False)], ids=["chunked", "length", "until the end"]
)
@given(places=st.lists(st.integers(0, 10_000), max_size=30))
def test_any_pieces_give_the_same_events(data, kept, places):
    response, events, found = Response(), ServerEvents(), []
    for piece in cut(data, places):
        for part in response.feed(piece):
            found += events.feed(part)
    assert response.end()
    assert response.status == 200
    assert found == [b'{"a": 1}', b'{"b": 2}', b"[DONE]"]
    assert response.keep_alive is kept


@pytest.mark.parametrize(
    "data",
    [
        b"SSH-2.0-OpenSSH\r\n\r\n",
        b"HTTP/1.1 200 OK\r\nContent-Length: 1x\r\n\r\n",
        b"HTTP/1.1 200 OK\r\nContent-Length: -1\r\n\r\n",
        b"HTTP/1.1 200 OK\r\nContent-Length: 1\r\n\r\nab",
        b"HTTP/1.1 200 OK\r\nTransfer-Encoding: gzip\r\n\r\n",
        b"HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\n2\r\nabc\r\n",
        b"HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\nzz\r\n",
        b"HTTP/1.1 200 OK\r\n" + b"a: b\r\n" * 20_000,
    ],
)
def test_what_is_no_response_is_refused(data):
    with pytest.raises(BadResponseError):
        Response().feed(data)


@given(data=st.binary(max_size=400), places=st.lists(st.integers(0, 400), max_size=5))
def test_any_bytes_are_read_or_refused(data, places):
    response = Response()
    try:
        for piece in cut(b"HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\n" + data, places):
            response.feed(piece)
    except BadResponseError:
        return
    assert not response.end() or b"0" in data


@pytest.mark.parametrize(
    ("url", "authority", "path"),
    [
        ("http://127.0.0.1:8000", "127.0.0.1:8000", "/v1/chat/completions"),
        ("localhost:30000/v1", "localhost:30000", "/v1/chat/completions"),
        ("https://api.example/v1/completions", "api.example", "/v1/completions"),
        ("https://a.example:444/one/two/", "a.example:444", "/one/two/v1/chat/completions"),
        ("http://[::1]:8000", "[::1]:8000", "/v1/chat/completions"),
    ],
)
def test_addresses(url, authority, path):
    found = address_of(url)
    assert (found.authority, found.path) == (authority, path)


@pytest.mark.parametrize("url", ["", "ftp://a", "http://", "http://a:99999", "http://user:key@a", "http://a/?key=1"])
def test_what_is_no_address(url):
    with pytest.raises(InputError):
        address_of(url)


def test_a_path_and_another_api_contradict_each_other():
    with pytest.raises(InputError, match="--api says chat"):
        address_of("http://a/v1/completions", "chat")


def test_stated_characters_per_token_are_kept():
    for tokens in (1, 10, 1000):
        assert len(Characters(3.5).piece(tokens, (1, 2))) == round(3.5 * tokens)
    assert Characters(4).piece(50, (1, 2)) == Characters(4).piece(50, (1, 2)) != Characters(4).piece(50, (1, 3))


@pytest.mark.parametrize("path", ["", "/v1/completions"])
def test_the_servers_tokenizer_counts_the_prompt_to_the_token(path):
    server = Scripted(tokenize=True, split=WORDS[3:100:7])
    result = benched(server, at(0.0, 1.0, inputs=333), per_token=None, path=path)
    assert [a.input_tokens for a in result.answers] == [333, 333]
    assert "less 7 of the template" in result.lengths if not path else "less 1" in result.lengths
    sent = {json.dumps(asked[2].get("messages", asked[2].get("prompt"))) for asked in server.requests}
    assert len(sent) == 2  # no two prompts are alike
    assert not any(word in text.split() for text in sent for word in server.split)


def test_without_a_tokenizer_the_length_has_to_be_stated():
    with pytest.raises(InputError, match="--chars-per-token"):
        benched(Scripted(), at(0.0), per_token=None)


def test_prompts_share_text_where_their_hashes_are_the_same():
    load = Workload.model_validate({"service": "x", "agents": "deep-research", "runs": "60 per minute"})
    made, _ = linked_runs(load, 0, 20.0, 5.0, 1, 0)
    asking = Asking(address_of("http://a"), "m", Words(WORDS))
    texts = [prompt(asking, made, number).split() for number in range(12)]
    size = made.hash_block_tokens
    hashes = [made.block_hash[a:b].tolist() for a, b in zip(made.block_start, made.block_start[1:], strict=False)]
    shared = 0
    for a in range(12):
        assert len(texts[a]) == made.input_tokens[a]
        for b in range(a):
            same = next(
                (i for i, (x, y) in enumerate(zip(hashes[a], hashes[b], strict=False)) if x != y),
                min(len(hashes[a]), len(hashes[b])),
            )
            assert texts[a][: same * size] == texts[b][: same * size]
            assert texts[a][: same * size + 40] != texts[b][: same * size + 40]
            shared += same
    assert shared > 0


def test_the_model_the_answers_length_and_extras_are_in_the_request():
    server = Scripted()
    benched(server, at(0.0, outputs=9), ignore_eos=True, extra={"temperature": 0})
    body = server.requests[0][2]
    assert body["model"] == "scripted-7b"
    assert (body["max_tokens"], body["min_tokens"], body["ignore_eos"], body["temperature"]) == (9, 9, True, 0)
    assert body["stream_options"] == {"include_usage": True}


def test_llama_cpp_writes_its_template_out_and_is_counted_all_the_same():
    result = benched(Scripted(tokenize="llama.cpp", template=11), at(0.0, inputs=200), per_token=None)
    assert "less 11 of the template" in result.lengths
    assert result.answers[0].input_tokens == 200


def test_a_vocabulary_without_our_words_gives_characters_per_token():
    """Every word is two tokens here, as in one of syllables: lengths are kept in the mean, not to the token."""
    server = Scripted(tokenize=True, split=WORDS)
    result = benched(server, at(0.0, 1.0, inputs=2000), per_token=None)
    assert "characters per token, as the server's /tokenize counts" in result.lengths
    assert [a.input_tokens for a in result.answers] == pytest.approx([2000, 2000], rel=0.03)
