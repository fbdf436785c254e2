"""Plans over one ledger, risk over drawn months, the plan that reaches a margin."""

from __future__ import annotations

import math
from decimal import Decimal

import numpy as np
import pytest
from made_plans import PLAN, ledger
from made_usage import USAGE, tables

from tokenworks.errors import InputError, UnsupportedError
from tokenworks.pricing.account import Account
from tokenworks.pricing.draws import draw, runs_of
from tokenworks.pricing.find import find
from tokenworks.pricing.measure import Tables
from tokenworks.pricing.periods import month
from tokenworks.pricing.plan import Plan
from tokenworks.pricing.quick import revenue
from tokenworks.pricing.rating import Terms, rate
from tokenworks.pricing.reading import parsed
from tokenworks.pricing.risk import population, risk
from tokenworks.pricing.simulate import seats_of_agents, simulate

TOKENS = "plan: tokens\ncurrency: USD\nversions: [{id: t1, from: 2025-01-01, prices: [{id: t, meter: tokens, price: 0.01}]}]\n"
SEATS = "plan: seats\ncurrency: USD\nversions: [{id: s1, from: 2025-01-01, free: [tokens], prices: [{id: seat, meter: seats, price: 20}]}]\n"
JANUARY = month("2026-01")


def accounts(*names: str) -> list[Account]:
    return [Account.model_validate({"tenant": n, "plan": "tokens", "from": "2025-01-01"}) for n in names]


def run(tenant: str, number: int, tokens: int, usd: float, agent: str = "a") -> dict:
    return {
        "at": "2026-01-05T10:00:00Z", "tenant": tenant, "root_run": f"{tenant}{number}", "agent": agent,
        "input_fresh": tokens, "cost_micro_usd": round(usd * 1e6),
    }  # fmt: skip


def light_and_heavy() -> Tables:
    """light: 10 runs of 100 tokens and $0.50; heavy: 10 runs of 1,000 tokens and $5.00."""
    rows = [run("light", n, 100, 0.5) for n in range(10)] + [run("heavy", n, 1000, 5.0) for n in range(10)]
    return tables({"usage": rows})


def test_by_hand():
    """Tokens: light pays 10, heavy 100, costs 5 and 50. A seat of 20 each: light +10, heavy −80 and a loss of 30.

    Seats: fixed 40, cost 55: break-even at 40/55 = 0.7273 of today's usage.
    """
    ledger = light_and_heavy()
    people = seats_of_agents(accounts("light", "heavy"), ledger, JANUARY)
    by_token, by_seat = simulate([parsed(TOKENS, Plan), parsed(SEATS, Plan)], people, ledger, "2026-01")
    assert (by_token.revenue, by_token.cost, by_token.margin) == (110, 55, 55)
    assert by_token.margin_share == Decimal("0.5")
    assert by_token.break_even is None
    assert {r.tenant: (r.change, r.margin) for r in by_seat.results} == {"light": (10, 15), "heavy": (-80, -30)}
    assert [r.tenant for r in by_seat.losers()] == ["heavy"]
    assert by_seat.break_even == Decimal("0.7273")


def test_unknown_costs_are_counted():
    rows = [run("light", 1, 100, 1.0), {**run("light", 2, 100, 1.0), "cost_micro_usd": None}]
    (found,) = simulate([parsed(TOKENS, Plan)], accounts("light"), tables({"usage": rows}), "2026-01")
    assert (found.unknown_costs, found.cost) == (1, 1)


def test_costs_in_another_currency_are_refused():
    made = tables(
        {
            "cost": [
                {
                    "at": "2026-01-05T10:00:00Z",
                    "tenant": "light",
                    "meter": "x",
                    "quantity_micro": 1,
                    "amount_micro": 5,
                    "currency": "EUR",
                }
            ]
        }
    )
    with pytest.raises(InputError, match="costs in EUR"):
        simulate([parsed(TOKENS, Plan)], accounts("light"), made, "2026-01")


SHAPES = {
    "unit": "{id: t, meter: tokens, price: 0.01, discount: 25%}",
    "graduated": "{id: t, meter: tokens, model: graduated, included: 700, tiers: [{up_to: 500, price: 0.02}, {up_to: 900, price: 0.01}, {price: 0.004}]}",
    "volume": "{id: t, meter: tokens, model: volume, tiers: [{up_to: 999, price: 0.02}, {up_to: 10000, price: 0.01}, {price: 0.004}]}",
    "package": "{id: t, meter: tokens, model: package, package: 300, price: 2}",
    "cap": "{id: t, meter: tokens, price: 0.01, cap: 50}",
    "minimum": "{id: t, meter: tokens, price: 0.01, minimum: 50}",
    "weights": "{id: t, meter: tokens, weights: {input_fresh: 3}, price: 0.01}",
    "runs": "{id: r, meter: runs, price: 1.5, included: 3}, {id: t, meter: tokens, price: 0.001}",
}


