"""The HTTP door over one ledger: what it answers is durable, what it cannot take is kept aside."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager
from typing import TYPE_CHECKING

from tokenworks.errors import InputError
from tokenworks.ledger.ingest.http import Server, make_server
from tokenworks.ledger.ingest.records import Context
from tokenworks.ledger.shared_commit import SharedCommit
from tokenworks.ledger.taking_in import append, keep_aside

if TYPE_CHECKING:
    from tokenworks.events.ledger_events import AnyEvent
    from tokenworks.ledger.ingest.records import Rejected
    from tokenworks.ledger.ledger import Ledger
    from tokenworks.ledger.receipt import Receipt

ORIGIN = "http"  # in the quarantine


@contextmanager
def serving(ledger: Ledger, address: tuple[str, int], context: Context) -> Iterator[Server]:
    """A server that is not yet running; requests that come at one time share commits. Stop it before you leave.
    ``context`` says what records leave open. InputError where the address cannot be had."""
    with SharedCommit(ledger) as shared:

        def store(events: list[AnyEvent]) -> list[Receipt]:
            return append(ledger, list(enumerate(events, 1)), ORIGIN, shared.append)

        def keep(faults: list[Rejected], format: str) -> None:
            lines = [(fault, fault.raw.encode(errors="replace")) for fault in faults]
            keep_aside(ledger, lines, ORIGIN, format, context)

        try:
            server = make_server(store, address, context=lambda: context, keep=keep)
        except (OSError, OverflowError) as error:
            raise InputError(f"cannot listen at {address[0]}:{address[1]}: {error}") from None
        yield server
