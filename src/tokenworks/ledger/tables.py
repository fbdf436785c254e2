"""The tables of a ledger, in words that both databases understand."""

from __future__ import annotations

from tokenworks.errors import InputError
from tokenworks.ledger.sums import COST_CELL, COST_SUMS, USAGE_CELL, USAGE_SUMS

VERSION = 2  # a step for each change of tables, stored hashes or stored notes
_NUMBERS = {"hour"}


def _cell(names: tuple[str, ...]) -> str:
    return ", ".join(f"{name} {'{int}' if name in _NUMBERS else 'TEXT'} NOT NULL" for name in names)


def _sums(names: tuple[str, ...]) -> str:
    return ", ".join(f"{name} {{int}} NOT NULL" for name in names)


TABLES = (
    "meta (name TEXT PRIMARY KEY, value TEXT NOT NULL) {strict}",
    "sources (number {int} PRIMARY KEY, source TEXT NOT NULL UNIQUE, bulk {int} NOT NULL) {strict}",
    "events (seq {int} PRIMARY KEY, payload {blob} NOT NULL) {strict}",
    "keys (source {int} NOT NULL, id {blob} NOT NULL, seq {int} NOT NULL, sha256 {blob} NOT NULL,"
    " PRIMARY KEY (source, id)) {keyed}",
    "reversals (of_seq {int} PRIMARY KEY, seq {int} NOT NULL UNIQUE, copy {blob} NOT NULL) {strict}",
    "batches (batch {int} PRIMARY KEY, kind TEXT NOT NULL, first_seq {int} NOT NULL, last_seq {int} NOT NULL,"
    " body {blob} NOT NULL, note TEXT NOT NULL, link {blob} NOT NULL) {strict}",
    f"usage_sums ({_cell(USAGE_CELL)}, {_sums(USAGE_SUMS)}, PRIMARY KEY ({', '.join(USAGE_CELL)})) {{keyed}}",
    f"cost_sums ({_cell(COST_CELL)}, {_sums(COST_SUMS)}, PRIMARY KEY ({', '.join(COST_CELL)})) {{keyed}}",
    "marks (seq {int} NOT NULL, mark TEXT NOT NULL, period {int}, events {int} NOT NULL,"
    " PRIMARY KEY (seq, mark)) {strict}",
    "periods (period {int} PRIMARY KEY, tenant TEXT NOT NULL, from_us {int} NOT NULL, to_us {int} NOT NULL,"
    " last_seq {int} NOT NULL, batch {int} NOT NULL) {strict}",
    "segments (segment {int} PRIMARY KEY, kind TEXT NOT NULL, first_seq {int} NOT NULL, last_seq {int} NOT NULL,"
    " from_us {int} NOT NULL, to_us {int} NOT NULL, batch {int} NOT NULL, files TEXT NOT NULL) {strict}",
    "quarantine (number {int} PRIMARY KEY, origin TEXT NOT NULL, line {int} NOT NULL, reason TEXT NOT NULL,"
    " content {blob} NOT NULL, format TEXT NOT NULL, context TEXT NOT NULL, state TEXT NOT NULL) {strict}",
)
SQLITE = {"int": "INTEGER", "blob": "BLOB", "strict": "STRICT", "keyed": "STRICT, WITHOUT ROWID"}
POSTGRES = {"int": "BIGINT", "blob": "BYTEA", "strict": "", "keyed": ""}


def create(words: dict[str, str]) -> list[str]:
    """The statements that make what is missing."""
    return [f"CREATE TABLE IF NOT EXISTS {table.format(**words)}" for table in TABLES]


def require_version(found: str | None, place: str) -> None:
    """``found`` is what a ledger's table ``meta`` says; None: there is none. InputError for any version but this one."""
    if found == str(VERSION):
        return
    if found is None:
        raise InputError(f"ledger {place}: it holds no ledger; this program reads version {VERSION}")
    raise InputError(
        f"ledger {place}: it holds version {found}; this program reads version {VERSION}. Write its events with the program"
        " that made it (`tokenworks ledger export`) and store them in a new ledger (`tokenworks ledger ingest`)"
    )
