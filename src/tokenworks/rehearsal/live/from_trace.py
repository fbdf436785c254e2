"""Live traffic from a trace; what `bench` and `run --requests` write has its latencies beside."""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING

import numpy as np
from numpy.typing import NDArray

from tokenworks.errors import InputError
from tokenworks.rehearsal.live.recorded import Live, Recorded, by_arrival
from tokenworks.spec.factory import Factory
from tokenworks.workload.trace_formats import load_trace
from tokenworks.workload.trace_names import trace_place

if TYPE_CHECKING:
    import pyarrow as pa

TIMED = ("arrival_s", "input_tokens", "output_tokens", "ttft_s", "e2e_s")


def from_trace(name: str, factory: Factory, service: str | None) -> Live:
    """All requests go to ``service``, or to the only one, unless the file names each one's. Raises InputError, TraceError."""
    path = trace_place(name)
    table = _timed(path) if path is not None else None
    if table is not None:
        return _of_table(table, factory, service, name)
    trace, count = load_trace(name), len(load_trace(name))
    nan = np.full(count, np.nan)
    made = Recorded(
        trace.arrival_s, nan, nan, trace.input_tokens.astype(np.int64), np.full(count, -1),
        trace.output_tokens.astype(np.int64), np.full(count, service_of(factory, service)), trace.session, nan, nan,
        np.zeros(count, bool),
    )  # fmt: skip
    left = (("failed in the recording", trace.left_out),) if trace.left_out else ()
    return Live(made, name, 0, left, inside=False, timed=False)


def service_of(factory: Factory, name: str | None) -> int:
    """The index of a service. Raises InputError."""
    names = [s.name for s in factory.services]
    if name is None and len(names) == 1:
        return 0
    if name not in names:
        said = f"no service {name!r}" if name else "a trace does not say whom it asks"
        raise InputError(f"{said}: name one with --service, {' or '.join(names)}")
    return names.index(name)


def _timed(path: Path) -> pa.Table | None:
    """The table, None where it has no latencies. Raises TraceError for what is no table at all."""
    import pyarrow as pa
    from pyarrow import csv, parquet

    try:
        if path.suffix == ".parquet":
            table = parquet.read_table(path)
        elif path.suffix == ".csv":
            table = csv.read_csv(path)
        else:
            return None
    except pa.ArrowInvalid:
        return None  # the reader of traces says what is wrong, and where
    return table if set(TIMED) <= set(table.column_names) else None


def _of_table(table: pa.Table, factory: Factory, service: str | None, place: str) -> Live:
    status = table["status"].to_pylist() if "status" in table.column_names else ["finished"] * table.num_rows
    finished = np.array([said == "finished" for said in status], bool)
    column = lambda name: _numbers(table, name)  # noqa: E731
    cached = np.where(np.isnan(column("cached_tokens")), -1, _whole(column("cached_tokens")))
    made = Recorded(
        column("arrival_s"), column("ttft_s"), column("e2e_s"), _whole(column("input_tokens")),
        cached, _whole(column("output_tokens")), _of_each(table, factory, service),
        _sessions(table), column("usd"), column("joules"), finished,
    )  # fmt: skip
    kept = (made.output_tokens > 0) & (made.input_tokens > 0) & ~np.isnan(made.e2e_s) & (made.service >= 0)
    if not kept.any():
        raise InputError(f"{place}: no request in it ended")
    lost = int((~kept).sum())
    requests, _ = by_arrival(made.rows(kept))
    inside = "preemptions" in table.column_names  # of `run --requests`: what the engine alone knows
    return Live(requests, place, 0, (("that failed or did not end", lost),) if lost else (), inside=inside, timed=True)


def _of_each(table: pa.Table, factory: Factory, service: str | None) -> NDArray[np.int64]:
    if service is not None or "service" not in table.column_names:
        return np.full(table.num_rows, service_of(factory, service), np.int64)
    place = {s.name: i for i, s in enumerate(factory.services)}
    found = np.array([place.get(name, -1) for name in table["service"].to_pylist()], np.int64)
    if not (found >= 0).any():
        raise InputError(f"none of its requests asks {' or '.join(place)}: --service says who is meant")
    return found


def _sessions(table: pa.Table) -> NDArray[np.int64]:
    from tokenworks.rehearsal.live.from_usage import sessions

    return sessions(table["session"].to_pylist() if "session" in table.column_names else [None] * table.num_rows)


def _numbers(table: pa.Table, name: str) -> NDArray[np.float64]:
    if name not in table.column_names:
        return np.full(table.num_rows, np.nan)
    return np.asarray(table[name].cast("float64").to_numpy(zero_copy_only=False), np.float64)


def _whole(values: NDArray[np.float64]) -> NDArray[np.int64]:
    return np.nan_to_num(values).astype(np.int64)
