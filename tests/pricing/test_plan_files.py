"""Bad plans and accounts are refused with the place of each problem; good ones mean what they say."""

from __future__ import annotations

import sys
from decimal import Decimal
from pathlib import Path

import pytest
from made_plans import PLAN

from tokenworks.errors import InputError, SpecError
from tokenworks.pricing.account import Account, Accounts
from tokenworks.pricing.plan import Plan
from tokenworks.pricing.plan_text import family
from tokenworks.pricing.reading import parsed, read

HEAD = "plan: p\ncurrency: USD\nversions:\n- id: v1\n  from: 2026-01-01\n"


def one(price: str) -> str:
    return f"{HEAD}  prices:\n  - {price}\n"


BAD = {
    "unknown meter": (one("{id: t, meter: token, price: 1}"), r"plan.yaml:7:20  versions\[0\].prices\[0\].meter: 'token' is not one of .*Did you mean tokens"),
    "unknown key": (one("{id: t, meter: tokens, prize: 1, price: 1}"), "unknown key. Did you mean price"),
    "no price": (one("{id: t, meter: tokens}"), "a unit price needs 'price'"),
    "two models": (one("{id: t, meter: tokens, price: 1, percent: 5%}"), "a unit price has no 'percent'"),
    "closed last tier": (one("{id: t, meter: tokens, model: graduated, tiers: [{up_to: 5, price: 1}]}"), "usage above it would have no price"),
    "tiers not rising": (one("{id: t, meter: tokens, model: graduated, tiers: [{up_to: 5, price: 1}, {up_to: 5, price: 1}, {price: 1}]}"), "must be above the one before"),
    "cap below minimum": (one("{id: t, meter: tokens, price: 1, minimum: 5, cap: 4}"), "the cap 4 is below the minimum 5"),
    "rollover of nothing": (one("{id: t, meter: tokens, price: 1, rollover: {max: 5}}"), "nothing is included"),
    "percentage of tokens": (one("{id: t, meter: tokens, model: percentage, percent: 5%}"), "a percentage is of money"),
    "buckets of runs": (one("{id: t, meter: runs, price: 1, buckets: [cache_read]}"), "buckets belong to tokens"),
    "unknown bucket": (one("{id: t, meter: tokens, price: 1, weights: {cache_reed: 1}}"), "no bucket 'cache_reed'. Did you mean cache_read"),
    "negative": (one("{id: t, meter: tokens, price: -1}"), "at least 0"),
    "not a number": (one("{id: t, meter: tokens, price: one}"), "'one' is not a number"),
    "infinite": (one("{id: t, meter: tokens, price: .inf}"), "is not"),
    "no percent": (one("{id: t, meter: tokens, price: 1, discount: 0.1}"), "is not a percentage"),
    "two prices of one thing": (one("{id: a, meter: tokens, price: 1}\n  - {id: b, meter: tokens, buckets: [cache_read], price: 1}"), "'a' and 'b' both price tokens cache_read"),
    "id twice": (one("{id: a, meter: runs, price: 1}\n  - {id: a, meter: tokens, price: 1}"), "the id 'a' stands twice"),
    "overlap": (one("{id: t, meter: tokens, price: 1}") + "- id: v2\n  from: 2026-03-01\n  prices: [{id: t, meter: tokens, price: 1}]\n", r"plan.yaml:9:9  versions\[1\].from: 'v1' \(until open\) and 'v2' \(from 2026-03-01\) overlap"),
    "gap": (HEAD + "  until: 2026-02-01\n  prices: [{id: t, meter: tokens, price: 1}]\n- id: v2\n  from: 2026-03-01\n  prices: [{id: t, meter: tokens, price: 1}]\n", r"versions\[1\].from: no version covers 2026-02-01 to 2026-03-01"),
    "currency": (one("{id: t, meter: tokens, price: 1}").replace("USD", "USDT"), "unknown currency 'USDT'"),
    "backwards": (HEAD + "  until: 2025-02-01\n  prices: [{id: t, meter: tokens, price: 1}]\n", "2025-02-01 is not after 2026-01-01"),
    "key twice": (one("{id: t, meter: tokens, price: 1, price: 2}"), "this key stands twice"),
    "a list": ("- 1\n", "a mapping of keys to values"),
    "not YAML": ("plan: [", "not valid YAML"),
}  # fmt: skip


