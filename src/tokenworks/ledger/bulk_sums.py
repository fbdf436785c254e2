"""The roll-up of a bulk segment: rows grouped by whole numbers, exact sums."""

from __future__ import annotations

from typing import TYPE_CHECKING, TypeAlias

import numpy as np
from numpy.typing import NDArray

from tokenworks.errors import InputError
from tokenworks.events.ledger_events import BUCKETS
from tokenworks.ledger.prepare import HOUR_US
from tokenworks.ledger.sums import USAGE_SUMS

if TYPE_CHECKING:
    import pyarrow as pa

Ints: TypeAlias = NDArray[np.int64]

WORDS = ("tenant", "root_run", "model")
EXACT = 2**53  # floats hold all whole numbers below
UNKNOWN = {"unmeasured": BUCKETS, "unpowered": ("energy_uj",), "uncosted": ("cost_micro_usd",)}


def segment_sums(table: pa.Table) -> pa.Table:
    """One row per tenant, run, model and hour that occurs, as ``usage_sums``. InputError where a sum leaves int64."""
    import pyarrow as pa

    hours = table["time_us"].to_numpy() // HOUR_US
    cells = np.zeros(table.num_rows, np.int64)
    for name in WORDS:
        cells = _combined(cells, *_codes(table[name].combine_chunks()))
    cells = _combined(cells, hours - hours.min(), int(hours.max() - hours.min()) + 1)
    count = int(cells.max()) + 1
    example = np.empty(count, np.int64)  # a row of each cell
    example[cells] = np.arange(len(cells))
    made = {name: table[name].take(example).cast(pa.string()) for name in WORDS} | {"hour": pa.array(hours[example])}
    return pa.table(made | {name: pa.array(_sum(table, name, cells, count)) for name in USAGE_SUMS})


def _codes(words: pa.DictionaryArray) -> tuple[Ints, int]:
    """Numbers from 0 that stand for words, and how many; a vocabulary may hold a word twice."""
    once = words.dictionary.dictionary_encode()
    place: Ints = once.indices.to_numpy().astype(np.int64)
    return place[words.indices.to_numpy()], len(once.dictionary)


def _combined(cells: Ints, codes: Ints, size: int) -> Ints:
    """Numbers from 0 without gaps for the pairs that occur."""
    if size == 1:
        return cells
    pairs = cells * size + codes
    span = int(pairs.max()) + 1
    if span > 8 * len(pairs) + 1_000_000:
        apart: Ints = np.unique(pairs, return_inverse=True)[1]
        return apart
    occurs = np.zeros(span, np.bool_)
    occurs[pairs] = True
    place: Ints = np.cumsum(occurs, dtype=np.int64) - 1
    dense: Ints = place[pairs]
    return dense


def _sum(table: pa.Table, name: str, cells: Ints, count: int) -> Ints:
    """One column of the roll-up."""
    if name == "events":
        return np.bincount(cells, minlength=count).astype(np.int64)
    if name in UNKNOWN:
        missing = _missing([table[column] for column in UNKNOWN[name]])
        return np.zeros(count, np.int64) if missing is None else np.bincount(cells[missing], minlength=count)
    column = table[name]
    values = (column.fill_null(0) if column.null_count else column).to_numpy()
    most = max(abs(int(values.min())), abs(int(values.max())))
    if most * len(values) < EXACT:
        return np.bincount(cells, values, count).astype(np.int64)
    return _large_sum(name, values, cells, count)


def _missing(columns: list[pa.ChunkedArray]) -> NDArray[np.bool_] | None:
    """Which rows lack a value in any of the columns; None: none does."""
    lacking = [column.is_null().to_numpy() for column in columns if column.null_count]
    return np.logical_or.reduce(lacking) if lacking else None


def _large_sum(name: str, values: Ints, cells: Ints, count: int) -> Ints:
    """By halves of 32 bits, for a sum may leave int64."""
    high, low = np.zeros(count, np.int64), np.zeros(count, np.int64)
    np.add.at(high, cells, values >> 32)
    np.add.at(low, cells, values & 0xFFFFFFFF)
    found = [(int(upper) << 32) + int(lower) for upper, lower in zip(high, low, strict=True)]
    if max(found) >= 2**63 or min(found) < -(2**63):
        raise InputError(f"segment: a sum of {name} leaves int64")
    return np.array(found, np.int64)
