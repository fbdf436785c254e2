"""Intervals of the headline figures: what they must hold, whatever the tested errors are."""

import math

import pytest

import tokenworks as tw
from tokenworks.accuracy.certainty import CLOSED, OPEN, STATIC, evidence
from tokenworks.accuracy.experiments import DISAGGREGATED
from tokenworks.accuracy.intervals import KNOWN, interval
from tokenworks.physics.fleet import fleet
from tokenworks.rehearsal.bands import evidence_of


@pytest.fixture(scope="module")
def calm():
    return tw.run(
        tw.load("laptop").replace_all({"run.horizon": "2 min", "workload.0.scale": "30% of sustainable"})
    ).result


@pytest.fixture(scope="module")
def full():
    return tw.run(
        tw.load("laptop").replace_all({"run.horizon": "2 min", "workload.0.scale": "300% of sustainable"})
    ).result


def test_every_headline_lies_in_its_interval(calm, full):
    for r in (calm, full):
        bands = [r.output_tokens_s, r.tokens_s_user, r.usd_per_mtok, r.tokens_per_j, r.mean_power_band]
        bands += [r.tokens_per_j_it_band, r.tokens_per_j_facility_band]
        bands += [x for s in r.services for x in (s.ttft_p95, s.tpot_p95, s.sustainable)]
        assert all(b.low <= b.value <= b.high and math.isfinite(b.low + b.high) for b in bands)


def test_output_follows_demand_until_it_may_not(calm, full):
    """Far below the sustainable rate no error of throughput matters; an overloaded factory makes what it can."""
    assert calm.output_tokens_s.low == calm.output_tokens_s.high
    made, able = full.output_tokens_s, full.services[0].sustainable
    assert made.low / made.value == pytest.approx(able.low / able.value)
    assert made.high / made.value == pytest.approx(able.high / able.value)


def test_only_electricity_is_uncertain_in_the_price_of_a_demand(calm):
    """Dollars move by the electric share of the cost times the error of the joules outside the boards."""
    electric = sum(p.value for p in calm.money.parts if p.label in ("energy", "demand charge")) / calm.money.total_usd
    factor = calm.mean_power_band.high / calm.mean_power_band.value
    assert calm.usd_per_mtok.high / calm.usd_per_mtok.value == pytest.approx(1 + (factor - 1) * electric)


def test_joules_outside_the_boards_are_surer_than_on_them(calm):
    """Hosts and switches are facts: an error of the boards is diluted, and follows through fans and cooling."""
    energy = calm.energy
    parts = {p.label: p.value for p in energy.parts}
    share = energy.board_j / (energy.board_j + parts["hosts, NICs, switches"])
    board = calm.tokens_per_j.value / calm.tokens_per_j.low - 1
    outside = calm.tokens_per_j_it_band.value / calm.tokens_per_j_it_band.low - 1
    assert outside == pytest.approx(board * share)


def test_a_band_is_the_tested_error(calm):
    factory = tw.load("laptop")
    known = evidence_of(factory, fleet(factory))
    assert known.loads == (CLOSED, OPEN)
    assert calm.services[0].tpot_p95 == known.band("tpot", calm.services[0].tpot.p95_s)
    assert calm.accuracy_note == known.sentence()


def loads(name, **changes):
    factory = tw.load(name).replace_all(changes) if changes else tw.load(name)
    return evidence_of(factory, fleet(factory)[:1]).loads


def test_a_service_is_held_against_measurements_of_its_own_load():
    """By what sends its requests; pools of their own whatever sends them."""
    batch = {"kind": "static", "requests": 16}
    alone = {"workload.0.trace": None, "workload.0.scale": "1x", "workload.0.arrivals": batch}
    assert loads("laptop", **alone) == (STATIC,)
    assert loads("laptop", **{**alone, "workload.0.arrivals": {"kind": "closed-loop", "clients": 4}}) == (CLOSED,)
    assert loads("disaggregated") == (DISAGGREGATED,)


def test_an_open_loop_is_as_unsure_as_open_and_closed_loops():
    known = [fleet(tw.load("nvl72"))[0].deployment]
    both = evidence(known, [OPEN])
    ends = [interval("tpot", load, both.kind, 1.0) for load in (OPEN, CLOSED)]
    assert both.factors("tpot") == (min(low for low, _ in ends), max(high for _, high in ends))
    assert both.factors("throughput") == interval("throughput", CLOSED, both.kind, 1.0)


def test_the_sentence_says_what_was_tested():
    said = evidence([fleet(tw.load("nvl72"))[0].deployment], [STATIC]).sentence()
    low, high = interval("tpot", STATIC, KNOWN, 1.0)
    assert said.startswith("How sure: 80% is a range that held the truth in 8 of 10 published measurements like this")
    assert f"TPOT {low - 1:+.0%} to {high - 1:+.0%}".replace("-", "−") in said
    assert "static batches; accelerator, model and engine were measured together" in said