@pytest.mark.parametrize("case", BAD)
def test_bad_plans(case):
    text, said = BAD[case]
    with pytest.raises(SpecError, match=said):
        parsed(text, Plan)


def test_all_problems_at_once():
    text = one("{id: t, meter: token, price: 1}\n  - {id: u, meter: tokens, price: -1}")
    with pytest.raises(SpecError) as caught:
        parsed(text, Plan)
    assert len(caught.value.problems) == 2


def test_digits_are_kept():
    """0.1 + 0.2 of a float would not be 0.3; nineteen digits would not survive it."""
    plan = parsed(one("{id: t, meter: tokens, price: 0.1234567890123456789}"), Plan)
    assert plan.versions[0].prices[0].price == Decimal("0.1234567890123456789")
    with pytest.raises(ValueError, match="is not an exact number"):
        Plan.model_validate(
            {
                "plan": "p",
                "currency": "USD",
                "versions": [
                    {"id": "v", "from": "2026-01-01", "prices": [{"id": "t", "meter": "tokens", "price": 0.1}]}
                ],
            }
        )


def test_toml_is_the_same(tmp_path: Path):
    toml = 'plan = "p"\ncurrency = "USD"\n[[versions]]\nid = "v1"\nfrom = 2026-01-01\n[[versions.prices]]\nid = "t"\nmeter = "tokens"\nprice = 0.10\n'
    (tmp_path / "p.toml").write_text(toml)
    assert read(tmp_path / "p.toml", Plan) == parsed(one("{id: t, meter: tokens, price: 0.10}"), Plan)
    with pytest.raises(SpecError, match="not valid TOML"):
        parsed("plan =", Plan, "x.toml")
    with pytest.raises(InputError, match="cannot read"):
        read(tmp_path / "none.yaml", Plan)


def test_bad_accounts():
    for text, said in (
        ("{tenant: a, plan: p, from: 2026-01-01, zone: Mars/Base}", "unknown time zone"),
        ("{tenant: a, plan: p, from: 2026-02-01, until: 2026-01-01}", "is not after"),
        ("{tenant: a, plan: p, from: 2026-01-01, tax: {name: VAT, rate: 19}}", "is not a percentage"),
    ):
        with pytest.raises(SpecError, match=said):
            parsed(text, Account, "account.yaml")
    with pytest.raises(SpecError, match="the tenant 'a' stands twice"):
        parsed("accounts: [{tenant: a, plan: p, from: 2026-01-01}, {tenant: a, plan: q, from: 2026-01-01}]", Accounts)


def test_families():
    def of(*prices: str) -> str:
        return family(parsed(HEAD + f"  prices: [{', '.join(prices)}]\n", Plan).versions[0])

    assert of("{id: t, meter: tokens, price: 1}") == "usage"
    assert of("{id: t, meter: outcomes, price: 1}", "{id: w, meter: workflows, price: 1}") == "value"
    assert of("{id: t, meter: seats, price: 1}") == "seats"
    assert of("{id: t, meter: tokens, price: 1}", "{id: s, meter: subscription, model: flat, price: 1}") == "hybrid"


def test_a_plan_is_immutable():
    plan = parsed(PLAN, Plan)
    with pytest.raises(ValueError, match="frozen"):
        plan.versions[0].prices[0].price = Decimal(1)


def test_verbs_stay_light():
    import subprocess

    code = "import sys; from tokenworks.cli.main import parser; parser(); sys.exit(any(m in sys.modules for m in ('duckdb', 'pyarrow', 'typst', 'pydantic', 'numpy')))"
    assert subprocess.run([sys.executable, "-c", code], check=False).returncode == 0
