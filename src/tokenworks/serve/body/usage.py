"""Usage blocks of answers, as the ledger's disjoint buckets."""

from __future__ import annotations

from typing import Any

import msgspec

from tokenworks.ledger.ingest.buckets import UNKNOWN, Buckets, Shown, never_zero
from tokenworks.ledger.ingest.openai import buckets_of
from tokenworks.ledger.ingest.records import RefusedError
from tokenworks.serve.body.faults import NOT_JSON

PLAIN = Shown(text=True, tools=False)
MOST_TOKENS = 10**9  # of one attempt; an engine that says more says nothing
MOST_UJ = 10**15  # a gigajoule


class _Answer(msgspec.Struct):
    usage: msgspec.Raw = msgspec.Raw()


class _InputDetails(msgspec.Struct, forbid_unknown_fields=True):
    cached_tokens: int | None = None


class _Usual(msgspec.Struct, forbid_unknown_fields=True):
    """Usage as most engines state it. Whatever else there is goes the long way."""

    prompt_tokens: int
    total_tokens: int
    completion_tokens: int = 0
    prompt_tokens_details: _InputDetails | None = None
    energy_uj: int | None = None


class _UsualAnswer(msgspec.Struct):
    usage: _Usual


class _Energy(msgspec.Struct):
    energy_uj: int | None = None


_decode = msgspec.json.Decoder(_Answer).decode
_decode_usual = msgspec.json.Decoder(_Usual).decode
_decode_usual_answer = msgspec.json.Decoder(_UsualAnswer).decode
_decode_energy = msgspec.json.Decoder(_Energy).decode


class Told(msgspec.Struct, frozen=True, array_like=True):
    """What is known of an attempt's tokens: as the engine told it, as counted here, or not at all."""

    buckets: Buckets
    source: str  # engine, estimate
    status: str  # final, partial, missing
    energy_uj: int | None = None  # that the engine states: emulated ones do


MISSING = Told(UNKNOWN, "engine", "missing")


def usage_of_answer(body: bytes) -> bytes | None:
    """The usage of a whole JSON answer, as JSON; None where it has none."""
    try:
        found = bytes(_decode(body).usage)
    except NOT_JSON:
        return None
    return found if found not in (b"", b"null") else None


def told_of_answer(body: bytes) -> Told:
    """Of a whole JSON answer."""
    try:
        usual = _decode_usual_answer(body).usage
    except NOT_JSON:
        usual = None
    buckets = _of_usual(usual) if usual else None
    if usual is None or buckets is None:
        return told(usage_of_answer(body), 0, True)
    return Told(buckets, "engine", "final", _possible(usual.energy_uj))


def told(usage: bytes | None, counted: int, whole: bool) -> Told:
    """``usage``: JSON. ``counted``: pieces of text that went by, what stands in for output tokens where no usage was stated.
    ``whole``: the answer came to its end."""
    status = "final" if whole else "partial"
    buckets = _buckets(usage) if usage is not None else None
    if buckets is not None:
        return Told(buckets if whole else never_zero(buckets), "engine", status, _energy_uj(usage))
    if counted:
        return Told(Buckets(None, None, None, counted, None, None), "estimate", status)
    return MISSING


def _energy_uj(usage: bytes | None) -> int | None:
    if usage is None or b'"energy_uj"' not in usage:
        return None
    try:
        found = _decode_energy(usage).energy_uj
    except msgspec.MsgspecError:
        return None
    return _possible(found)


def _possible(energy_uj: int | None) -> int | None:
    return energy_uj if energy_uj is not None and 0 <= energy_uj <= MOST_UJ else None


def _buckets(usage: bytes) -> Buckets | None:
    """None for figures that contradict each other: they are no figures."""
    try:
        usual = _decode_usual(usage)
    except NOT_JSON:
        return _by_the_book(usage)
    return _of_usual(usual) or _by_the_book(usage)


def _of_usual(usual: _Usual) -> Buckets | None:
    """None where its figures contradict each other, or are none of this world."""
    read, made, details = usual.prompt_tokens, usual.completion_tokens, usual.prompt_tokens_details
    if read < 0 or made < 0 or read + made != usual.total_tokens or usual.total_tokens > MOST_TOKENS:
        return None
    cached = details.cached_tokens if details else None
    if cached is None:
        return Buckets(read, None, None, made, None, 0)
    return Buckets(read - cached, cached, 0, made, None, 0) if 0 <= cached <= read else None


def _by_the_book(usage: bytes) -> Buckets | None:
    """As the ledger's readers take any usage block."""
    try:
        found = buckets_of(msgspec.json.decode(usage, type=dict[str, Any]), PLAIN)
    except (*NOT_JSON, RefusedError):
        return None
    return found if found.inputs + found.outputs <= MOST_TOKENS else None
