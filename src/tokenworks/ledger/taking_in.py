"""Takes events in from lines of any format: what is one is stored, what is none is kept aside."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Iterator, Sequence
from dataclasses import replace
from itertools import islice
from typing import TYPE_CHECKING, TypeAlias

import msgspec

from tokenworks.errors import InputError
from tokenworks.events.ledger_events import AnyEvent
from tokenworks.ledger.ingest.parse import parse
from tokenworks.ledger.ingest.records import Context, Rejected
from tokenworks.ledger.prepare import Prepared, prepare
from tokenworks.ledger.quarantine import RESTATED, WAITING, Aside, release, set_aside, waiting
from tokenworks.ledger.receipt import Receipt

if TYPE_CHECKING:
    from tokenworks.ledger.ledger import Ledger

ITEMS_AT_ONCE = 2000
_native = msgspec.json.Encoder(order="deterministic").encode


class Taken(msgspec.Struct):
    """What became of the lines and events: each is counted once."""

    stored: int = 0
    duplicate: int = 0
    conflict: int = 0
    refused: int = 0  # well-formed, but not to be stored: unknown reversal, too far ahead
    malformed: int = 0
    restated: int = 0  # tokens that other records hold; kept aside as a record, never taken in again
    unrelated: int = 0  # about no usage; not kept
    blank: int = 0
    late: int = 0  # of the stored: of a closed period
    ahead: int = 0  # of the stored: ahead of the clock

    @property
    def aside(self) -> int:
        """What waits to be mended."""
        return self.conflict + self.refused + self.malformed

    def count(self, name: str) -> None:
        setattr(self, name, getattr(self, name) + 1)


class Lines:
    """Lines on their way into a reader; ``number`` and ``last`` are those of the last one handed out."""

    def __init__(self, lines: Iterable[bytes]):
        self._lines = lines
        self.number = self.blank = 0
        self.last = b""

    def __iter__(self) -> Iterator[bytes]:
        for number, line in enumerate(self._lines, 1):
            self.number, self.last = number, line
            self.blank += not line.strip()
            yield line


def take_in(
    ledger: Ledger, lines: Iterable[bytes], origin: str, format: str = "native", context: Context | None = None
) -> Taken:
    """Stores the events of lines, group by group; ``origin`` names the file in the quarantine. Raises InputError for a
    format that is not known."""
    taken, counted, context = Taken(), Lines(lines), context or Context()
    items = ((counted.number, counted.last, item) for item in parse(format, counted, context))
    while group := list(islice(items, ITEMS_AT_ONCE)):
        faults = [(item, line) for _, line, item in group if isinstance(item, Rejected)]
        keep_aside(ledger, faults, origin, format, context)
        for fault, _ in faults:
            taken.count(fault.kind)
        events = [(number, item) for number, _, item in group if not isinstance(item, Rejected)]
        for receipt in append(ledger, events, origin):
            _count(taken, receipt)
    taken.blank = counted.blank
    return taken


Store: TypeAlias = Callable[[Iterable[AnyEvent]], list[Receipt]]  # durably, one receipt each


def append(
    ledger: Ledger, numbered: Sequence[tuple[int, AnyEvent]], origin: str, store: Store | None = None
) -> list[Receipt]:
    """Appends events with their lines, by ``store`` (default: a transaction of their own); those that are not stored are
    kept aside as events of our own. One receipt each."""
    if not numbered:
        return []
    receipts = (store or ledger.append)(event for _, event in numbered)
    lost = [
        Aside(origin, number, f"{receipt.status}: {receipt.note}", _native(event))
        for (number, event), receipt in zip(numbered, receipts, strict=True)
        if not receipt.durable
    ]
    set_aside(ledger, lost)
    return receipts


def keep_aside(
    ledger: Ledger, faults: Sequence[tuple[Rejected, bytes]], origin: str, format: str, context: Context
) -> None:
    """Keeps what gave no event with its reason, format and context: malformed records to wait, restated ones for the
    record. Each comes with its line, which is kept where the record is no text."""
    for kind in ("malformed", RESTATED):
        kept = [
            Aside(origin, fault.line, fault.reason, _bytes(fault, line), format, context)
            for fault, line in faults
            if fault.kind == kind
        ]
        set_aside(ledger, kept, WAITING if kind == "malformed" else RESTATED)


def _bytes(fault: Rejected, line: bytes) -> bytes:
    return line.strip() if fault.reason.startswith("not UTF-8") else fault.raw.encode(errors="surrogatepass")


def take_in_again(ledger: Ledger, mended: Context | None = None) -> Taken:
    """Tries what is kept aside once more, each line in the format it came in. What ``mended`` says goes before the context
    that the line came with: a file whose tenant was forgotten needs no second reading."""
    taken = Taken()
    ready: list[tuple[int, Prepared]] = []
    open_lines: dict[int, int] = {}  # number in the quarantine → events that are not durable yet
    for line in waiting(ledger):
        for item in _read_again(line, mended or Context()):
            if isinstance(item, str):
                taken.count(item)
                open_lines[line.number] = open_lines.get(line.number, 0) + (item == "malformed")
            else:
                ready.append((line.number, item))
                open_lines[line.number] = open_lines.get(line.number, 0) + 1
    for (number, _), receipt in zip(ready, ledger.append_prepared([event for _, event in ready]), strict=True):
        _count(taken, receipt)
        open_lines[number] -= receipt.durable
    release(ledger, [number for number, left in open_lines.items() if not left])
    return taken


def _read_again(line: Aside, mended: Context) -> Iterator[Prepared | str]:
    """Events of a line, and for what gives none the name under which it is counted."""
    context = replace(line.context, **{name: value for name, value in vars(mended).items() if value != _OPEN[name]})
    for item in parse(line.format, line.content.splitlines(), context):
        try:
            yield item.kind if isinstance(item, Rejected) else prepare(item)
        except InputError:
            yield "malformed"


_OPEN = vars(Context())


def _count(taken: Taken, receipt: Receipt) -> None:
    taken.count(receipt.status)
    taken.late += receipt.note.startswith("late")
    taken.ahead += receipt.note.startswith("ahead")


def payloads(ledger: Ledger) -> Iterator[bytes]:
    """Canonical JSON of all single events, sealed and live, in ledger order."""
    from tokenworks.ledger.verify import all_rows

    return (payload for _, payload, _ in all_rows(ledger))
