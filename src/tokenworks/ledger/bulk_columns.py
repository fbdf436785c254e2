"""The columns of a bulk segment: checked, completed, hashed by content."""

from __future__ import annotations

from collections.abc import Mapping
from hashlib import sha256
from typing import TYPE_CHECKING, Any

import msgspec
import numpy as np

from tokenworks.errors import InputError
from tokenworks.events.ledger_events import USAGE_COLUMNS, UsageEvent
from tokenworks.ledger.checked import SIGNED

if TYPE_CHECKING:
    import pyarrow as pa

_GIVEN = tuple(name for name in USAGE_COLUMNS if name not in ("seq", "source", "sign"))
_DEFAULTS: dict[str, Any] = {
    "sign": 1,
    "tags": "",
    **{
        field.name: field.default
        for field in msgspec.structs.fields(UsageEvent)
        if field.name in _GIVEN and field.default is not msgspec.NODEFAULT and field.name != "tags"
    },
}
_NEVER_NULL = frozenset(USAGE_COLUMNS) - {
    "input_fresh", "cache_read", "cache_write", "output_visible", "output_reasoning", "output_tool",
    "ttft_us", "duration_us", "energy_uj", "cost_micro_usd",
}  # fmt: skip


def bulk_table(columns: Mapping[str, object] | pa.Table) -> pa.Table:
    """USAGE_COLUMNS but seq and source (and id, where none is given); words as dictionaries."""
    import pyarrow as pa

    if isinstance(columns, pa.Table):
        columns = {name: columns[name] for name in columns.column_names if name not in ("seq", "source", "sign")}
    strange = sorted(set(columns) - set(_GIVEN))
    if strange:
        raise InputError(f"a segment has no column {strange[0]!r}; it has {', '.join(_GIVEN)}")
    rows = _rows(columns)
    made = {}
    for name in USAGE_COLUMNS:
        if name in ("seq", "source") or (name == "id" and "id" not in columns):
            continue
        made[name] = _column(name, columns[name] if name in columns else _default(name), rows)
    return pa.table(made)


def _default(name: str) -> object:
    if name not in _DEFAULTS:
        raise InputError(f"a segment needs the column {name!r}")
    return _DEFAULTS[name]


def _rows(columns: Mapping[str, object]) -> int:
    """The common length of the arrays."""
    lengths = {name: len(column) for name, column in columns.items() if _is_array(column)}  # type: ignore[arg-type]
    if len(set(lengths.values())) != 1 or not max(lengths.values()):
        raise InputError(f"the columns of a segment must have one length above 0, not {lengths}")
    return next(iter(lengths.values()))


def _is_array(column: object) -> bool:
    return hasattr(column, "__len__") and not isinstance(column, str)


def _column(name: str, values: Any, rows: int) -> pa.Array:
    """One column in its Arrow type. InputError where a value does not fit."""
    import pyarrow as pa
    import pyarrow.compute as pc

    kind = pa.type_for_alias(USAGE_COLUMNS[name])
    words = kind == pa.string() and name != "id"
    try:
        if not _is_array(values):
            array = _constant(values, kind, words, rows)
        else:
            array = values.combine_chunks() if isinstance(values, pa.ChunkedArray) else pa.array(values)
            if not (words and pa.types.is_dictionary(array.type)):
                array = array.cast(kind)
                array = array.dictionary_encode() if words else array
    except (pa.ArrowInvalid, pa.ArrowTypeError, pa.ArrowNotImplementedError, OverflowError) as error:
        raise InputError(f"segment column {name!r}: {error}") from error
    if array.null_count and name in _NEVER_NULL:
        raise InputError(f"segment column {name!r}: {array.null_count} values are missing")
    if pa.types.is_integer(kind) and name not in SIGNED and name != "sign":
        least = pc.min(array).as_py()
        if least is not None and least < 0:
            raise InputError(f"segment column {name!r}: {least} is below 0")
    return array


def _constant(value: Any, kind: pa.DataType, words: bool, rows: int) -> pa.Array:
    import pyarrow as pa

    if words:
        return pa.DictionaryArray.from_arrays(pa.array(np.zeros(rows, np.int32)), pa.array([value], pa.string()))
    return pa.nulls(rows, kind) if value is None else pa.repeat(pa.scalar(value, kind), rows)


def with_places(table: pa.Table, run_key: str, first: int) -> pa.Table:
    """All of USAGE_COLUMNS: with the ledger's positions from ``first``, the source, and ids where there are none."""
    import pyarrow as pa

    rows = table.num_rows
    columns = {name: table[name] for name in table.column_names}
    columns["seq"] = pa.array(np.arange(first, first + rows, dtype=np.int64))
    columns["source"] = _constant(run_key, pa.string(), True, rows)
    if "id" not in columns:
        columns["id"] = pa.array(np.arange(rows, dtype=np.int64)).cast(pa.string())
    return pa.table({name: columns[name] for name in USAGE_COLUMNS})


def content_hash(table: pa.Table) -> bytes:
    """SHA-256 of names and values, whatever way they are held in memory."""
    digest = sha256(str(table.num_rows).encode())
    for name in table.column_names:
        array = table[name].combine_chunks()
        digest.update(f"|{name}|".encode())
        for part in _parts(array):
            digest.update(f"{part.nbytes}:".encode())
            digest.update(np.ascontiguousarray(part).data)
    return digest.digest()


def _parts(array: pa.Array) -> list[np.ndarray]:
    """Arrays of numbers that stand for the values: nulls apart, words as their ranks in the sorted vocabulary."""
    import pyarrow as pa
    import pyarrow.compute as pc

    if pa.types.is_dictionary(array.type):
        return _words(array)
    if pa.types.is_string(array.type):
        return _letters(array)
    if pa.types.is_boolean(array.type):
        array = array.cast(pa.int8())
    missing = [pc.is_null(array).to_numpy(zero_copy_only=False)] if array.null_count else []
    filled = pc.fill_null(array, 0) if missing else array
    values = filled.to_numpy(zero_copy_only=False)
    return [*missing, values[:1] if (values == values[0]).all() else values]


def _words(array: pa.DictionaryArray) -> list[np.ndarray]:
    """Ranks, and the sorted words that occur; a vocabulary may hold words twice, or words that do not occur."""
    import pyarrow as pa
    import pyarrow.compute as pc

    indices, vocabulary = array.indices.to_numpy(), array.dictionary
    occurs = np.zeros(len(vocabulary), np.bool_)
    occurs[indices] = True
    words = vocabulary.filter(pa.array(occurs)).unique()
    words = words.take(pc.sort_indices(words))
    if len(words) == 1:
        return _letters(words)
    rank = pc.fill_null(pc.index_in(vocabulary, words), 0).to_numpy()
    return [*_letters(words), rank[indices]]


def _letters(texts: pa.StringArray) -> list[np.ndarray]:
    """Lengths and bytes."""
    _, places, letters = texts.buffers()
    bounds = np.frombuffer(places, np.int32)[texts.offset : texts.offset + len(texts) + 1]
    return [np.diff(bounds), np.frombuffer(letters or b"", np.uint8)[bounds[0] : bounds[-1]]]
