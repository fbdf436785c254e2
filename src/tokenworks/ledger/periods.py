"""Billing periods: once closed, their ledger range and hash are fixed; what comes late is marked."""

from __future__ import annotations

from datetime import UTC, datetime

import msgspec

from tokenworks.errors import InputError
from tokenworks.ledger.chain import Batch
from tokenworks.ledger.store import Store


class Period(msgspec.Struct, frozen=True):
    """A closed period, µs UTC, [from_us, to_us). It covers its events up to ``last_seq`` and is fixed by ``link``."""

    period: int
    tenant: str  # "" = all tenants
    from_us: int
    to_us: int
    last_seq: int
    batch: int
    link: str = ""  # hex

    def holds(self, time_us: int, tenant: str) -> bool:
        return self.from_us <= time_us < self.to_us and self.tenant in ("", tenant)

    def __str__(self) -> str:
        whose = f" of {self.tenant}" if self.tenant else ""
        return f"period {self.period}{whose} [{_said(self.from_us)}, {_said(self.to_us)})"


def closed(store: Store) -> list[Period]:
    """All closed periods, in the order of closing."""
    rows = store.rows(
        "SELECT p.period, p.tenant, p.from_us, p.to_us, p.last_seq, p.batch, b.link"
        " FROM periods p JOIN batches b ON b.batch = p.batch ORDER BY p.period"
    )
    return [
        Period(period, tenant, from_us, to_us, last_seq, batch, bytes(link).hex())
        for period, tenant, from_us, to_us, last_seq, batch, link in rows
    ]


def require_free(others: list[Period], from_us: int, to_us: int, tenant: str) -> None:
    """InputError where a period is empty or overlaps a closed one of the same tenant or of all."""
    if from_us >= to_us:
        raise InputError(f"a period must end after it begins, not [{_said(from_us)}, {_said(to_us)})")
    for other in others:
        same = "" in (tenant, other.tenant) or tenant == other.tenant
        if same and from_us < other.to_us and other.from_us < to_us:
            raise InputError(
                f"[{_said(from_us)}, {_said(to_us)}) overlaps {other}, which is closed; the next may begin at"
                f" {_said(other.to_us)}; closed periods do not reopen: correct by reversal and replacement"
            )


def insert(store: Store, period: Period, batch: Batch) -> None:
    whole = [period.period, period.tenant, period.from_us, period.to_us, period.last_seq, batch.batch]
    store.insert("periods", 6, whole)


def parse_period(text: str) -> tuple[int, int]:
    """``2026-03``, ``2026-03-15``, or ``FROM/TO`` in ISO 8601 (UTC where no zone is given) as µs, [from, to)."""
    try:
        if "/" in text:
            start, end = (_instant(part) for part in text.split("/"))
        elif len(text) == 7:
            start = _instant(f"{text}-01")
            end = start.replace(year=start.year + start.month // 12, month=start.month % 12 + 1)
        else:
            start = _instant(text)
            end = datetime.fromtimestamp(start.timestamp() + 86_400, UTC)
    except ValueError as error:
        raise InputError(f"no period: {text!r}; write 2026-03, 2026-03-15 or 2026-03-01/2026-03-15T12:00") from error
    return _micro(start), _micro(end)


def _instant(text: str) -> datetime:
    moment = datetime.fromisoformat(text)
    return moment.astimezone(UTC) if moment.tzinfo else moment.replace(tzinfo=UTC)


def _micro(moment: datetime) -> int:
    return int(moment.timestamp()) * 1_000_000 + moment.microsecond


def _said(time_us: int) -> str:
    return datetime.fromtimestamp(time_us / 1e6, UTC).isoformat().replace("+00:00", "Z")
