"""What all readers share: the context of a file, what they refuse, and how values of JSON are taken apart."""

from __future__ import annotations

import hashlib
from collections.abc import Mapping
from dataclasses import dataclass
from datetime import datetime
from typing import Any, Literal, TypeAlias

import msgspec

from tokenworks.events.ledger_events import MICRO

Record: TypeAlias = Mapping[str, Any]
Kind: TypeAlias = Literal["malformed", "restated", "unrelated"]
LARGEST = 2**63 - 1
NOT_MEANT = ("restated", "unrelated")


@dataclass(frozen=True)
class Rejected:
    """A line that gave no event. ``malformed`` can be mended and read again; ``restated`` repeats tokens that other
    records hold (a parent span, an answer from a gateway's cache); ``unrelated`` is about no usage at all."""

    line: int  # from 1; of the file or the body
    reason: str
    raw: str
    kind: Kind = "malformed"


@dataclass(frozen=True)
class Context:
    """What the records of a file do not say themselves. A record's own word always comes first."""

    source: str = ""  # "" = the format's name
    tenant: str = ""
    provider: str = ""
    model: str = ""
    time: str = ""  # RFC 3339, of records that state none (results of a batch)
    year: int | None = None  # of log lines that print month and day alone
    latest_us: int | None = None  # events that happened later are refused (a clock that runs ahead)
    input_tokens: Literal["inclusive", "exclusive"] = "inclusive"  # OTLP: do input tokens include cached ones?
    engine_spans: bool = True  # OTLP: False where an engine's clients send spans of the same calls in other exports


class RefusedError(ValueError):
    """A record cannot become an event; the message says why. Readers catch it and make it a `Rejected`."""

    def __init__(self, reason: str, kind: Kind = "malformed"):
        self.kind: Kind = kind
        super().__init__(reason)


def rejected(line: int, raw: str, why: RefusedError) -> Rejected:
    return Rejected(line, str(why), raw, why.kind)


def text_of(line: str | bytes) -> str:
    """A line as text; raises RefusedError where it is not UTF-8."""
    try:
        return (line if isinstance(line, str) else line.decode()).strip()
    except UnicodeDecodeError as error:
        raise RefusedError(f"not UTF-8: {error.reason} at byte {error.start}") from None


def decode(text: str) -> Any:
    """JSON; raises RefusedError with the parser's reason."""
    try:
        return msgspec.json.decode(text)
    except (msgspec.DecodeError, RecursionError) as error:
        raise RefusedError(f"not JSON: {error}") from None


def encode(record: Any) -> str:
    return msgspec.json.encode(record, order="sorted").decode()


def mapping(value: Any, name: str) -> Record:
    """An object; nothing stands for an empty one. Raises RefusedError for anything else."""
    if value is None:
        return {}
    if not isinstance(value, Mapping):
        raise RefusedError(f"{name} is {type(value).__name__}, not an object")
    return value


def sequence(value: Any, name: str) -> list[Any]:
    """A list; nothing stands for an empty one. Raises RefusedError for anything else."""
    if value is None:
        return []
    if not isinstance(value, list):
        raise RefusedError(f"{name} is {type(value).__name__}, not a list")
    return value


def count(record: Record, *names: str) -> int | None:
    """A whole number of tokens under the first name that holds one; None where no name does.

    Raises RefusedError for what is negative, not whole or above int64, and where two names disagree.
    """
    found = {name: _whole(record[name], name) for name in names if record.get(name) is not None}
    if len(set(found.values())) > 1:
        raise RefusedError("; ".join(f"{name} is {value}" for name, value in found.items()) + ": they disagree")
    return next(iter(found.values()), None)


def _whole(value: Any, name: str) -> int:
    if isinstance(value, float) and value.is_integer():
        value = int(value)
    if isinstance(value, bool) or not isinstance(value, int):
        raise RefusedError(f"{name} is {value!r}, not a whole number")
    if value < 0:
        raise RefusedError(f"{name} is {value}, below zero")
    if value > LARGEST:
        raise RefusedError(f"{name} is {value}, above the largest integer of the ledger ({LARGEST})")
    return value


def word(record: Record, *names: str) -> str:
    """The first of the names that holds text (or a number, as text); "" where none does."""
    for name in names:
        value = record.get(name)
        if isinstance(value, str) and value:
            return value
        if isinstance(value, int) and not isinstance(value, bool):
            return str(value)
    return ""


def micros(value: Any, name: str) -> int:
    """Microseconds since 1970 of seconds since then, or of RFC 3339 text with its zone."""
    if isinstance(value, (int, float)) and not isinstance(value, bool):
        return _seconds(value, name)
    if not isinstance(value, str):
        raise RefusedError(f"{name} is {value!r}, neither seconds nor RFC 3339")
    try:
        moment = datetime.fromisoformat(value)
    except ValueError:
        raise RefusedError(f"{name} {value!r} is not RFC 3339, such as 2026-03-01T12:00:00Z") from None
    if moment.tzinfo is None:
        raise RefusedError(f"{name} {value!r} has no time zone")
    since = moment - datetime.fromisoformat("1970-01-01T00:00:00Z")
    return (since.days * 86_400 + since.seconds) * MICRO + since.microseconds


def _seconds(value: float, name: str) -> int:
    if not 0 <= value < 1e11:
        raise RefusedError(f"{name} {value!r} is not seconds since 1970")
    return value * MICRO if isinstance(value, int) else round(value * MICRO)


def fingerprint(record: Any) -> str:
    """A stable name for a record that has none: its hash, keys sorted. Equal records get equal names."""
    return "sha256-" + hashlib.sha256(msgspec.json.encode(record, order="sorted")).hexdigest()
