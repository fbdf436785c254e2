"""Days, moments and ranges as they are written on the command line. Each raises InputError with an example."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from tokenworks.pricing.invoice import LedgerRange


def range_of(text: str) -> LedgerRange:
    from tokenworks.errors import InputError
    from tokenworks.pricing.invoice import LedgerRange

    first, _, rest = text.partition(":")
    last, _, digest = rest.partition(":")
    if len(digest) != 64:
        raise InputError(f"{text!r} is no range of a ledger; write FIRST:LAST:SHA256")
    return LedgerRange(whole_of(first), whole_of(last), digest)


def whole_of(text: str) -> int:
    from tokenworks.errors import InputError

    if not text.strip().isdecimal():
        raise InputError(f"{text!r} is not a whole number")
    return int(text)


def day_of(text: str) -> Any:
    from datetime import date

    from tokenworks.errors import InputError

    try:
        return date.fromisoformat(text)
    except ValueError:
        raise InputError(f"{text!r} is no day; write for example 2026-03-01") from None


def moment_us_of(text: str) -> int:
    """Microseconds since 1970 UTC, as events of the ledger have them."""
    from tokenworks.errors import InputError
    from tokenworks.ledger.ingest.records import RefusedError, micros

    try:
        return micros(text, "the time")
    except RefusedError as error:
        raise InputError(f"{error}; write for example 2026-03-01T00:00:00Z") from None
