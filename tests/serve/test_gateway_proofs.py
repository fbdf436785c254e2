"""The full-size proofs of the gateway would notice: each finds what is wrong, and has its place in the docs."""

import random
import re
import types
from pathlib import Path

import pytest
from gateway_counters import Account, Call, Heard, accounted, against_counters, drawn
from gateway_prove import PARTS
from gateway_streams import Sample, figures, slope
from gateway_suites import SUITES
from gateway_twin import judged

ROOT = Path(__file__).parents[2]
FINISHED = {
    "run": "1",
    "usage_status": "final",
    "usage_source": "engine",
    "input_fresh": 7,
    "cache_read": 0,
    "output_visible": 5,
}
PARTIAL = {**FINISHED, "usage_status": "partial", "usage_source": "estimate", "input_fresh": None, "output_visible": 3}


def stream(leaves=None):
    return Call(1, "/v1/chat/completions", True, "[1] tell me", 5, leaves, 0.0, 200, leaves is None)


def said(*texts):
    """What a gateway's connection read."""
    heard, connection = Heard(), object()
    heard.asked(connection, b"POST / HTTP/1.1\r\n\r\n[1] tell me")
    for text in texts:
        heard.came(connection, text)
    return heard


def chunk(generated):
    return b'data: {"timings":{"cache_n":0,"prompt_n":7,"predicted_n":%d,"prompt_ms":1.5}}\n\n' % generated


WHOLE = said(b"HTTP/1.1 200 OK\r\n\r\n", chunk(4), chunk(5), b"data: [DONE]\n\n")
CUT = said(chunk(2), chunk(3), chunk(4)[:-1])  # the last event did not come whole


def test_what_agrees_is_counted():
    whole = accounted([stream()], [FINISHED], WHOLE)
    assert (whole.finished, whole.prompt_tokens, whole.generated_tokens, whole.broken) == (1, 7, 5, [])
    cut = accounted([stream(3)], [PARTIAL], CUT)
    assert (cut.partial, cut.partial_generated_tokens, cut.broken) == (1, 3, [])
    late = accounted([stream(3)], [FINISHED], WHOLE)  # the engine was done when its caller left
    assert (late.finished, late.too_late, late.partial, late.broken) == (1, 1, 0, [])


@pytest.mark.parametrize(
    ("leaves", "events", "heard"),
    [
        (None, [{**FINISHED, "output_visible": 6}], WHOLE),
        (None, [{**FINISHED, "input_fresh": 6}], WHOLE),
        (None, [{**FINISHED, "usage_source": "estimate"}], WHOLE),
        (None, [], WHOLE),
        (None, [FINISHED, FINISHED], WHOLE),
        (None, [FINISHED, {**FINISHED, "run": "2"}], WHOLE),
        (3, [{**PARTIAL, "output_visible": 4}], CUT),
        (3, [{**PARTIAL, "usage_status": "final"}], CUT),
        (3, [], CUT),
        (0, [PARTIAL], said(b"HTTP/1.1 200 OK\r\n\r\n")),
    ],
)
def test_a_call_that_differs_from_the_engine_is_named(leaves, events, heard):
    (broken,) = accounted([stream(leaves)], events, heard).broken
    assert re.search(r"call 1\b|run 2\b", broken)


def test_sums_are_the_counters_where_nobody_left_and_never_above_them():
    counters = {"engine_prompt_tokens": 70, "engine_generated_tokens": 50}
    for generated, partial, fine in ((50, 0, True), (49, 0, False), (49, 1, True), (51, 1, False)):
        found = Account(prompt_tokens=70, generated_tokens=generated, partial=partial, **counters)
        against_counters(found)
        assert (found.broken == []) == fine


def test_one_call_in_ten_is_abandoned_at_any_point():
    calls = drawn(4000, 0.1, random.Random(3), 0)
    gone = [call for call in calls if call.leaves is not None]
    assert 300 < len(gone) < 500
    shares = [call.leaves / call.most for call in gone if call.streams]
    assert min(shares) == 0
    assert max(shares) > 0.9
    assert len({call.number for call in calls}) == 4000


def crowded(rise_kb=0.0, each_kb=10.0, pieces=2000 * 2 * 100, failed=0, least=2000):
    args = types.SimpleNamespace(seconds=100.0, streams=2000)
    crowd = types.SimpleNamespace(failed=failed, pieces=pieces, ended=1, late_ms=lambda _: 500.0)
    base_kb = 180_000 + 2000 * each_kb
    samples = [
        Sample(t, round(base_kb + rise_kb * t / 100), 0, 0, least if t == 50 else 2000) for t in range(0, 100, 5)
    ]
    return figures(samples, 180_000, crowd, args)


def test_memory_that_grows_and_streams_that_starve_are_noticed():
    fine = crowded()
    assert (fine["broken"], fine["kb_stream"], fine["slope_kb_min"]) == ([], 10.0, 0.0)
    assert "rises by 8,000 kB" in crowded(rise_kb=8000.0)["broken"][0]
    assert crowded(rise_kb=2000.0)["broken"] == []  # 1% of it
    assert "24.0 kB a stream" in crowded(each_kb=24.0)["broken"][0]
    assert "1.90 tokens/s" in crowded(pieces=2000 * 190)["broken"][0]
    assert "3 answers failed" in crowded(failed=3)["broken"][0]
    assert "only 1,900 streams" in crowded(least=1900)["broken"][0]
    assert slope([0.0, 10.0, 20.0], [5.0, 25.0, 45.0]) == 2.0


def test_a_residual_beyond_its_bound_is_named():
    rows = {
        "output tokens/s": (102, 100), "TTFT p50": (104, 100), "TPOT p50": (96, 100), "TTFT p99": (114, 100),
        "TPOT p99": (116, 100),
    }  # fmt: skip
    found = {"load": 0.9, "requests": 99, "rows": {w: {"live": a / 100, "twin": b / 100} for w, (a, b) in rows.items()}}
    broken = judged(found)
    assert [re.sub(r"at 90%: ", "", line) for line in broken] == [
        "TPOT p99 +16.0%, at most 15%",
        "99 requests were compared, at least 100",
    ]


@pytest.mark.parametrize("part", PARTS)
def test_every_proof_has_its_script_and_its_place(part):
    script, *words = PARTS[part]
    page = (ROOT / "docs" / "serve-proof.md").read_text()
    assert (ROOT / "benchmarks" / script).is_file()
    assert f"`python benchmarks/{' '.join([script, *words])} --page`" in page
    assert page.count(f"<!-- {part}: made by a benchmark -->") == 1


@pytest.mark.parametrize("suite", SUITES)
def test_suites_are_tests_that_exist(suite):
    for number, place in enumerate(SUITES[suite]):
        file, name = place.split("::")
        text = (ROOT / file).read_text()
        before, found, _ = text.partition(f"def {name}(")
        assert found
        marks = before[before.rstrip().rfind("\n\n\n") :]
        assert ("@pytest.mark.prove" in marks) == (number == 0)
