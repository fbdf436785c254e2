"""Requests of the twin as usage events, in bulk: an Arrow table in the ledger's columns, without a loop over requests."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

import numpy as np
from numpy.typing import NDArray

from tokenworks.errors import InputError
from tokenworks.events.ledger_events import USAGE_COLUMNS
from tokenworks.events.requests import Requests
from tokenworks.twin.cell import FINISHED, IN_SYSTEM, TIMED_OUT, Departed

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
    first_seq: int = 0


def usage_table(
    key: RunKey,
    requests: Requests,
    some: Departed,
    columns: Mapping[str, Any] | None = None,
    cost_micro_usd: Ints | None = None,
) -> pa.Table:
    """One usage event per request of ``some``, in their order; columns are `USAGE_COLUMNS`. ``requests`` are all of the run.

    Finished requests are final. Those still in the system are partial, with the tokens that they got so far, and no
    input tokens (null: not known) before their first. Timed-out and rejected ones failed and took no tokens. Energy and cost are
    null where nothing was allocated. ``columns`` (runs, agents, steps …) take the place of those made here. Raises InputError
    where names are missing for a service or tenant.
    """
    import pyarrow as pa

    came = some.number
    _check(key, requests)
    made = {**_names(key, requests, came), **_tokens(requests, some), **_state(key, some)}
    for name, values in (
        ("energy_uj", None if some.shares is None else some.shares.energy_uj),
        ("cost_micro_usd", cost_micro_usd),
    ):
        made[name] = pa.nulls(len(came), pa.int64()) if values is None else values
    for name, values in (columns or {}).items():
        made[name] = pa.array(values)
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


def _check(key: RunKey, requests: Requests) -> None:
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


def _tokens(requests: Requests, some: Departed) -> dict[str, Any]:
    """Disjoint buckets. A request without a first token has no input yet, or never had."""
    import pyarrow as pa

    log, began = some.log, some.log.first_token >= 0
    cached = np.where(began, log.cached, 0).astype(np.int64)
    fresh = np.where(began, requests.input_tokens[some.number] - cached, 0)
    unknown = (log.status == IN_SYSTEM) & ~began
    return {
        "input_fresh": pa.array(fresh, mask=unknown), "cache_read": pa.array(cached, mask=unknown), "cache_write": 0,
        "output_visible": log.produced.astype(np.int64), "output_reasoning": 0, "output_tool": 0,
    }  # fmt: skip


def _state(key: RunKey, some: Departed) -> dict[str, Any]:
    """When, and how it ended; what is in the system yet is seen at the end of the run."""
    import pyarrow as pa

    log = some.log
    ended, done = log.status != IN_SYSTEM, log.status == FINISHED
    failed = ended & ~done
    assert not (failed & (log.first_token >= 0) & (log.status == TIMED_OUT)).any()  # who got a token waits on
    assert ended.all() or some.end_ticks > 0
    return {
        "time_us": key.start_us + np.where(ended, log.finish, some.end_ticks) // TICKS_PER_US,
        "usage_status": pa.array(["partial", "final"]).take(pa.array(ended.astype(np.int8))),
        "final": done,
        "failed": failed,
        "ttft_us": pa.array((log.first_token - log.arrival) // TICKS_PER_US, mask=log.first_token < 0),
        "duration_us": pa.array((log.finish - log.arrival) // TICKS_PER_US, mask=~ended),
    }
