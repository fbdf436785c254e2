"""Sources as small numbers: the first part of each event's key."""

from __future__ import annotations

from collections.abc import Sequence

from tokenworks.ledger.prepare import Prepared
from tokenworks.ledger.store import Store

SEGMENTS = "tokenworks:segments"  # of the keys of bulk segments


class Sources:
    """What a transaction knows of sources; forgotten when it fails, for then its new numbers never were."""

    def __init__(self, store: Store):
        self._store = store
        rows = store.rows("SELECT source, number, bulk FROM sources")
        self._numbers: dict[str, int] = {source: number for source, number, _ in rows}
        self.bulk: set[str] = {source for source, _, bulk in rows if bulk}

    def current(self) -> bool:
        """Whether nobody else added one since."""
        return bool(self._store.rows("SELECT count(*) FROM sources")[0][0] == len(self._numbers))

    def number(self, source: str) -> int:
        """Of a source; a new one is added."""
        return self._numbers.get(source) or self.insert(source, bulk=False)

    def numbers(self, group: Sequence[Prepared]) -> list[int]:
        known = self._numbers
        return [known.get(event.source) or self.insert(event.source, bulk=False) for event in group]

    def find(self, source: str) -> int | None:
        return self._numbers.get(source)

    def insert(self, source: str, *, bulk: bool) -> int:
        number = len(self._numbers) + 1
        self._store.insert("sources", 3, [number, source, int(bulk)])
        self._numbers[source] = number
        if bulk:
            self.bulk.add(source)
        return number

    def single(self, group: Sequence[Prepared]) -> bool:
        """Whether no event of a group names a bulk segment as its source."""
        return not self.bulk or self.bulk.isdisjoint([event.source for event in group])

    def refusal(self, source: str) -> str:
        return (
            f"{source!r} names a bulk segment; single events need a source of their own" if source in self.bulk else ""
        )
