"""Takes events in from lines of JSON: what is one is stored, what is none is kept aside."""

from __future__ import annotations

from collections.abc import Iterable, Iterator
from itertools import islice
from typing import TYPE_CHECKING

import msgspec

from tokenworks.errors import InputError
from tokenworks.ledger.checked import read
from tokenworks.ledger.prepare import Prepared, prepare
from tokenworks.ledger.quarantine import Aside, release, set_aside, waiting
from tokenworks.ledger.receipt import Receipt

if TYPE_CHECKING:
    from tokenworks.ledger.ledger import Ledger

LINES_AT_ONCE = 2000


class Taken(msgspec.Struct):
    """What became of the lines: each is counted once."""

    stored: int = 0
    duplicate: int = 0
    conflict: int = 0
    refused: int = 0  # well-formed, but not to be stored: unknown reversal, too far ahead
    malformed: int = 0
    blank: int = 0
    late: int = 0  # of the stored: of a closed period
    ahead: int = 0  # of the stored: ahead of the clock

    @property
    def aside(self) -> int:
        return self.conflict + self.refused + self.malformed


def take_in(ledger: Ledger, lines: Iterable[bytes], origin: str) -> Taken:
    """Stores lines of JSON, one event each, group by group; ``origin`` names the file in the quarantine."""
    taken = Taken()
    numbered = enumerate(lines, 1)
    while group := list(islice(numbered, LINES_AT_ONCE)):
        _take_group(ledger, group, origin, taken)
    return taken


def take_in_again(ledger: Ledger) -> Taken:
    """Tries what is kept aside once more."""
    taken = Taken()
    held = waiting(ledger)
    ready, still = _prepared((line.number, line.content) for line in held)
    taken.malformed += len(still)
    done = []
    for (number, _, _), receipt in zip(ready, ledger.append_prepared([event for _, _, event in ready]), strict=True):
        _count(taken, receipt)
        if receipt.durable:
            done.append(number)
    release(ledger, done)
    return taken


def _take_group(ledger: Ledger, group: list[tuple[int, bytes]], origin: str, taken: Taken) -> None:
    filled = [(number, line.strip()) for number, line in group if line.strip()]
    taken.blank += len(group) - len(filled)
    ready, wrong = _prepared(filled)
    aside = [Aside(origin, number, reason, line) for number, line, reason in wrong]
    taken.malformed += len(wrong)
    for (number, line, _), receipt in zip(ready, ledger.append_prepared([event for _, _, event in ready]), strict=True):
        _count(taken, receipt)
        if not receipt.durable:
            aside.append(Aside(origin, number, f"{receipt.status}: {receipt.note}", line))
    set_aside(ledger, aside)


def _prepared(
    lines: Iterable[tuple[int, bytes]],
) -> tuple[list[tuple[int, bytes, Prepared]], list[tuple[int, bytes, str]]]:
    """Lines that are events, and those that are none with the reason."""
    ready, wrong = [], []
    for number, line in lines:
        try:
            ready.append((number, line, prepare(read(line))))
        except (ValueError, InputError) as error:  # msgspec's errors and UnicodeDecodeError are ValueErrors
            wrong.append((number, line, str(error)))
    return ready, wrong


def _count(taken: Taken, receipt: Receipt) -> None:
    setattr(taken, receipt.status, getattr(taken, receipt.status) + 1)
    taken.late += receipt.note.startswith("late")
    taken.ahead += receipt.note.startswith("ahead")


def payloads(ledger: Ledger) -> Iterator[bytes]:
    """Canonical JSON of all single events, sealed and live, in ledger order."""
    from tokenworks.ledger.verify import all_rows

    return (payload for _, payload, _ in all_rows(ledger))
