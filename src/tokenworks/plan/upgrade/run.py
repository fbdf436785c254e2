"""Rehearses what newer systems would give a factory, on each basis.

First a layout is chosen for each system: of each service the tensor-parallel degrees of today and these divided by 2, 4
and 8 are rehearsed on about as many GPUs as today; of those that meet its objectives the one that sustains most stays.
Then come the four bases. At the same GPUs, power and dollars demand grows with capacity, so that every workload stays the
share of what its service sustains that it is today; at the same demand as many systems are taken as keep that share.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field

from tokenworks import catalog
from tokenworks.errors import CatalogError, InputError
from tokenworks.plan.sweep.figures import IMPOSSIBLE, Row, figures
from tokenworks.plan.upgrade.candidates import projected
from tokenworks.plan.upgrade.layout import Layout, candidates_of, chosen_of, enough
from tokenworks.plan.upgrade.size import BASES, DEMAND, counts, reference
from tokenworks.plan.upgrade.swap import exchanged, scalable
from tokenworks.rehearsal.demand import rate_of
from tokenworks.rehearsal.run import Rehearsal, rehearse
from tokenworks.spec.demand import Scale
from tokenworks.spec.factory import Factory
from tokenworks.twin.spread import Crew, Stop, spread

FULLEST = 0.85  # share of the sustainable rate that an overloaded service is planned for
HOURS_YEAR = 8766.0


@dataclass(frozen=True)
class Case:
    """One system on one basis. ``row``: figures of its rehearsal, or the reason why it cannot be."""

    system: str
    basis: str
    row: Row
    count: int = 0
    gpus: int = 0
    racks: float = 0.0
    nameplate_w: float = 0.0  # IT
    price_usd: float = 0.0  # of the catalogue
    layout: Layout = ()
    notes: tuple[str, ...] = field(default=())

    @property
    def projected(self) -> bool:
        return projected(self.system)

    @property
    def built(self) -> bool:
        return bool(self.row["state"] != IMPOSSIBLE)


@dataclass(frozen=True)
class Upgrade:
    """Today's factory and what each system would make of it."""

    factory: str
    services: tuple[str, ...]
    today: Case
    cases: tuple[Case, ...]

    def payback_years(self, case: Case) -> float | None:
        """Price over what is saved a year in cash (all but depreciation) at the same demand, today's systems being paid for
        and sold for nothing; None where nothing is saved, or where the demand is another one."""
        if case.basis != DEMAND or not case.built:
            return None
        saved = (self.today.row["cash_usd_h"] - case.row["cash_usd_h"]) * HOURS_YEAR
        return case.price_usd / saved if saved > 0 else None


@dataclass(frozen=True)
class _Job:
    system: str
    basis: str
    counts: tuple[int, ...]
    layout: Layout
    scales: tuple[Scale | None, ...]


@dataclass(frozen=True)
class _Task:
    factory: Factory
    job: _Job


def upgrade(
    factory: Factory,
    to: Sequence[str],
    crew: Crew,
    say: Callable[[str], None] = lambda _: None,
    stop: Stop = lambda: False,
) -> Upgrade | None:
    """None once ``stop`` says so. Raises InputError where the factory itself cannot be rehearsed."""
    say("rehearsing the factory of today")
    done = rehearse(factory, idleness=False)
    names = [s.name for s in factory.services]
    sustained = [done.sustainable_s[names.index(load.service)] for load in factory.workload]
    rates = [rate_of(load, s) for load, s in zip(factory.workload, sustained, strict=True)]
    shares = [min(r / s, 1.0) if r <= s else FULLEST for r, s in zip(rates, sustained, strict=True)]
    open_ended = [scalable(load) for load in factory.workload]
    same = tuple(Scale(kind="sustainable", value=u) if o else None for u, o in zip(shares, open_ended, strict=True))
    fixed = tuple(Scale(kind="rate", value=r) if o else None for r, o in zip(rates, open_ended, strict=True))
    tried = [_Job(name, "layout", reference(factory, name), x, same) for name in to for x in candidates_of(factory)]
    rows = _rehearsed(factory, tried, crew, say, stop, "layouts")
    if rows is None:
        return None
    jobs, cases = list[_Job](), list[Case]()
    for name in to:
        layout, chosen = chosen_of(factory, {job.layout: row for job, row in rows.items() if job.system == name})
        for basis in BASES:
            try:
                wanted = (
                    enough(factory, name, chosen, rates, shares) if basis == DEMAND else counts(factory, name, basis)
                )
                jobs.append(_Job(name, basis, wanted, layout, fixed if basis == DEMAND else same))
            except InputError as error:
                cases.append(Case(name, basis, {"state": IMPOSSIBLE, "reason": str(error)}))
    found = _rehearsed(factory, jobs, crew, say, stop, "cases")
    if found is None:
        return None
    cases += [_case(job, row) for job, row in found.items()]
    order = {(name, basis): i for i, (basis, name) in enumerate((b, n) for b in BASES for n in to)}
    today = _case(_Job("today", "today", tuple(s.count for s in factory.systems), (), same), _row(done), factory)
    return Upgrade(factory.name, tuple(names), today, tuple(sorted(cases, key=lambda c: order[c.system, c.basis])))


def _rehearsed(
    factory: Factory, jobs: list[_Job], crew: Crew, say: Callable[[str], None], stop: Stop, what: str
) -> Mapping[_Job, Row] | None:
    rows: dict[int, Row] = {}
    for number, row in spread(_work, [_Task(factory, job) for job in jobs], crew, stop):
        rows[number] = row
        say(f"rehearsed {len(rows)} of {len(jobs)} {what}")
    return {job: rows[i] for i, job in enumerate(jobs)} if len(rows) == len(jobs) else None


def _work(task: _Task) -> Row:
    job = task.job
    try:
        made, notes = exchanged(task.factory, job.system, job.counts, job.layout, job.scales)
        return {**_row(rehearse(made, idleness=False)), "notes": notes}
    except (InputError, CatalogError) as error:
        line = str(error).splitlines()[0]
        return {"state": IMPOSSIBLE, "reason": line.partition("  ")[2] or line}


def _row(done: Rehearsal) -> Row:
    """Figures, and the cash that an hour takes: all cost but depreciation."""
    money = done.result.money
    written_off = sum(part.value for part in money.parts if part.label == "depreciation")
    return {**figures(done.result), "cash_usd_h": (money.total_usd - written_off) / done.result.horizon_s * 3600.0}


def _case(job: _Job, row: Row, today: Factory | None = None) -> Case:
    """What stands there: of ``today`` the factory's own systems."""
    kinds = [s.system for s in today.systems] if today else [job.system] * len(job.counts)
    entries = [(catalog.load("systems", kind), count) for kind, count in zip(kinds, job.counts, strict=True)]

    def total(key: str) -> float:
        return float(sum(float(entry[key]) * count for entry, count in entries))

    notes = tuple(row.get("notes", ()))
    kept = {key: value for key, value in row.items() if key != "notes"}
    name = " + ".join(dict.fromkeys(kinds))
    return Case(
        name, job.basis, kept, sum(job.counts), int(total("gpus")), total("racks"), total("system_max_w"),
        total("price_usd"), job.layout, notes,
    )  # fmt: skip
