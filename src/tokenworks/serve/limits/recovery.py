"""What a gateway that died left open is settled by another one that sees its journal.

An attempt whose event was on its way is written again, the same event to the byte: the ledger stores it once. One of which
nothing was known is ``missing``. Then the store gets back what was leased and not spent.
"""

from __future__ import annotations

import asyncio
import fcntl
import logging
import os
import socket
from collections.abc import Awaitable, Callable, Mapping
from pathlib import Path
from typing import Protocol

from tokenworks.errors import InputError
from tokenworks.events.ledger_events import AnyEvent
from tokenworks.ledger import Receipt
from tokenworks.serve.body.usage import MISSING
from tokenworks.serve.limits.journal import SUFFIX
from tokenworks.serve.limits.records import Found, Opened, Owner, replay
from tokenworks.serve.metering import event_of

log = logging.getLogger("tokenworks.serve")
LOOK_S = 1.0  # between looks for journals that nobody owns
UNREADABLE = ".unreadable"


class Events(Protocol):
    """A way into the ledger."""

    def submit(self, event: AnyEvent) -> asyncio.Future[Receipt]: ...


Finish = Callable[[str, Mapping[str, int] | None], Awaitable[None]]  # as `BudgetStore.finish`


def boot() -> str:
    """Which start of the machine this is: what is in memory of files does not outlive it."""
    try:
        return Path("/proc/sys/kernel/random/boot_id").read_text().strip()
    except OSError:
        return ""


async def settle_dead(folder: Path, events: Events, finish: Finish, store: str = "") -> int:
    """Settles every journal whose owner is dead; returns how many reservations were open. Another look does what could not
    be done now. ``store``: the id of the budgets; gateways of others may keep their journals in the same folder."""
    settled = 0
    for path in sorted(folder.glob(f"*{SUFFIX}")):
        handle = _claimed(path)
        if handle is None:
            continue
        try:
            settled += await _settle_one(path, events, finish, store)
        except Exception as error:  # noqa: BLE001 - one journal's trouble is not the others'
            log.error("the reservations of a gateway that died are not settled yet: %s", error)
        finally:
            os.close(handle)
    return settled


async def _settle_one(path: Path, events: Events, finish: Finish, store: str) -> int:
    found = replay(path.read_bytes())
    if _foreign(found, store):
        return 0
    if found.owner is None:  # its name is all that is known
        log.error("%s cannot be read: what its gateway held counts as spent, and its calls have no events", path)
        await finish(path.name.removesuffix(SUFFIX), None)
        path.rename(path.with_suffix(UNREADABLE))
        return 0
    settled = await _settle(found, found.owner, events, finish)
    path.unlink()
    return settled


def _claimed(path: Path) -> int | None:
    """The open file, locked; None where its owner lives, or another is at it, or it cannot be opened now."""
    try:
        handle = os.open(path, os.O_RDWR | os.O_CLOEXEC)
    except FileNotFoundError:
        return None
    except OSError as error:
        log.error("%s cannot be looked at now: %s", path, error.strerror)
        return None
    try:
        fcntl.flock(handle, fcntl.LOCK_EX | fcntl.LOCK_NB)
        if os.fstat(handle).st_ino == os.stat(path).st_ino:  # else its owner has just written it anew
            return handle
    except (BlockingIOError, FileNotFoundError):
        pass
    os.close(handle)
    return None


def _foreign(found: Found, store: str) -> bool:
    """Of other budgets; or of another machine, which shares the disk: its locks are not seen here, so its owner may live."""
    owner = found.owner
    if owner is None:
        return False
    return (owner.store or store) != store or (owner.boot != boot() and owner.host != socket.gethostname())


async def _settle(found: Found, owner: Owner, events: Events, finish: Finish) -> int:
    spent = dict(found.spent)
    await asyncio.gather(*(_write(owner.source, opened, found, events) for opened in found.opened.values()))
    for opened in found.opened.values():
        known = found.known.get(opened.number)
        for account, amount in zip(opened.accounts, known.spent if known else opened.amounts, strict=True):
            spent[account] = spent.get(account, 0) + amount
    await finish(owner.gateway, spent if owner.boot == boot() else None)
    if found.opened:
        log.warning("%d open reservations of a gateway that died were settled", len(found.opened))
    return len(found.opened)


async def _write(source: str, opened: Opened, found: Found, events: Events) -> None:
    """Raises OutputError where the ledger does not take it now. One that is no event never will be one, and keeps nobody else."""
    known = found.known.get(opened.number)
    if known:
        event = event_of(source, known.attempt, known.told)
    else:
        opened.attempt.failed = True
        event = event_of(source, opened.attempt, MISSING)
    try:
        receipt = await events.submit(event)
    except InputError as error:
        receipt = Receipt("refused", note=str(error))
    if not receipt.durable:
        log.error("the event %s of a gateway that died was not stored: %s", event.id, receipt.note or receipt.status)