@pytest.mark.parametrize("shape", SHAPES)
def test_the_first_draw_is_the_bill(shape):
    """What risk computes for the month that was equals what rating bills."""
    text = f"plan: p\ncurrency: USD\nversions: [{{id: v, from: 2025-01-01, prices: [{SHAPES[shape]}]}}]\n"
    plan, made = parsed(text, Plan), light_and_heavy()
    for account in accounts("light", "heavy"):
        runs = runs_of(made, JANUARY, [account.tenant])[account.tenant]
        quick = revenue(plan.versions[0], draw(runs, 2, np.random.default_rng(1)), 0.0)
        assert quick[0] == pytest.approx(float(rate(Terms(plan, account, JANUARY), made).net), abs=0.005)


def test_probability_of_loss_against_theory():
    """One tenant, 100 runs of $1: the cost of a drawn month is Poisson(100). A fee of 110 loses with P(N > 110)."""
    text = "plan: s\ncurrency: USD\nversions: [{id: s1, from: 2025-01-01, free: [tokens], prices: [{id: fee, meter: subscription, model: flat, price: 110}]}]\n"
    made = tables({"usage": [run("light", n, 1, 1.0) for n in range(100)]})
    drawn = population(accounts("light"), made, JANUARY, draws=4000, seed=7)
    exact = 1 - sum(math.exp(-100 + n * math.log(100) - math.lgamma(n + 1)) for n in range(111))
    found = risk(parsed(text, Plan), drawn)
    assert found.loss_probability == pytest.approx(exact, abs=4 * math.sqrt(exact * (1 - exact) / 4000))
    assert found == risk(parsed(text, Plan), population(accounts("light"), made, JANUARY, draws=4000, seed=7))


def test_heavy_users_break_a_seat_price():
    made = light_and_heavy()
    people = seats_of_agents(accounts("light", "heavy"), made, JANUARY)
    drawn = population(people, made, JANUARY, draws=500)
    by_token, by_seat = risk(parsed(TOKENS, Plan), drawn), risk(parsed(SEATS, Plan), drawn)
    assert by_token.loss_probability == 0
    assert 0.5 < by_seat.loss_probability < 0.9
    assert 0.4 < by_seat.losing_tenants < 0.6


def test_find_is_the_lowest_that_holds():
    made = light_and_heavy()
    drawn = population(accounts("light", "heavy"), made, JANUARY, draws=300)
    plan, step = parsed(TOKENS, Plan), Decimal("0.0001")
    found = find(plan, "t", "price", 0.4, 0.05, drawn, step)
    assert found.miss <= 0.05
    lower = find(plan, "t", "price", 0.4, 0.9999, drawn, step)
    assert lower.value <= found.value
    # cost is 0.005 a token in every draw: a margin of 40% needs 0.005/0.6 = 0.00833…, in steps 0.0084
    assert found.value == Decimal("0.0084")


def test_find_included_units():
    """Cost 0.005 a token, price 0.01, margin wanted 0: only half of the tokens may be free, so of each tenant's mean some."""
    made = light_and_heavy()
    drawn = population(accounts("light", "heavy"), made, JANUARY, draws=300)
    plan = parsed(TOKENS, Plan)
    found = find(plan, "t", "included", 0.0, 0.1, drawn, Decimal(10))
    assert found.miss <= 0.1
    more = parsed(TOKENS.replace("price: 0.01", f"price: 0.01, included: {int(found.value) + 10}"), Plan)
    income = risk(more, drawn).loss_probability
    assert income > 0.1


def test_what_cannot_be_asked():
    made = light_and_heavy()
    drawn = population(accounts("light"), made, JANUARY, draws=10)
    plan = parsed(TOKENS, Plan)
    with pytest.raises(InputError, match=r"no price 'tt'\."):
        find(plan, "tt", "price", 0.4, 0.05, drawn, Decimal(1))
    with pytest.raises(InputError, match="the risk lies"):
        find(plan, "t", "price", 0.4, 1.0, drawn, Decimal(1))
    with pytest.raises(UnsupportedError, match="does not draw outcomes"):
        risk(parsed(PLAN, Plan), population(accounts("acme"), ledger(), month("2026-02"), draws=10))
    with pytest.raises(InputError, match="take at least 2"):
        population(accounts("light"), made, JANUARY, draws=1)
    assert USAGE["model"] == "m"
