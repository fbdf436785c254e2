"""CSV, HTML and PDF say what the original says."""

from __future__ import annotations

import csv
import io
import re
from dataclasses import replace
from datetime import date
from decimal import Decimal
from html.parser import HTMLParser

import pypdf
import pytest
from made_plans import CLOSED_US, ISSUER, LEDGER, ledger, terms

from tokenworks.errors import InputError
from tokenworks.pricing.invoice import credit, draft, issue
from tokenworks.pricing.invoice_csv import to_csv
from tokenworks.pricing.invoice_html import to_html
from tokenworks.pricing.invoice_pdf import to_pdf
from tokenworks.pricing.shelf import every, get, put


@pytest.fixture(scope="module")
def invoice():
    return issue(draft(terms(), ledger(), LEDGER, ISSUER), "2026-0001", date(2026, 3, 2), CLOSED_US)


def test_csv_sums_to_the_total(invoice):
    rows = list(csv.DictReader(io.StringIO(to_csv(invoice).decode())))
    assert sum(Decimal(r["amount"]) for r in rows) == invoice.total
    assert rows[0]["start_utc"] == "2026-01-31T23:00:00Z"
    assert len(rows) == len(invoice.lines)


def test_html_is_one_sound_page(invoice):
    page = to_html(replace(invoice, customer="<b>&")).decode()
    assert "&lt;b&gt;&amp;" in page
    assert "208.80 USD" in page
    assert not re.search(r"https?://|<script|src=", page)
    assert "prefers-color-scheme:dark" in page
    assert "@media print" in page
    stack: list[str] = []

    class Balanced(HTMLParser):
        def handle_starttag(self, tag, attrs):
            if tag not in ("meta", "br"):
                stack.append(tag)

        def handle_endtag(self, tag):
            assert stack.pop() == tag

    Balanced().feed(page)
    assert not stack


def test_pdf_has_the_lines_and_is_repeatable(invoice):
    data = to_pdf(invoice)
    assert data == to_pdf(invoice)
    text = "\n".join(page.extract_text() for page in pypdf.PdfReader(io.BytesIO(data)).pages)
    for said in ("Invoice 2026-0001", "Acme & Söhne GmbH", "208.80 USD", "Agent seat", "−100.00"):
        assert said in text
    strange = to_pdf(replace(invoice, customer="#panic() *x* $y$"))
    assert "#panic() *x* $y$" in pypdf.PdfReader(io.BytesIO(strange)).pages[0].extract_text()


def test_long_invoices_go_on(invoice):
    many = replace(invoice, lines=invoice.lines * 8)
    assert len(pypdf.PdfReader(io.BytesIO(to_pdf(many))).pages) > 3


def test_a_number_is_used_once(invoice, tmp_path):
    put(tmp_path, invoice)
    put(tmp_path, invoice)
    with pytest.raises(InputError, match="never changes"):
        put(tmp_path, replace(invoice, total=Decimal("1.00")))
    note = credit(invoice, "2026-C1", date(2026, 3, 5), "error")
    put(tmp_path, note)
    assert every(tmp_path) == (invoice, note)
    assert get(tmp_path, "2026-0001") == invoice
    with pytest.raises(InputError, match="there are 2026-0001, 2026-C1"):
        get(tmp_path, "2026-0002")
    assert sorted(p.name for p in tmp_path.iterdir()) == ["2026-0001.json", "2026-C1.json"]
    with pytest.raises(InputError, match="a draft"):
        put(tmp_path, draft(terms(), ledger(), LEDGER, ISSUER))
