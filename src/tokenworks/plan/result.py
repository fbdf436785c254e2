"""What a plan is: schema only."""

from __future__ import annotations

from dataclasses import dataclass, field


@dataclass(frozen=True)
class Setup:
    """How one service is served."""

    service: str
    model: str
    mode: str  # aggregated, disaggregated
    engine: str
    weights: str
    kv: str
    system: str
    pay: str  # own, rent
    degrees: str  # "tp 2, dp 4, ep 8", with the clock where it is lower; of decode where prefill is apart
    prefill_degrees: str  # "" where it is not
    workers: int
    prefill_workers: int
    max_seqs: int
    gpus: int
    capacity_s: float  # requests per second that all workers sustain
    rate_s: float
    worker_gpus: int  # of one; of decode where prefill is apart
    prefill_worker_gpus: int
    slowed: bool = False  # some pool runs below its full clock
    settings: str = ""  # token budget, routing, speculation, caches
    placement: str = ""  # where its workers stand and what joins them; "": the network is not known

    @property
    def text(self) -> str:
        """In a line."""
        apart = f"{self.prefill_workers} × prefill ({self.prefill_degrees}) + " if self.prefill_degrees else ""
        pays = ", rented" if self.pay == "rent" else ""
        what = f"{self.workers} × {'decode ' if apart else ''}({self.degrees})"
        return f"{self.system}{pays}, {self.engine}, {self.weights}/kv {self.kv}, {apart}{what}"


@dataclass(frozen=True)
class Systems:
    """Servers or racks of one kind in a plan."""

    system: str
    pay: str
    count: int
    spares: int  # of them
    have: int  # of them there already
    gpus: int  # of all


@dataclass(frozen=True)
class Measured:
    """A limit, what the rehearsal measured, and its 80% interval."""

    name: str
    unit: str
    value: float
    limit: float
    low: float
    high: float
    held: bool

    @property
    def use(self) -> float:
        """Share of the limit; 1 = reached."""
        return self.value / self.limit if self.limit else 0.0


@dataclass(frozen=True)
class Option:
    """A fleet that was rehearsed."""

    setups: tuple[Setup, ...]
    systems: tuple[Systems, ...]
    figures: dict[str, float]  # usd_h, usd_per_mtok, tokens_per_joule, … as measured after the warm-up
    predicted: dict[str, float]  # the same by the wide pass
    limits: tuple[Measured, ...]
    missed: tuple[tuple[str, float, float], ...]  # (what, measured, limit); empty: it does all that is asked
    held_share: float  # of draws of the model's errors in which all latency objectives hold
    usd_per_mtok_low: float
    usd_per_mtok_high: float  # 80% interval
    attempts: int
    requests: int  # rehearsed
    confirmed: bool  # the capacity of its setups is what the twin sustains, not what the wide pass says
    yaml: str = ""  # the factory file

    @property
    def text(self) -> str:
        return "; ".join(f"{s.service}: {s.text}" if len(self.setups) > 1 else s.text for s in self.setups)


@dataclass(frozen=True)
class Sensitivity:
    """One bar of the tornado: the objective where an input is lower or higher."""

    name: str
    low: float | None  # value of the first objective; none: nothing keeps all limits then
    high: float | None
    low_said: str
    high_said: str
    low_same: bool  # the answer stays the same
    high_same: bool


@dataclass(frozen=True)
class Change:
    """Something that could be changed, and what the best fleet would then be, by the wide pass."""

    name: str
    value: float  # of the first objective
    gain: float  # share by which it gets better
    text: str


@dataclass(frozen=True)
class Refinement:
    """A setting that was tried in the twin around a fleet."""

    of: str  # the fleet: "6 × hgx-b200, disaggregated"
    service: str
    text: str  # "token budget 8,192 → 4,096"
    before: float  # first objective of the fleet as it then stood
    after: float | None  # with the setting; none: it was not rehearsed
    kept: bool
    said: str  # why not, "" where it was kept


@dataclass(frozen=True)
class Relaxation:
    """A way out of an infeasible demand: new values of limits, and what the cheapest fleet then costs."""

    limits: tuple[tuple[str, str, float, float], ...]  # (name, unit, limit, value that it takes)
    usd_h: float
    usd_per_mtok: float
    text: str


@dataclass(frozen=True)
class Point:
    """A configuration on the charts."""

    series: str
    tokens_s_user: float
    tokens_s_mw: float
    usd_per_mtok: float
    text: str
    kept: bool  # it keeps all limits


@dataclass(frozen=True)
class Plan:
    """The answer to a demand."""

    demand: str
    objectives: tuple[str, ...]
    robust: bool
    best: Option | None  # none: infeasible
    front: tuple[Option, ...]  # of several objectives, by the first
    tried: tuple[Option, ...]  # everything that was rehearsed, the best first
    runner_up: Option | None
    binding: tuple[Change, ...]  # limits that hold the objective back, and what a little more of each would give
    tornado: tuple[Sensitivity, ...]
    changes: tuple[Change, ...]  # the most rewarding first
    relaxations: tuple[Relaxation, ...]
    conflict: tuple[str, ...]  # limits that nothing keeps, each by itself; else a minimal set that exclude each other
    alone: bool  # the former
    points: tuple[Point, ...]
    configurations: int
    shapes: int
    left_out: tuple[tuple[str, int], ...]
    exact: bool
    gap: float
    notes: tuple[str, ...] = field(default=())
    refined: tuple[Refinement, ...] = field(default=())  # settings that were tried around the best fleets
