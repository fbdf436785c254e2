"""Rates: exact buckets, gates that pass all or none, headers; and the bound that everything rests on."""

import asyncio
import json
from fractions import Fraction

import pytest
from hypothesis import given
from hypothesis import strategies as st
from live_gateway import Engine, front, run

from tokenworks.errors import InputError
from tokenworks.pricing.plan import Plan
from tokenworks.pricing.reading import parsed
from tokenworks.serve.access import keys
from tokenworks.serve.access.keys import KeyRing
from tokenworks.serve.body.splice import read
from tokenworks.serve.dialects.way import CHAT_LIMITS
from tokenworks.serve.limits.asked import asked_of, lowered
from tokenworks.serve.limits.bound import Bounded, Bounds
from tokenworks.serve.limits.buckets import Bucket
from tokenworks.serve.limits.rates import PriceBook

PLAIN = {"model": "chat", "messages": [{"role": "user", "content": "hi"}], "max_tokens": 5}


@given(
    limit=st.integers(1, 10**6), steps=st.lists(st.tuples(st.integers(0, 10**8), st.integers(-50, 200)), max_size=30)
)
def test_a_bucket_is_exact(limit, steps):
    """Against fractions: no microsecond is lost, and the wait that it names is the shortest."""
    bucket, level, now_us = Bucket(limit, 0), Fraction(limit), 0
    for passed, units in steps:
        now_us += passed
        level = min(Fraction(limit), level + Fraction(passed * limit, 60_000_000))
        assert bucket.level(now_us) == level.__floor__()
        wait_us = bucket.wait_us(limit, now_us)
        assert level + Fraction(wait_us * limit, 60_000_000) >= limit
        assert not wait_us or level + Fraction((wait_us - 1) * limit, 60_000_000) < limit
        bucket.take(units)
        level = min(Fraction(limit), level - units)


@given(
    text=st.text() | st.sampled_from(["image", "a {} [b]", '"role" "role"', "\\u", "ü" * 400]),
    parts=st.booleans(),
    more=st.dictionaries(
        st.sampled_from(
            ["max_tokens", "max_completion_tokens", "n", "tools", "stream_options", "stop", "user", "input"]
        ),
        st.none() | st.integers(-1, 10**20),
        max_size=4,
    ),
)
def test_what_is_bounded_at_a_glance_is_bounded_as_by_a_closer_look(text, parts, more):
    content = [{"type": "text", "text": text}, {"type": "image_url", "image_url": {"url": text}}] if parts else text
    more = {k: {"stream_options": {}, "user": "u", "stop": [text]}.get(k, v) for k, v in more.items()}
    body = read(json.dumps({"model": "m", "messages": [{"role": "user", "content": content}], **more}).encode())
    bounds = Bounds("chat", 10, 1000, media_tokens=(("image", 99), *((k, None) for k in ("audio", "video", "file"))))
    glance = bounds.plain(body)
    if glance is not None:
        assert glance == bounds.of(body, asked_of(body), CHAT_LIMITS)


def test_a_picture_in_the_place_of_a_message_is_a_picture():
    body = read(b'{"model":"m","messages":[{"type":"image_url","image_url":"http://a/b"}]}')
    bounds = Bounds("chat", 10, 1000, media_tokens=(("image", None), *((k, None) for k in ("audio", "video", "file"))))
    assert bounds.plain(body) is None
    assert bounds.most(body, CHAT_LIMITS).inputs == 1000  # undeclared: the context


def test_a_plain_chat_needs_a_glance():
    limited = {"stream": True, "stream_options": {"include_usage": True}, "max_completion_tokens": 7}
    for more, outputs in (({}, 5), (limited, 7)):
        body = read(json.dumps({**PLAIN, **more}).encode())
        assert Bounds("chat", 10, 1000).plain(body) == Bounded(len(body.text) + 10, outputs, 1)


def answers(tmp_path, count, body=PLAIN, ring=None, headers=(), **serve):
    async def case():
        async with front(tmp_path, Engine(), ring=ring, **serve) as gate:
            return [await gate.post(body, headers=headers) for _ in range(count)]

    return run(case())


def test_requests_per_minute(tmp_path):
    found = answers(tmp_path, 4, limits=[{"per": "tenant", "rpm": 3}])
    assert [a[0] for a in found] == [200, 200, 200, 429]
    assert [a[1]["x-ratelimit-remaining-requests"] for a in found] == ["2", "1", "0", "0"]
    assert found[0][1]["x-ratelimit-limit-requests"] == "3"
    assert 1 <= int(found[3][1]["retry-after"]) <= 20
    assert json.loads(found[3][2])["error"]["code"] == "rate_limit_exceeded"


def test_tokens_per_minute_are_given_back_when_they_are_known(tmp_path):
    """Each answer uses 14 tokens; the bound is some ninety."""
    found = answers(tmp_path, 12, limits=[{"tpm": 200}])
    served = [a[0] for a in found].count(200)
    bound = len(json.dumps(PLAIN)) + 5
    assert served == (200 - bound) // 14 + 1
    assert found[0][1]["x-ratelimit-remaining-tokens"] == str(
        200 - 14
    )  # a whole answer's use is known when it goes out


def test_a_key_has_limits_of_its_own(tmp_path):
    path = tmp_path / "keys.json"
    text = keys.add(path, "acme", rpm=1)[1]
    found = answers(tmp_path, 2, ring=KeyRing(path), headers=[f"Authorization: Bearer {text}"])
    assert [a[0] for a in found] == [200, 429]


