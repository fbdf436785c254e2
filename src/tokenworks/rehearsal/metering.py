"""What a rehearsal metered: usage events of every call with its share of joules and dollars."""

from __future__ import annotations

from collections.abc import Collection
from dataclasses import dataclass
from decimal import Decimal
from typing import TYPE_CHECKING

import numpy as np

from tokenworks.economics.request_costs import Rates, RequestCosts, request_costs
from tokenworks.events.ledger_events import BUCKETS, MICRO
from tokenworks.events.results import RunResult
from tokenworks.physics.worker_model import TICKS_PER_S
from tokenworks.rehearsal.agents import AgentDemand
from tokenworks.rehearsal.events import TICKS_PER_US, RunKey, usage_table
from tokenworks.rehearsal.plant import Plant
from tokenworks.spec.factory import Factory
from tokenworks.twin.cell import FINISHED, IN_SYSTEM, WAITING, RequestLog, TwinResult

if TYPE_CHECKING:
    import pyarrow as pa

BY_THE_JOULE = ("energy", "demand charge")
BEGIN_US = 1_767_225_600 * MICRO  # the virtual clock begins on 2026-01-01 UTC


@dataclass(frozen=True)
class Metered:
    """Usage events of a run, and what its factory cost beside them."""

    usage: pa.Table  # USAGE_COLUMNS
    costs: RequestCosts
    unused_micro: int  # of GPUs that no service uses


def metered(made: Plant, twin: TwinResult, demand: AgentDemand, result: RunResult) -> Metered:
    """Raises AssertionError where the run kept no log or divided no costs."""
    assert twin.log is not None
    assert twin.allocation is not None
    gpus = np.array([made.models[model].gpus for model in made.cell.workers])
    costs = request_costs(twin.allocation, gpus, _rates(made, twin, result))
    factory = made.factory
    key = RunKey(
        source=source_of(factory),
        services=tuple(s.name for s in factory.services),
        models=tuple(s.model for s in factory.services),
        tenants=tenant_names(made, demand),
        start_us=BEGIN_US,
        end_us=twin.end_ticks // TICKS_PER_US,
        first_seq=1,
        columns=_columns(demand, twin.log),
    )
    usage = usage_table(key, demand.requests, twin.log, twin.allocation, costs.requests)
    whole = round(result.money.total_usd * MICRO)
    return Metered(usage, costs, whole - costs.total)


def run_key(factory: Factory) -> str:
    """What a run of this factory is called in a ledger: the same file and seed make the same run."""
    from hashlib import sha256

    return f"{source_of(factory)}/{sha256(factory.model_dump_json(exclude={'serve'}).encode()).hexdigest()[:16]}"


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


def _rates(made: Plant, twin: TwinResult, result: RunResult) -> Rates:
    """Dollars of the run by GPU second and by joule of the workers' boards, so that they pay for all of it but what GPUs
    that nobody uses cost."""
    horizon_s = Decimal(twin.end_ticks) / TICKS_PER_S
    energy = sum(Decimal(str(part.value)) for part in result.money.parts if part.label in BY_THE_JOULE)
    rest = Decimal(str(result.money.total_usd)) - energy
    assert twin.allocation is not None
    shares = twin.allocation
    joules = Decimal(sum(int(part.sum()) for part in (shares.energy_uj, shares.idle_uj, shares.lost_uj))) / MICRO
    return Rates(max(Decimal(0), rest / (made.gpus * horizon_s)), energy / joules if joules else Decimal(0))


def _columns(demand: AgentDemand, log: RequestLog) -> dict[str, object]:
    """Answers by kind: tokens are made as reasoning, then tool calls, then what is visible; a cut one keeps this order."""
    own = demand.columns
    made = log.produced.astype(np.int64)
    done = log.status == FINISHED
    reasoning = np.minimum(own["reasoning"], made)
    tool = np.minimum(own["tool"], made - reasoning)
    names = ("root_run", "run", "parent_run", "agent", "purpose", "step", "attempt")
    failed = (own["unused"] & done) | (_ended(log) & ~done)
    return {
        **{name: own[name] for name in names},
        "final": own["final"] & done & ~own["unused"],
        "failed": failed,
        "output_reasoning": reasoning,
        "output_tool": tool,
        "output_visible": made - reasoning - tool,
    }


def _ended(log: RequestLog) -> np.typing.NDArray[np.bool_]:
    return np.asarray((log.status != IN_SYSTEM) & (log.status != WAITING), bool)
