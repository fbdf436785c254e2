"""The process that owns the ledger's file."""

from __future__ import annotations

import logging
import socket
from pathlib import Path

from tokenworks.ledger import Ledger
from tokenworks.serve.processes.ledger_door import keep_ledger
from tokenworks.serve.processes.orders import Orders, say
from tokenworks.serve.processes.settings import LedgerSettings, Ready

log = logging.getLogger("tokenworks.serve")
DISK_REFUSED = 3


async def own_ledger(settings: LedgerSettings, orders: Orders) -> int:
    """Until it is asked to stop. After trouble with the disk it ends, too: whoever starts it again opens the file anew."""
    segments = Path(settings.segments) if settings.segments else None
    with Ledger.open(settings.place, segments=segments) as ledger:
        async with orders.heard():
            say(Ready())
            trouble = await keep_ledger(ledger, socket.socket(fileno=settings.door), orders.stop, settings.patience_s)
    if trouble:
        log.error("the ledger is opened anew: %s", trouble)
    return DISK_REFUSED if trouble else 0
