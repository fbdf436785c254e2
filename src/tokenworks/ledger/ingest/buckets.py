"""Stated totals into disjoint buckets.

The stated total is always in the buckets, to the token. Where a record does not divide it, all of it is in
``input_fresh`` or ``output_visible`` and the part that nobody knows is None, which is not 0.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any

import msgspec

from tokenworks.events.ledger_events import BUCKETS
from tokenworks.ledger.ingest.records import LARGEST, RefusedError


class Buckets(msgspec.Struct, frozen=True):
    """Tokens of one attempt."""

    input_fresh: int | None
    cache_read: int | None
    cache_write: int | None
    output_visible: int | None
    output_reasoning: int | None
    output_tool: int | None

    def fields(self) -> dict[str, Any]:
        return msgspec.structs.asdict(self)

    @property
    def inputs(self) -> int:
        """All that is known of."""
        return (self.input_fresh or 0) + (self.cache_read or 0) + (self.cache_write or 0)

    @property
    def outputs(self) -> int:
        return (self.output_visible or 0) + (self.output_reasoning or 0) + (self.output_tool or 0)

    @property
    def known(self) -> int:
        return sum(getattr(self, name) or 0 for name in BUCKETS)


UNKNOWN = Buckets(None, None, None, None, None, None)


@dataclass(frozen=True)
class Shown:
    """What an answer consists of, where the record holds it: text, calls of tools; None: not recorded."""

    text: bool | None = None
    tools: bool | None = None


def inclusive_input(
    total: int | None, read: int | None, write: int | None
) -> tuple[int | None, int | None, int | None]:
    """(fresh, read, write) of a total that includes both parts. Raises RefusedError where the parts exceed it.

    >>> inclusive_input(100, 60, 30), inclusive_input(100, None, 0)
    ((10, 60, 30), (100, None, 0))
    """
    if total is None:
        if read or write:
            raise RefusedError(
                f"cache reads {read} and writes {write} are stated, the input that they are part of is not"
            )
        return None, read, write
    parts = (read or 0) + (write or 0)
    if parts > total:
        raise RefusedError(f"cache reads {read or 0} + cache writes {write or 0} exceed the stated input of {total}")
    return total - parts, read, write


def inclusive_output(
    total: int | None, reasoning: int | None, shown: Shown
) -> tuple[int | None, int | None, int | None]:
    """(visible, reasoning, tool) of a total that includes all. Raises RefusedError where reasoning exceeds it.

    The rest beside reasoning is a tool call where nothing but tool calls was answered, and visible otherwise; where
    both were answered nobody knows the tools' share (None).

    >>> inclusive_output(50, 20, Shown(text=True, tools=False)), inclusive_output(50, 20, Shown(text=False, tools=True))
    ((30, 20, 0), (0, 20, 30))
    """
    if total is None:
        if reasoning:
            raise RefusedError(f"reasoning of {reasoning} is stated, the output that it is part of is not")
        return None, reasoning, None
    rest = total - (reasoning or 0)
    if rest < 0:
        raise RefusedError(f"reasoning of {reasoning} exceeds the stated output of {total}")
    if shown.tools and shown.text is False:
        return 0, reasoning, rest
    return rest, reasoning, 0 if shown.tools is False else None


def check_total(stated: int | None, *parts: int | None) -> None:
    """Raises RefusedError where a stated total is not the sum of its parts, or the sum does not fit the ledger."""
    total = sum(part or 0 for part in parts)
    if total > LARGEST:
        raise RefusedError(f"{total} tokens are above the largest integer of the ledger ({LARGEST})")
    if stated is not None and None not in parts and stated != total:
        raise RefusedError(f"the stated total of {stated} is not the sum of its parts, {total}")


def never_zero(buckets: Buckets) -> Buckets:
    """Of an aborted call, "nothing" means that nobody counted: an input or output of 0 becomes unknown."""
    fields = buckets.fields()
    for names in (BUCKETS[:3], BUCKETS[3:]):
        if not any(fields[name] for name in names):
            fields |= dict.fromkeys(names)
    return Buckets(**fields)
