"""Advice: changes are truly played, the same requests, the better first; and it says what it did not do."""

import json
import re

import pytest

import tokenworks as tw
from tokenworks.cli.main import main
from tokenworks.rehearsal import rehearse
from tokenworks.rehearsal.advice import KEPT, advise, worth
from tokenworks.rehearsal.changes import changes

SHORT = {"run.horizon": "2 min", "run.warmup": "20 s"}


def done(name, **fields):
    return rehearse(tw.load(name).replace_all({**SHORT, **{k.replace("__", "."): v for k, v in fields.items()}}))


@pytest.fixture(scope="module")
def busy():
    return done("laptop", workload__0__scale="250% of sustainable")


def test_an_overloaded_factory_is_told_what_carries_its_load(busy):
    found = advise(busy)
    assert len(found.advice) == KEPT
    best = found.advice[0]
    more = int(re.fullmatch(r"\+(\d) laptop-rtx-4090 \(\1 more chat workers?\)", best.label)[1])
    assert best.helps
    assert best.broken == ()
    assert dict(best.effects)["sustains"] == pytest.approx(more)  # so many replicas more than the one
    assert not any("TTFT" in name for name, _ in best.effects)  # the base has no steady latency
    assert "overloaded, the unchanged factory has no steady state" in found.advice_note


def test_advice_is_what_a_rehearsal_of_the_change_says():
    """A change of the file alone, played on the whole run, gives the figures of running the changed file."""
    before = done("laptop", workload__0__scale="2 req/s")
    found = {w.label: dict(w.effects) for w in advise(before).advice}
    change = next(c for c in changes(before.made, before.result) if c.label in found and not c.load)
    after = rehearse(change.factory).result
    price = after.usd_per_mtok.value / before.result.usd_per_mtok.value - 1
    assert found[change.label]["$/Mtok"] == pytest.approx(price, abs=1e-12)
    tpot = after.services[0].tpot.p95_s / before.result.services[0].tpot.p95_s - 1
    assert found[change.label]["TPOT p95"] == pytest.approx(tpot, abs=1e-12)


def test_a_slack_factory_is_told_to_sell_its_headroom():
    found = advise(done("disaggregated", workload__0__scale="40% of sustainable"))
    best = found.advice[0]
    assert best.label == "load of chat raised to 85% of sustainable"
    assert dict(best.effects)["$/Mtok"] == pytest.approx(40 / 85 - 1, abs=0.03)


def test_worth_orders_overload_before_objectives_before_price(busy):
    result = busy.result
    calm = rehearse(busy.made.factory.replace("workload.0.scale", "50% of sustainable")).result
    assert worth(result, calm) < worth(result, result)
    assert worth(calm, calm)[0] == 0


def test_changes_are_possible_and_different(busy):
    found = list(changes(busy.made, busy.result))
    assert len({c.label for c in found}) == len(found) >= 4
    assert any(c.load and max(c.load) < 1 for c in found)


def test_no_advice_is_said_and_costs_nothing(tmp_path, capsys):
    run = ["run", "laptop", "--set", "run.horizon=1 min", "--set", "run.warmup=0 s", "--out", str(tmp_path)]
    assert main([*run, "--json", "--no-advice"]) == 0
    assert json.loads(capsys.readouterr().out)["advice"] == []
    assert main([*run, "--no-advice"]) == 0
    assert "no change was tried" in capsys.readouterr().out
