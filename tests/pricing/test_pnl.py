"""Profit and loss by hand, tied to the invoices to the cent."""

from __future__ import annotations

from dataclasses import replace
from datetime import date
from decimal import Decimal
from fractions import Fraction

import pytest
from made_plans import CLOSED_US, ISSUER, LEDGER, ledger, terms

from tokenworks.cli.main import main
from tokenworks.errors import InputError, SpecError
from tokenworks.pricing.invoice import credit, draft, issue
from tokenworks.pricing.pnl import Books, profit_and_loss
from tokenworks.pricing.reading import parsed
from tokenworks.pricing.returns import irr_year
from tokenworks.pricing.shelf import put

BOOKS = """
first_month: 2026-01
last_month: 2026-04
discount_rate_year: 12%
assets: [{name: rack, month: 2026-01, price: 100, residual: 10%, life_months: 4}]
running:
- {from_month: 2026-01, energy: 5, staff: 1.50}
- {from_month: 2026-03, energy: 6, tools: 0.25}
"""


@pytest.fixture(scope="module")
def papers():
    one = issue(draft(terms(), ledger(), LEDGER, ISSUER), "2026-0001", date(2026, 3, 2), CLOSED_US)
    return one, credit(one, "2026-C1", date(2026, 3, 5), "outage", lines=[6])


def test_by_hand(papers):
    """Revenue of February: the net of 175.46, in which 90 was paid for prepaid money worth 100, all used: 175.46 as well.

    March: input credited, −5.00. Depreciation 90 in four parts of 22.50; cash: January −100 − 6.50, February 175.46 − 6.50,
    March −5.00 − 6.25, April −6.25 + 10 residual. NPV at 1% a month.
    """
    found = profit_and_loss(parsed(BOOKS, Books), papers)
    assert [m.revenue for m in found.months] == [{}, {"pro": Decimal("175.46")}, {"pro": Decimal("-5.00")}, {}]
    assert [str(m.costs["depreciation"]) for m in found.months] == ["22.50"] * 4
    assert [str(m.margin) for m in found.months] == ["-29.00", "146.46", "-33.75", "-28.75"]
    assert [str(m.cash) for m in found.months] == ["-106.50", "168.96", "-11.25", "3.75"]
    assert [str(m.cumulative) for m in found.months] == ["-106.50", "62.46", "51.21", "54.96"]
    assert found.payback_month == "2026-02"
    flow = [Fraction("-106.50"), Fraction("168.96"), Fraction("-11.25"), Fraction("3.75")]
    exact = sum(c / Fraction(101, 100) ** n for n, c in enumerate(flow, 1))
    assert abs(Fraction(found.npv_usd) - exact) <= Fraction(1, 200)


def test_it_ties_to_the_invoices(papers):
    found = profit_and_loss(parsed(BOOKS, Books), papers)
    assert sum(m.billed for m in found.months) == sum(p.net for p in papers)
    assert sum(m.invested for m in found.months) == 90


def test_rate_of_return_is_where_the_worth_is_nothing(papers):
    found = profit_and_loss(parsed(BOOKS, Books), papers)
    flow = [float(m.cash) for m in found.months]
    assert found.irr_year is not None
    assert sum(c / (1 + found.irr_year / 12) ** n for n, c in enumerate(flow)) == pytest.approx(0, abs=1e-6)
    assert irr_year([1.0, 2.0]) is None
    assert irr_year([]) is None


@pytest.mark.parametrize("months", [60, 107, 180, 600])
def test_rate_of_return_of_many_years(months):
    """An annuity that pays 1% a month, and the same after years of nothing."""
    paid = (1 - 1.01**-months) / 0.01
    flow = [-paid] + [1.0] * months
    assert irr_year(flow) == pytest.approx(0.12, rel=1e-9)
    assert irr_year([0.0] * 400 + flow + [0.0] * 400) == irr_year(flow)
    assert irr_year([-2.0 * months] + [1.0] * months) < 0


def test_depreciation_sums_to_what_is_written_off():
    text = BOOKS.replace("life_months: 4", "life_months: 3").replace("price: 100, residual: 10%", "price: 100")
    found = profit_and_loss(parsed(text, Books), [])
    assert [str(m.costs["depreciation"]) for m in found.months] == ["33.34", "33.33", "33.33", "0.00"]


def test_refused(papers):
    books = parsed(BOOKS, Books)
    with pytest.raises(InputError, match="a draft is no revenue"):
        profit_and_loss(books, [draft(terms(), ledger(), LEDGER, ISSUER)])
    with pytest.raises(InputError, match="is in EUR"):
        profit_and_loss(books, [replace(papers[0], currency="EUR")])
    with pytest.raises(InputError, match="belongs to 2026-05"):
        profit_and_loss(books, [replace(papers[0], period="2026-05")])
    with pytest.raises(SpecError, match="the first covers 2026-01"):
        parsed(BOOKS.replace("from_month: 2026-01", "from_month: 2026-02"), Books)
    with pytest.raises(SpecError, match="2025-12 lies outside"):
        parsed(BOOKS.replace("month: 2026-01, price", "month: 2025-12, price"), Books)


def test_verb(papers, tmp_path, monkeypatch, capsys):
    monkeypatch.chdir(tmp_path)
    (tmp_path / "books.yaml").write_text(BOOKS)
    assert main(["pnl", "books.yaml"]) == 2
    for one in papers:
        put(tmp_path / "invoices", one)
    capsys.readouterr()
    assert main(["pnl", "books.yaml"]) == 0
    assert "paid back 2026-02" in capsys.readouterr().out
    assert main(["pnl", "books.yaml", "--json"]) == 0
    assert '"cumulative_usd": "54.96"' in capsys.readouterr().out
