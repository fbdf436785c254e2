"""Closed periods: fixed range and hash, no overlap, late events marked."""

import pytest
from ledger_samples import HOUR, T0, usage

from tokenworks.errors import InputError
from tokenworks.ledger.periods import parse_period


def test_closing_fixes_range_and_hash(opened):
    with opened() as ledger:
        ledger.append([usage(1), usage(2)])
        period = ledger.close_period(T0, T0 + HOUR)
        assert (period.period, period.last_seq) == (1, 2)
        head = ledger.head()
        assert (period.batch, period.link) == (head.batch, head.link.hex())
        ledger.append([usage(3, time_us=T0 + HOUR)])
        assert ledger.periods() == [period]
        assert ledger.usage_table(T0, T0 + HOUR, last_seq=period.last_seq).num_rows == 2
        assert ledger.verify().sound


def test_a_late_event_is_stored_and_marked_as_an_adjustment(opened):
    with opened() as ledger:
        ledger.close_period(T0, T0 + HOUR, tenant="acme")
        events = [usage(1), usage(2, tenant="other"), usage(3, time_us=T0 + HOUR), usage(4, time_us=T0 - 1)]
        receipts = ledger.append(events)
        assert [receipt.status for receipt in receipts] == ["stored"] * 4
        assert [bool(receipt.note) for receipt in receipts] == [True, False, False, False]
        assert "period 1 of acme" in receipts[0].note
        assert ledger.marks() == [(1, "late", 1, 1)]


@pytest.mark.parametrize(
    ("from_us", "to_us", "tenant", "said"),
    [
        (T0 + 1, T0 + 2, "", "overlaps period 1"),
        (T0 - HOUR, T0 + 1, "acme", "overlaps period 1"),
        (T0 + HOUR - 1, T0 + 2 * HOUR, "other", "overlaps period 1"),
        (T0, T0 + HOUR, "", "overlaps period 1"),
        (T0 + HOUR, T0 + HOUR, "", "must end after"),
    ],
)
def test_periods_neither_overlap_nor_reopen(opened, from_us, to_us, tenant, said):
    with opened() as ledger:
        ledger.close_period(T0, T0 + HOUR)
        with pytest.raises(InputError, match=said):
            ledger.close_period(from_us, to_us, tenant)
        assert len(ledger.periods()) == 1


def test_neighbours_and_other_tenants_may_close(opened):
    with opened() as ledger:
        ledger.close_period(T0, T0 + HOUR, "acme")
        ledger.close_period(T0 + HOUR, T0 + 2 * HOUR, "acme")
        ledger.close_period(T0, T0 + HOUR, "other")
        with pytest.raises(InputError, match="of acme"):
            ledger.close_period(T0, T0 + HOUR)


@pytest.mark.parametrize(
    ("text", "days"),
    [("2024-02", 29), ("2025-02", 28), ("2025-12", 31), ("2025-03-30", 1), ("2025-03-01/2025-03-08", 7)],
)
def test_periods_as_people_write_them(text, days):
    from_us, to_us = parse_period(text)
    assert (to_us - from_us) == days * 24 * HOUR


def test_what_is_no_period_is_said():
    with pytest.raises(InputError, match="write 2026-03"):
        parse_period("March")
