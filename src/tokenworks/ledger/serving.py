"""The HTTP door over one ledger: what it answers is durable, what it cannot take is kept aside."""

from __future__ import annotations

from typing import TYPE_CHECKING

from tokenworks.ledger.ingest.http import Server, make_server
from tokenworks.ledger.ingest.records import Context
from tokenworks.ledger.taking_in import append, keep_aside

if TYPE_CHECKING:
    from tokenworks.events.ledger_events import AnyEvent
    from tokenworks.ledger.ingest.records import Rejected
    from tokenworks.ledger.ledger import Ledger
    from tokenworks.ledger.receipt import Receipt

ORIGIN = "http"  # in the quarantine


def server_of(ledger: Ledger, address: tuple[str, int], context: Context) -> Server:
    """A server that is not yet running. ``context`` says what records leave open. Raises OSError for a taken port."""

    def store(events: list[AnyEvent]) -> list[Receipt]:
        return append(ledger, list(enumerate(events, 1)), ORIGIN)

    def keep(faults: list[Rejected], format: str) -> None:
        keep_aside(ledger, [(fault, fault.raw.encode(errors="replace")) for fault in faults], ORIGIN, format, context)

    return make_server(store, address, context=lambda: context, keep=keep)
