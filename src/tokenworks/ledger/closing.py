"""Closing a period: a link of the chain fixes its range and hash."""

from __future__ import annotations

from typing import TYPE_CHECKING

import msgspec

from tokenworks.ledger import periods
from tokenworks.ledger.chain import body_hash
from tokenworks.ledger.periods import Period

if TYPE_CHECKING:
    from tokenworks.ledger.ledger import Ledger


def close_period(ledger: Ledger, from_us: int, to_us: int, tenant: str) -> Period:
    """See ``Ledger.close_period``. InputError where it overlaps one that is closed."""
    with ledger.writing():
        before, head = periods.closed(ledger.store), ledger.head()
        periods.require_free(before, from_us, to_us, tenant)
        period = Period(len(before) + 1, tenant, from_us, to_us, head.last_seq if head else 0, 0)
        note = msgspec.json.encode(period, order="deterministic").decode()
        batch = ledger.link("close", 0, body_hash(()), note)
        periods.insert(ledger.store, period, batch)
    ledger.store.sync()
    return msgspec.structs.replace(period, batch=batch.batch, link=batch.link.hex())
