"""A rehearsal's events as a ledger takes them: what the run is called there, its segments and its single events."""

from __future__ import annotations

from collections.abc import Iterable, Iterator
from typing import TYPE_CHECKING

import msgspec

from tokenworks.events.ledger_events import CostEvent
from tokenworks.spec.factory import Factory
from tokenworks.twin.cell import TwinOptions

if TYPE_CHECKING:
    import pyarrow as pa

SEGMENT_ROWS = TwinOptions.chunk_rows
RUNS = ("root_run", "run", "parent_run")  # columns that name runs of agents
SHORT = 8  # letters of the run's hash before the names of its agents' runs


def source_of(factory: Factory) -> str:
    return f"twin/{factory.name}/{factory.run.seed}"


def run_key(factory: Factory) -> str:
    """What a run of this factory is called in a ledger: the same file and seed make the same run, whatever is recorded of it and
    however it is served."""
    return f"{source_of(factory)}/{_hash_of(factory)}"


def _hash_of(factory: Factory) -> str:
    from hashlib import sha256

    same = factory.model_copy(update={"run": factory.run.model_copy(update={"record_requests": False})})
    return sha256(same.model_dump_json(exclude={"serve"}).encode()).hexdigest()[:16]


def segments_of(factory: Factory, usage: pa.Table) -> Iterator[pa.Table]:
    """Usage events of a run: cut where the twin cuts its chunks, whatever the speed of either."""
    before = _before_runs(factory)
    for start in range(0, usage.num_rows, SEGMENT_ROWS):
        yield _of_this_run(usage.slice(start, SEGMENT_ROWS), before)


def singles_of(factory: Factory, tools: Iterable[CostEvent]) -> Iterator[CostEvent]:
    """Cost events of its tools."""
    before = _before_runs(factory)
    for one in tools:
        names = {name: before + getattr(one, name) for name in RUNS if getattr(one, name)}
        yield msgspec.structs.replace(one, **names)


def _before_runs(factory: Factory) -> str:
    """Every rehearsal numbers its agents' runs from 0; in a ledger of several they must not become one."""
    return f"{_hash_of(factory)[:SHORT]}/"


def _of_this_run(usage: pa.Table, before: str) -> pa.Table:
    import pyarrow.compute as pc

    for name in RUNS:
        names = usage[name]
        named = pc.if_else(pc.equal(names, ""), "", pc.binary_join_element_wise(before, names, ""))
        usage = usage.set_column(usage.schema.get_field_index(name), name, named)
    return usage
