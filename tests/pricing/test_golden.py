"""Invoices worked out by hand: each file shows its working in comments."""

from __future__ import annotations

from decimal import Decimal
from pathlib import Path
from typing import Any

import pytest
import yaml
from made_usage import tables

from tokenworks.errors import InputError
from tokenworks.pricing.account import Account, Rate
from tokenworks.pricing.adjust import Closed, adjustments
from tokenworks.pricing.charges import Balances
from tokenworks.pricing.plan import Plan
from tokenworks.pricing.rating import Terms, period_of, rate
from tokenworks.pricing.reading import parsed

FOLDER = Path(__file__).parent / "golden"
FILES = sorted(FOLDER.glob("*.yaml"))


def balances(data: dict[str, Any] | None) -> Balances:
    given = data or {}
    return Balances(*({k: Decimal(str(v)) for k, v in given.get(key, {}).items()} for key in ("units", "commits")))


def rated(case: dict[str, Any]) -> Any:
    account = parsed(yaml.safe_dump(case["account"]), Account, "account.yaml")
    terms = Terms(
        parsed(yaml.safe_dump(case["plan"]), Plan),
        account,
        period_of(account, case["period"]),
        tuple(parsed(yaml.safe_dump(r), Rate) for r in case.get("rates", ())),
        case.get("unpriced", "error"),
    )
    ledger, last = tables(case), case.get("last_seq")
    closed = [
        Closed(period_of(account, c["period"]), c["last_seq"], balances(c.get("opening")))
        for c in case.get("closed", ())
    ]
    late = adjustments(terms, closed, ledger, last) if closed else ()
    return rate(terms, ledger, balances(case.get("opening")), last, late)


def test_there_are_enough():
    assert len(FILES) >= 40


@pytest.mark.parametrize("path", FILES, ids=lambda p: p.stem)
def test_invoice(path: Path):
    text = path.read_text(encoding="utf-8")
    assert text.count("#") >= 2, "the working is missing"
    case = yaml.load(text, Loader=yaml.BaseLoader)  # numbers stay text
    case = typed(case)
    if "error" in case:
        with pytest.raises(InputError, match=case["error"]):
            rated(case)
        return
    found = rated(case)
    lines = [f"{c.kind} {c.sku or '-'} {c.amount}" for c in found.charges]
    assert lines == case["lines"]
    assert str(found.total) == case["total"]
    if "quantities" in case:
        assert [str(c.quantity) for c in found.charges if c.quantity is not None] == case["quantities"]
    if "closing" in case:
        assert found.closing == balances(case["closing"])


NUMBERS = {"seq", "last_seq", "sign", "step", "attempt", "duration_us", "quantity_micro", "amount_micro", "value_micro"}


def typed(case: dict[str, Any]) -> dict[str, Any]:
    """Rows of the ledger get numbers and times; plans and accounts stay text, as in a file."""
    for name in ("usage", "cost", "outcomes"):
        if name in case:
            case[name] = [
                {f"{k}_us" if k == "clawback_until" else k: value(k, v) for k, v in row.items()} for row in case[name]
            ]
    for key in ("last_seq",):
        if key in case:
            case[key] = int(case[key])
    for one in case.get("closed", ()):
        one["last_seq"] = int(one["last_seq"])
    return case


def value(key: str, text: Any) -> Any:
    from made_usage import us

    from tokenworks.events.ledger_events import BUCKETS

    if text == "null":
        return None
    if key == "clawback_until":
        return us(text)
    if key in NUMBERS or key in BUCKETS:
        return int(text)
    return text == "true" if key in ("failed", "final") else text
