"""A run of the twin as usage events, in bulk: one Arrow table in the ledger's columns, without a loop over requests."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Any

import numpy as np
from numpy.typing import NDArray

from tokenworks.errors import InputError
from tokenworks.events.ledger_events import USAGE_COLUMNS
from tokenworks.events.requests import Requests
from tokenworks.twin.cell import FINISHED, IN_SYSTEM, TIMED_OUT, WAITING, Allocation, RequestLog

if TYPE_CHECKING:
    import pyarrow as pa

TICKS_PER_US = 10**5
Ints = NDArray[np.int64]


@dataclass(frozen=True)
class RunKey:
    """What a run's events are called, and when its clock began."""

    source: str  # with the number of a request, the key of its event
    services: tuple[str, ...]
    models: tuple[str, ...]  # that each service answers with
    tenants: tuple[str, ...] = ("",)
    start_us: int = 0  # since 1970 UTC
    end_us: int = 0  # end of the run on its own clock: the time of what was still in the system
    first_seq: int = 0
    columns: Mapping[str, Any] = field(
        default_factory=dict
    )  # of requests, instead of those made here: runs, agents, steps …


def usage_table(
    key: RunKey,
    requests: Requests,
    log: RequestLog,
    shares: Allocation | None = None,
    cost_micro_usd: Ints | None = None,
) -> pa.Table:
    """One usage event per request that came, in order of the requests; columns are `USAGE_COLUMNS`.

    Finished requests are final. Those still in the system are partial, with the tokens that they got so far, and no
    input tokens (null: not known) before their first. Timed-out and rejected ones failed and took no tokens. Energy and cost are
    null where nothing was allocated. Raises InputError where names are missing for a service or tenant.
    """
    import pyarrow as pa

    came = np.flatnonzero(log.status != WAITING)
    _check(key, requests, log)
    made = {**_names(key, requests, came), **_tokens(requests, log, came), **_state(key, log, came)}
    for name, values in (
        ("energy_uj", None if shares is None else shares.energy_uj),
        ("cost_micro_usd", cost_micro_usd),
    ):
        made[name] = pa.nulls(len(came), pa.int64()) if values is None else values[came]
    for name, values in key.columns.items():
        made[name] = pa.array(values).take(pa.array(came))
    return _table(made, len(came))


def _table(made: Mapping[str, Any], count: int) -> pa.Table:
    """Columns in the ledger's order and types; those that nobody made are empty strings."""
    import pyarrow as pa

    if unknown := set(made) - set(USAGE_COLUMNS):
        raise InputError(f"usage events have no column {sorted(unknown)[0]!r}")
    kinds = {name: pa.type_for_alias(kind) for name, kind in USAGE_COLUMNS.items()}
    columns = []
    for name, kind in kinds.items():
        values = made.get(name, "")
        column = pa.array(values) if isinstance(values, np.ndarray) else values
        columns.append(column.cast(kind) if isinstance(column, pa.Array) else pa.repeat(pa.scalar(values, kind), count))
    return pa.table(columns, names=list(kinds))


def _check(key: RunKey, requests: Requests, log: RequestLog) -> None:
    if len(requests) != len(log.status):
        raise InputError(f"{len(requests)} requests but a log of {len(log.status)}: events need them whole")
    for what, index, names in (("service", requests.service, key.services), ("tenant", requests.tenant, key.tenants)):
        if len(index) and int(index.max()) >= len(names):
            raise InputError(f"requests of {what} number {int(index.max())}, but names for {len(names)} only")
    if len(key.models) != len(key.services):
        raise InputError(f"{len(key.services)} services but {len(key.models)} models")


def _names(key: RunKey, requests: Requests, came: Ints) -> dict[str, Any]:
    import pyarrow as pa

    number = pa.array(came).cast(pa.string())
    return {
        "seq": np.arange(key.first_seq, key.first_seq + len(came)), "source": key.source, "id": number, "sign": 1,
        "tenant": _named(key.tenants, requests.tenant[came]), "service": _named(key.services, requests.service[came]),
        "model": _named(key.models, requests.service[came]), "step": 0, "operation": "chat", "attempt": 1,
        "usage_source": "engine",
    }  # fmt: skip


def _named(names: Sequence[str], index: NDArray[np.integer]) -> pa.Array:
    """The names of indices; −1 is nobody."""
    import pyarrow as pa

    return pa.array([*names, ""], pa.string()).take(pa.array(np.where(index < 0, len(names), index)))


def _tokens(requests: Requests, log: RequestLog, came: Ints) -> dict[str, Any]:
    """Disjoint buckets. A request without a first token has no input yet, or never had."""
    import pyarrow as pa

    status, began = log.status[came], log.first_token[came] >= 0
    cached = np.where(began, log.cached[came], 0).astype(np.int64)
    fresh = np.where(began, requests.input_tokens[came] - cached, 0)
    unknown = (status == IN_SYSTEM) & ~began
    return {
        "input_fresh": pa.array(fresh, mask=unknown), "cache_read": pa.array(cached, mask=unknown), "cache_write": 0,
        "output_visible": log.produced[came].astype(np.int64), "output_reasoning": 0, "output_tool": 0,
    }  # fmt: skip


def _state(key: RunKey, log: RequestLog, came: Ints) -> dict[str, Any]:
    """When, and how it ended."""
    import pyarrow as pa

    status, arrival, first, finish = (x[came] for x in (log.status, log.arrival, log.first_token, log.finish))
    ended = status != IN_SYSTEM
    done = status == FINISHED
    failed = ended & ~done
    assert not (failed & (first >= 0) & (status == TIMED_OUT)).any()  # who got a token waits on
    return {
        "time_us": key.start_us + np.where(ended, finish // TICKS_PER_US, key.end_us),
        "usage_status": pa.array(["partial", "final"]).take(pa.array(ended.astype(np.int8))),
        "final": done,
        "failed": failed,
        "ttft_us": pa.array((first - arrival) // TICKS_PER_US, mask=first < 0),
        "duration_us": pa.array((finish - arrival) // TICKS_PER_US, mask=~ended),
    }
