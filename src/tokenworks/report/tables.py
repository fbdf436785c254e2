"""Requests and timelines as Arrow tables and Parquet files."""

from __future__ import annotations

from collections.abc import Sequence
from typing import TYPE_CHECKING

import numpy as np
from numpy.typing import NDArray

from tokenworks.events.requests import Requests
from tokenworks.events.results import RunResult
from tokenworks.physics.worker_model import TICKS_PER_S
from tokenworks.report.shares import request_shares
from tokenworks.twin.cell import FINISHED, RequestLog

if TYPE_CHECKING:
    import pyarrow as pa

# in the order of the status codes in twin/cell.py
STATUS_NAMES = ("waiting", "finished", "rejected: queue full", "rejected: too long", "timed out", "in system")


def requests_table(requests: Requests, log: RequestLog, result: RunResult) -> pa.Table:
    """One row per request, in seconds, tokens, board joules and dollars; null where there is no session or tenant, or where
    a latency did not come to be. The file can be played again as a trace."""
    import pyarrow as pa

    ends = log.status == FINISHED
    started = log.first_token >= 0
    ttft = (log.first_token - log.arrival) / TICKS_PER_S
    decode = (log.finish - log.first_token) / TICKS_PER_S
    gaps = log.produced - 1
    usd, joules = request_shares(requests, log, result)
    return pa.table(
        {
            "arrival_s": log.arrival / TICKS_PER_S,
            "ttft_s": _where(ttft, started),
            "tpot_s": _where(decode / np.maximum(1, gaps), ends & (gaps > 0)),
            "e2e_s": _where((log.finish - log.arrival) / TICKS_PER_S, ends),
            "input_tokens": requests.input_tokens,
            "cached_tokens": log.cached,
            "output_tokens": log.produced,
            "joules": joules,
            "usd": usd,
            "service": _words(requests.service, [s.name for s in result.services]),
            "status": _words(log.status, STATUS_NAMES),
            "worker": _where(log.worker, log.worker >= 0),
            "preemptions": log.preemptions,
            "session": _where(requests.session, requests.session >= 0),
            "tenant": _where(requests.tenant, requests.tenant >= 0),
        }
    )


def timeline_table(result: RunResult) -> pa.Table:
    """One row per service and bucket; the watts of IT and facility are the whole site's."""
    import pyarrow as pa

    t, count = result.timeline, len(result.services)
    by_service = ("arrived_s", "output_tokens_s", "waiting", "running", "kv_use", "board_w")
    return pa.table(
        {
            "time_s": np.tile(t.time_s, count),
            "service": _words(np.repeat(np.arange(count), len(t.time_s)), [s.name for s in result.services]),
            **{name: getattr(t, name).ravel() for name in by_service},
            "site_it_w": np.tile(t.it_w, count),
            "site_facility_w": np.tile(t.facility_w, count),
        }
    )


def _where(values: NDArray[np.generic], known: NDArray[np.bool_]) -> pa.Array:
    import pyarrow as pa

    return pa.array(values, mask=~known)


def _words(codes: NDArray[np.integer], names: Sequence[str]) -> pa.Array:
    import pyarrow as pa

    return pa.DictionaryArray.from_arrays(pa.array(codes.astype(np.int32)), pa.array(list(names), pa.string()))


def parquet_bytes(table: pa.Table) -> bytes:
    """A table as a Parquet file."""
    import pyarrow as pa
    import pyarrow.parquet as parquet

    sink = pa.BufferOutputStream()
    parquet.write_table(table, sink, compression="zstd")
    written: bytes = sink.getvalue().to_pybytes()
    return written
