"""What comes after usage and fees: prepaid money bought and drawn down, then tax."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import replace
from datetime import date
from decimal import Decimal
from fractions import Fraction

from tokenworks.errors import InputError
from tokenworks.pricing.account import Account, Commit, paid
from tokenworks.pricing.charges import Balances, Charge, Kind, Rated
from tokenworks.pricing.lines import Paper
from tokenworks.pricing.money import as_decimal, rounded, total
from tokenworks.pricing.periods import Period

DRAWN = ("usage", "fee", "minimum", "cap")


def settle(
    account: Account,
    period: Period,
    charges: Sequence[Charge],
    opening: Balances,
    units: Mapping[str, Fraction],
    paper: Paper,
) -> Rated:
    """All lines. Commits (in the invoice's currency) are drawn down in the order in which they end."""
    lines, left = list(charges), {}
    due = max(Decimal(0), total([c.amount for c in charges if c.kind in DRAWN], paper.currency))
    for commit in sorted(account.commits, key=lambda c: (c.until or date.max, c.from_, c.id)):
        if commit.from_ >= period.after or (commit.until and commit.until <= period.first):
            continue
        balance, bought = _balance(account, commit, period, opening, paper)
        drawn = min(balance, due)
        due, rest = due - drawn, balance - drawn
        lines += [*bought, *_drawn(commit, period, drawn, rest, paper)]
        if not (commit.until and commit.until <= period.after):
            left[commit.id] = rest
    if account.tax:
        net = total([c.amount for c in lines], paper.currency)
        amount = rounded(Fraction(net) * Fraction(account.tax.rate), paper.currency, paper.rounding)
        lines.append(
            _line(
                "tax",
                account.tax.name,
                f"{account.tax.name} {as_decimal(Fraction(account.tax.rate) * 100)}%",
                amount,
                period,
                paper,
            )
        )
    carried = {key: as_decimal(value) for key, value in sorted(units.items())}
    return Rated(tuple(lines), Balances(carried, dict(sorted(left.items()))), paper.currency)


def _balance(
    account: Account, commit: Commit, period: Period, opening: Balances, paper: Paper
) -> tuple[Decimal, list[Charge]]:
    """What can be drawn down, and the purchase where it falls into the period."""
    if period.first <= commit.from_:
        price = rounded(Fraction(paid(commit)), paper.currency, paper.rounding)
        worth = rounded(Fraction(commit.amount), paper.currency, paper.rounding)
        line = _line("commit", commit.id, f"prepaid {commit.id}, worth {worth}", price, period, paper)
        return worth, [replace(line, effective=Decimal(0))]
    if commit.id not in opening.commits:
        raise InputError(f"{account.tenant}: {period.label} needs the balance of the commit {commit.id!r} from before")
    return opening.commits[commit.id], []


def _drawn(commit: Commit, period: Period, drawn: Decimal, rest: Decimal, paper: Paper) -> list[Charge]:
    lines, share = [], Fraction(paid(commit)) / Fraction(commit.amount) if commit.amount else Fraction(0)
    if drawn:
        line = _line("drawdown", commit.id, f"drawn from {commit.id}, {rest} left", -drawn, period, paper)
        saved = rounded(Fraction(drawn) * (share - 1), paper.currency, paper.rounding)
        lines.append(replace(line, effective=saved))
    if rest and commit.until and commit.until <= period.after:
        zero = rounded(Fraction(0), paper.currency)
        line = _line("expired", commit.id, f"{commit.id} ended, {rest} not used", zero, period, paper)
        lost = rounded(Fraction(rest) * share, paper.currency, paper.rounding)
        lines.append(replace(line, quantity=rest, unit=paper.currency, effective=lost))
    return lines


def _line(kind: Kind, sku: str, text: str, amount: Decimal, period: Period, paper: Paper) -> Charge:
    return Charge(kind, sku, "", "", text, period.start_us, period.end_us, paper.currency, amount, amount)
