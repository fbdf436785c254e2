"""What a rehearsal metered: usage events of every call with its share of joules and dollars."""

from __future__ import annotations

from collections.abc import Collection, Iterable, Iterator
from dataclasses import dataclass, replace
from decimal import Decimal
from typing import TYPE_CHECKING

import numpy as np

from tokenworks.economics.request_costs import Rates, RequestCosts, request_costs
from tokenworks.events.ledger_events import BUCKETS, MICRO, CostEvent
from tokenworks.events.results import RunResult
from tokenworks.physics.worker_model import TICKS_PER_S
from tokenworks.rehearsal.agents import AgentDemand
from tokenworks.rehearsal.events import RunKey, usage_table
from tokenworks.rehearsal.plant import Plant
from tokenworks.rehearsal.tools import tool_costs
from tokenworks.spec.factory import Factory
from tokenworks.twin.allocation import with_workers
from tokenworks.twin.cell import FINISHED, IN_SYSTEM, Allocation, Departed, TwinOptions, TwinResult
from tokenworks.twin.departures import joined

if TYPE_CHECKING:
    import pyarrow as pa

BY_THE_JOULE = ("energy", "demand charge")
SEGMENT_ROWS = TwinOptions.chunk_rows
BEGIN_US = 1_767_225_600 * MICRO  # the virtual clock begins on 2026-01-01 UTC


@dataclass(frozen=True)
class Metered:
    """Usage events of a run, in the order in which its requests left, and what its factory cost beside them."""

    usage: pa.Table  # USAGE_COLUMNS
    tools: tuple[CostEvent, ...]  # that ran before calls of agents
    costs: RequestCosts  # rows of requests as in ``usage``
    unused_micro: int  # of GPUs that no service uses


@dataclass(frozen=True)
class Unpriced:
    """Usage events without dollars, which are known once the books are done, and the shares that they go by."""

    tables: tuple[pa.Table, ...]
    shares: tuple[Allocation, ...]  # without rows of workers
    tools: tuple[CostEvent, ...]


def usage_of(made: Plant, demand: AgentDemand, chunks: Iterable[Departed]) -> Unpriced:
    """For a thread beside the twin. Raises AssertionError for requests without shares."""
    factory = made.factory
    key = RunKey(
        source=source_of(factory),
        services=tuple(s.name for s in factory.services),
        models=tuple(s.model for s in factory.services),
        tenants=tenant_names(made, demand),
        start_us=BEGIN_US,
        first_seq=1,
    )
    tables, shares, tools = [], [], list[CostEvent]()
    for chunk in chunks:
        assert chunk.shares is not None
        tables.append(usage_table(key, demand.requests, chunk, _columns(demand, chunk)))
        shares.append(chunk.shares)
        tools += tool_costs(key, f"{run_key(factory)}/tools", demand, chunk)
        key = replace(key, first_seq=key.first_seq + len(chunk))
    return Unpriced(tuple(tables), tuple(shares), tuple(tools))


def metered(made: Plant, twin: TwinResult, events: Unpriced, result: RunResult) -> Metered:
    """The events with their dollars."""
    import pyarrow as pa

    assert twin.allocation is not None
    shares = with_workers(joined(events.shares), twin.allocation)
    gpus = np.array([made.models[model].gpus for model in made.cell.workers])
    costs = request_costs(shares, gpus, _rates(made, twin, shares, result))
    usage = pa.concat_tables(events.tables)
    place = usage.schema.get_field_index("cost_micro_usd")
    usage = usage.set_column(place, "cost_micro_usd", pa.array(costs.requests))
    whole = round(result.money.total_usd * MICRO)
    return Metered(usage, events.tools, costs, whole - costs.total)


def segments_of(usage: pa.Table) -> Iterator[pa.Table]:
    """Usage events of a run as the ledger takes them: cut where the twin cuts its chunks, whatever the speed of either."""
    for start in range(0, usage.num_rows, SEGMENT_ROWS):
        yield usage.slice(start, SEGMENT_ROWS)


def run_key(factory: Factory) -> str:
    """What a run of this factory is called in a ledger: the same file and seed make the same run."""
    from hashlib import sha256

    return f"{source_of(factory)}/{sha256(factory.model_dump_json().encode()).hexdigest()[:16]}"


def source_of(factory: Factory) -> str:
    return f"twin/{factory.name}/{factory.run.seed}"


def ended_runs(usage: pa.Table) -> pa.Table:
    """Events of the runs whose user has seen something."""
    import pyarrow.compute as pc

    seen = pc.unique(usage.filter(usage["final"])["root_run"])
    return usage.filter(pc.is_in(usage["root_run"], seen))


def of_runs(usage: pa.Table, names: Collection[str]) -> tuple[float, float]:
    """(micro-dollars per run, tokens processed per token that users saw) of these runs; zeros where there is none."""
    import pyarrow as pa
    import pyarrow.compute as pc

    theirs = usage.filter(pc.is_in(usage["root_run"], pa.array(sorted(names), pa.string())))
    tokens = sum(pc.sum(theirs[bucket]).as_py() or 0 for bucket in BUCKETS)
    shown = pc.sum(theirs.filter(theirs["final"])["output_visible"]).as_py() or 0
    spent = pc.sum(theirs["cost_micro_usd"]).as_py() or 0
    return spent / max(1, len(names)), tokens / shown if shown else 0.0


def tenant_names(made: Plant, demand: AgentDemand) -> tuple[str, ...]:
    most = int(demand.requests.tenant.max(initial=0))
    return tuple(f"tenant-{number + 1:02d}" for number in range(most + 1))


def _rates(made: Plant, twin: TwinResult, shares: Allocation, result: RunResult) -> Rates:
    """Dollars of the run by GPU second and by joule of the workers' boards, so that they pay for all of it but what GPUs
    that nobody uses cost."""
    horizon_s = Decimal(twin.end_ticks) / TICKS_PER_S
    energy = sum(Decimal(str(part.value)) for part in result.money.parts if part.label in BY_THE_JOULE)
    rest = Decimal(str(result.money.total_usd)) - energy
    joules = Decimal(sum(int(part.sum()) for part in (shares.energy_uj, shares.idle_uj, shares.lost_uj))) / MICRO
    return Rates(max(Decimal(0), rest / (made.gpus * horizon_s)), energy / joules if joules else Decimal(0))


def _columns(demand: AgentDemand, chunk: Departed) -> dict[str, object]:
    """Answers by kind: tokens are made as reasoning, then tool calls, then what is visible; a cut one keeps this order."""
    own = {name: values[chunk.number] for name, values in demand.columns.items()}
    made = chunk.log.produced.astype(np.int64)
    done = chunk.log.status == FINISHED
    reasoning = np.minimum(own["reasoning"], made)
    tool = np.minimum(own["tool"], made - reasoning)
    names = ("root_run", "run", "parent_run", "agent", "purpose", "step", "attempt")
    return {
        **{name: own[name] for name in names},
        "final": own["final"] & done & ~own["unused"],
        "failed": (own["unused"] & done) | ((chunk.log.status != IN_SYSTEM) & ~done),
        "output_reasoning": reasoning,
        "output_tool": tool,
        "output_visible": made - reasoning - tool,
    }
