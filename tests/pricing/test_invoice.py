"""Invoices: issued once, never changed, credited at most once, the same bytes when rated again."""

from __future__ import annotations

from dataclasses import replace
from datetime import date
from decimal import Decimal

import pyarrow as pa
import pytest
from made_plans import CLOSED_US, ISSUER, LEDGER, PLAN, account, ledger, plan, terms

from tokenworks.errors import InputError
from tokenworks.pricing.invoice import again, canonical, credit, draft, issue, read_invoice
from tokenworks.pricing.measure import Tables
from tokenworks.pricing.plan import Plan
from tokenworks.pricing.reading import parsed


def issued():
    return issue(draft(terms(), ledger(), LEDGER, ISSUER), "2026-0001", date(2026, 3, 2), CLOSED_US)


def test_lines_by_hand():
    """Berlin, February 2026: 28 days, pro-1 until the 15th (14 days), pro-2 after it (14 days).

    base 99 × 14/28 = 49.50, 120 × 14/28 = 60.00; seats: a 14/28 × 31 = 15.50; then a 14/28 and b (from the 19th) 10/28:
    24/28 × 31 = 26.571… = 26.57.
    input 1,050,000 − 100,000 included = 950,000 × 3/M = 2.85; then 2,000,011 × 2.5/M = 5.0000275 = 5.00.
    read 7,654,321 × 0.30/M = 2.2962963, half of it 1.14814815 = 1.15.
    output 1,000,000 × 15/M + 200,000 × 12.5/M = 17.50; then 100,000 × 14/M = 1.40.
    search 400 × 0.015 = 6.00, cap 5: −1.00; ticket 0.99. Net of these: 185.46.
    Commit bought for 90, 100 drawn: 175.46; VAT 19% = 33.3374 = 33.34.
    """
    found = issued()
    assert [(c.kind, c.sku, str(c.amount)) for c in found.lines] == [
        ("fee", "base", "49.50"), ("fee", "base", "60.00"),
        ("fee", "seat", "15.50"), ("fee", "seat", "26.57"),
        ("usage", "input", "2.85"), ("usage", "input", "5.00"),
        ("usage", "read", "1.15"),
        ("usage", "output", "17.50"), ("usage", "output", "1.40"),
        ("usage", "search", "6.00"), ("cap", "search", "-1.00"),
        ("usage", "ticket", "0.99"),
        ("waived", "m", "0.00"),
        ("commit", "c-2026", "90.00"), ("drawdown", "c-2026", "-100.00"),
        ("tax", "VAT", "33.34"),
    ]  # fmt: skip
    assert (found.net, found.tax, found.total) == (Decimal("175.46"), Decimal("33.34"), Decimal("208.80"))


def test_rated_again_the_bytes_are_equal():
    one = issued()
    assert canonical(again(one, terms(), ledger())) == canonical(one)
    shuffled = ledger()
    order = pa.array([2, 0, 3, 1])
    other = Tables(shuffled.usage.take(order), shuffled.cost, shuffled.outcomes)
    assert canonical(again(one, terms(), other)) == canonical(one)


def test_json_goes_there_and_back():
    one = issued()
    assert read_invoice(canonical(one)) == one
    with pytest.raises(InputError, match="not an invoice"):
        read_invoice(b"{}")
    with pytest.raises(InputError, match="not an invoice of this version"):
        read_invoice(canonical(replace(one, format="tokenworks-invoice-0")))


def test_an_open_period_is_refused():
    made = draft(terms(), ledger(), LEDGER, ISSUER)
    with pytest.raises(InputError, match="the period is open"):
        issue(made, "1", date(2026, 2, 20), made.end_us - 1)
    assert issue(made, "1", date(2026, 3, 1), made.end_us).number == "1"


def test_only_drafts_are_issued_and_numbers_are_plain():
    with pytest.raises(InputError, match="only a draft"):
        issue(issued(), "2", date(2026, 3, 2), CLOSED_US)
    with pytest.raises(InputError, match="no invoice number"):
        issue(draft(terms(), ledger(), LEDGER, ISSUER), "../x", date(2026, 3, 2), CLOSED_US)


def test_a_changed_version_is_refused():
    changed = parsed(PLAN.replace("price: 0.015, cap: 5", "price: 0.016, cap: 5"), Plan)
    with pytest.raises(InputError, match="'pro-1' of plan pro was changed"):
        again(issued(), replace(terms(), plan=changed), ledger())
    moved = account().model_copy(update={"zone": "UTC"})
    with pytest.raises(InputError, match="not that of the invoice"):
        again(issued(), replace(terms(), account=moved), ledger())


def test_an_added_version_changes_nothing():
    """A third version from March on: February's invoice stays as it is; one that begins in February is a change."""
    text = PLAN.replace("- id: pro-2\n  from: 2026-02-15", "- id: pro-2\n  from: 2026-02-15\n  until: 2026-03-01")
    third = "- id: pro-3\n  from: 2026-03-01\n  prices: [{id: t, meter: tokens, price: 1}]\n"
    one = issued()
    added = again(one, replace(terms(), plan=parsed(text + third, Plan)), ledger())
    assert canonical(added) == canonical(one)
    early = (text + third).replace("2026-03-01", "2026-02-27")
    with pytest.raises(InputError, match="'pro-2' of plan pro was changed"):
        again(one, replace(terms(), plan=parsed(early, Plan)), ledger())


def test_credit_of_the_whole():
    one = issued()
    note = credit(one, "2026-C1", date(2026, 3, 5), "wrong customer")
    assert (note.net, note.tax, note.total) == tuple(-v for v in (one.net, one.tax, one.total))
    assert note.refers_to == "2026-0001"
    with pytest.raises(InputError, match="credited before"):
        credit(one, "2026-C2", date(2026, 3, 6), "again", before=[note])
    with pytest.raises(InputError, match="only an issued invoice"):
        credit(note, "2026-C2", date(2026, 3, 6), "again")


def test_credit_of_lines_takes_their_tax_along():
    """Input 5.00 and ticket 0.99: −5.99; 19% of it −1.1381 = −1.14."""
    note = credit(issued(), "2026-C1", date(2026, 3, 5), "outage", lines=[6, 12])
    assert [(c.sku, str(c.amount)) for c in note.lines] == [("input", "-5.00"), ("ticket", "-0.99"), ("VAT", "-1.14")]
    assert str(note.total) == "-7.13"
    for bad, said in (([99], "has no line 99"), ([16], "is tax")):
        with pytest.raises(InputError, match=said):
            credit(issued(), "2026-C1", date(2026, 3, 5), "outage", lines=bad)
    with pytest.raises(InputError, match="line 6 of 2026-0001 was credited before"):
        credit(issued(), "2026-C2", date(2026, 3, 5), "outage", lines=[6], before=[note])


def test_the_plan_itself_is_what_it_was():
    assert plan() == parsed(PLAN, Plan)