def test_calls_at_a_time(tmp_path):
    async def slow(request, connection):
        await asyncio.sleep(0.2)
        connection.respond(200, b"{}")

    async def case():
        async with front(tmp_path, Engine(slow), limits=[{"service": "chat", "concurrency": 2}]) as gate:
            first = await asyncio.gather(*(gate.post(PLAIN) for _ in range(5)))
            return sorted(a[0] for a in first), (await gate.post(PLAIN))[0]

    assert run(case()) == ([200, 200, 429, 429, 429], 200)


def of(body, bounds=None):
    return (bounds or Bounds("chat", 10, 1000)).most(read(json.dumps(body).encode()), CHAT_LIMITS)


def test_what_a_call_can_use_at_most():
    size = len(json.dumps(PLAIN))
    assert of(PLAIN) == Bounded(size + 10, 5, 1)
    assert of({**PLAIN, "n": 3}).answers == 3
    assert of({k: v for k, v in PLAIN.items() if k != "max_tokens"}).outputs == 1000
    assert of({**PLAIN, "max_tokens": 10**6}).outputs == 1000
    assert of({**PLAIN, "max_completion_tokens": 9}).outputs == 9  # of two limits the larger
    assert of({"model": "m", "prompt": ["a", "b"], "max_tokens": 4}).answers == 2
    assert of({"model": "m", "prompt": [1, 2, 3], "max_tokens": 4}).answers == 1
    assert of({**PLAIN, "tools": [{"type": "function"}]}).inputs == 1000  # not declared: the context


def picture(kind="image_url"):
    part = {"type": kind, "image_url": {"url": "data:image/png;base64," + "A" * 5000}}
    return {**PLAIN, "messages": [{"role": "user", "content": [{"type": "text", "text": "look"}, part]}]}


def test_pictures_count_by_their_declared_maximum():
    declared = Bounds(
        "chat", 10, 100_000, media_tokens=(("image", 700), ("audio", None), ("video", None), ("file", None))
    )
    body = picture()
    text = len(json.dumps(body)) - len(body["messages"][0]["content"][1]["image_url"]["url"])
    assert of(body, declared).inputs == text + 10 + 700
    assert of(body, Bounds("chat", 10, 100_000)).inputs == 100_000
    hidden = json.dumps(body).replace('"image_url"', '"im\\u0061ge_url"').encode()
    assert declared.most(read(hidden), CHAT_LIMITS).inputs >= 700


def test_a_text_that_calls_itself_a_picture_counts_by_its_bytes():
    text = "data:" + "word " * 1000
    body = {**PLAIN, "messages": [{"role": "user", "content": [{"type": "text", "text": text, "image": 1}]}]}
    declared = Bounds("chat", 10, 100_000, media_tokens=tuple((k, 5) for k in ("image", "audio", "video", "file")))
    assert of(body, declared).inputs > len(text)


@given(text=st.text(max_size=200))
def test_a_body_has_at_least_the_bytes_of_its_text(text):
    for ascii_only in (True, False):
        body = json.dumps({"model": "m", "messages": [{"role": "user", "content": text}]}, ensure_ascii=ascii_only)
        raw = body.encode(errors="surrogatepass")
        assert len(raw) > len(text.encode(errors="surrogatepass"))


def test_lowering_changes_the_limit_and_nothing_else():
    body = read(
        b'{"model":"chat", "messages":[{"role":"user","content":"\\u00e9"}],"max_completion_tokens":90,"x":1.50}'
    )
    assert lowered(body, CHAT_LIMITS, 7).text == (
        b'{"model":"chat","messages":[{"role":"user","content":"\\u00e9"}],"max_completion_tokens":7,"x":1.50}'
    )


@pytest.mark.parametrize(
    ("price", "said"),
    [
        ("price: '3', per: 1000000, included: 5", "included"),
        ("price: '0.0000000000001'", "the nearest is 0"),
        ("model: package, package: 1000, price: '3'", "the model package"),
        ("price: '3', per: 1000000, buckets: [input_fresh]", "no price covers cache_read"),
    ],
)
def test_a_plan_without_a_price_for_each_token_is_refused(price, said):
    from datetime import date

    text = (
        f"plan: p\ncurrency: USD\nversions: [{{id: v, from: 2020-01-01, prices: [{{id: t, meter: tokens, {price}}}]}}]"
    )
    with pytest.raises(InputError, match=said):
        PriceBook(parsed(text, Plan), ("m",), date(2026, 1, 1))


@pytest.mark.parametrize(
    ("serve", "said"),
    [
        ({"limits": [{"per": "key"}]}, "rpm, tpm or concurrency"),
        ({"limits": [{"service": "chatt", "rpm": 1}]}, "no service 'chatt'"),
        ({"budgets": [{"name": "b"}]}, "one of them"),
        ({"budgets": [{"name": "b", "usd": "$5"}]}, "price_plan"),
        ({"budgets": [{"name": "b", "tokens": 5}] * 2}, "stands twice"),
        ({"budgets": [{"name": "b", "usd": "$10 M"}]}, "at most"),
    ],
)
def test_what_is_wrong_in_the_file_is_said(serve, said):
    from tokenworks.api import load

    with pytest.raises(InputError, match=said):
        load("laptop").replace("serve", serve)
