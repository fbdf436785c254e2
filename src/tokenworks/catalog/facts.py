"""A fact and an entry of the catalogue: every value with unit, source, date and status."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Any

from tokenworks.errors import CatalogError

STATUSES = ("measured", "published", "claim", "projection", "assumed")


@dataclass(frozen=True)
class Fact:
    """One value about the world. ``other`` keeps values of sources that disagree."""

    value: Any
    unit: str
    source: str
    date: str
    status: str
    note: str = ""
    other: tuple[Mapping[str, Any], ...] = ()


@dataclass(frozen=True)
class Entry:
    """One accelerator, system, model …: a mapping from names to facts that refuses to invent one."""

    kind: str
    id: str
    name: str
    facts: Mapping[str, Fact]
    extra: Mapping[str, Any] = field(default_factory=dict)  # further tables of the file, as they stand
    missing: Mapping[str, str] = field(default_factory=dict)  # facts that cannot be given, and why
    aliases: tuple[str, ...] = ()

    def __getitem__(self, key: str) -> Any:
        return self.fact(key).value

    def __contains__(self, key: str) -> bool:
        return key in self.facts

    def get(self, key: str) -> Any:
        """The value, or None where the catalogue does not have it."""
        fact = self.facts.get(key)
        return None if fact is None else fact.value

    def fact(self, key: str) -> Fact:
        try:
            return self.facts[key]
        except KeyError:
            reason = f": {self.missing[key]}" if key in self.missing else ""
            raise CatalogError(f"the catalogue has no {key!r} for {self.kind}/{self.id}{reason}") from None
