"""The event schema with its limits, derived from the schema: what may be stored, checked in one decoding pass."""

from __future__ import annotations

from typing import Annotated, Any, get_args, get_type_hints

import msgspec

from tokenworks.events.ledger_events import AnyEvent

MOST = 2**63 - 1  # int64
MOST_STEP = 2**31 - 1  # int32 columns
LONGEST_NAME = 512  # characters of source and id
SIGNED = frozenset({"cost_micro_usd", "amount_micro", "value_micro"})  # prices may be negative, quantities may not
NAMES = frozenset({"source", "id", "tenant"})


def _limited(name: str, hint: Any) -> Any:
    """The type of a field with its limits, where it has some."""
    optional = type(None) in get_args(hint)
    if hint is int or int in get_args(hint):
        least = -MOST if name in SIGNED else 0
        most = MOST_STEP if name in ("step", "attempt") else MOST
        limited = Annotated[int, msgspec.Meta(ge=least, le=most)]
        return limited | None if optional else limited
    if name in NAMES:
        return Annotated[str, msgspec.Meta(min_length=1, max_length=LONGEST_NAME)]
    return hint


def _checked(kind: type[msgspec.Struct]) -> type[msgspec.Struct]:
    """A twin of an event type that refuses unknown fields and numbers outside their limits."""
    hints = get_type_hints(kind)
    fields: list[Any] = []
    for field in msgspec.structs.fields(kind):
        limited = _limited(field.name, hints[field.name])
        if field.required:
            fields.append((field.name, limited))
        elif field.default is msgspec.NODEFAULT:
            fields.append((field.name, limited, msgspec.field(default_factory=field.default_factory)))
        else:
            fields.append((field.name, limited, field.default))
    tag = kind.__struct_config__.tag
    return msgspec.defstruct(kind.__name__, fields, kw_only=True, forbid_unknown_fields=True, tag=tag, gc=False)


_KINDS = tuple(_checked(kind) for kind in get_args(AnyEvent))
_CHECK = msgspec.json.Decoder(_KINDS[0] | _KINDS[1] | _KINDS[2] | _KINDS[3])
_READ = msgspec.json.Decoder(AnyEvent)


check = _CHECK.decode
"""Raises msgspec.ValidationError with field and reason where the payload is not an event within its limits."""


def read(payload: bytes) -> AnyEvent:
    """An event from JSON; ValueError (msgspec's) where it is none, or has fields that the schema does not know."""
    check(payload)
    return trusted(payload)


def trusted(payload: bytes) -> AnyEvent:
    """An event from bytes that the ledger itself stored."""
    event: AnyEvent = _READ.decode(payload)
    return event
