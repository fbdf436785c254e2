"""What a run yields: schema only. The twin fills the physical part, economics the money, `run` joins them."""

from __future__ import annotations

from dataclasses import dataclass, field

import numpy as np
from numpy.typing import NDArray


@dataclass(frozen=True)
class Interval:
    """A prediction with its 80% interval."""

    value: float
    low: float
    high: float


@dataclass(frozen=True)
class Latency:
    """Distribution of one latency in seconds. ``bin_edges_s`` (k + 1) and ``bin_counts`` (k) carry the CDF."""

    count: int
    mean_s: float
    p50_s: float
    p90_s: float
    p95_s: float
    p99_s: float
    max_s: float
    bin_edges_s: NDArray[np.float64]
    bin_counts: NDArray[np.int64]


@dataclass(frozen=True)
class ServiceResult:
    """One service over the whole run."""

    name: str
    gpus: int
    workers: int
    arrived: int
    finished: int
    rejected_queue_full: int
    rejected_too_long: int
    timed_out: int
    in_system: int  # at the end of the horizon
    within_slo: int  # finished requests that met every SLO of the service (goodput)
    input_tokens: int  # of finished requests
    cached_tokens: int
    output_tokens: int  # produced, also by unfinished requests
    preemptions: int
    ttft: Latency
    tpot: Latency
    e2e: Latency
    busy_share: float  # share of worker time spent stepping
    mean_batch: float  # sequences per decode step
    kv_use: float  # mean share of KV blocks in use
    mean_waiting: float
    dynamic_j: float
    static_j: float  # idle and active static draw, board scope
    saturated: bool
    sustainable_requests_s: float  # 0 when not estimated
    slo_ttft_s: float = 0.0  # p95 objectives; 0 = none
    slo_tpot_s: float = 0.0
    bottleneck: str = ""
    ttft_p95: Interval | None = None  # seconds
    tpot_p95: Interval | None = None
    sustainable: Interval | None = None  # requests per second


@dataclass(frozen=True)
class Timeline:
    """Means per bucket; arrays of shape (buckets,) or (services, buckets)."""

    time_s: NDArray[np.float64]  # start of each bucket
    bucket_s: float
    arrived_s: NDArray[np.float64]  # (services, buckets) requests per second
    output_tokens_s: NDArray[np.float64]  # (services, buckets)
    waiting: NDArray[np.float64]  # (services, buckets)
    running: NDArray[np.float64]  # (services, buckets)
    kv_use: NDArray[np.float64]  # (services, buckets) share
    board_w: NDArray[np.float64]  # (services, buckets)
    it_w: NDArray[np.float64]  # (buckets,)
    facility_w: NDArray[np.float64]  # (buckets,)
    board_parts_w: NDArray[np.float64]  # (4, buckets) prefill, decode, static while stepping, idle; sum to the boards


@dataclass(frozen=True)
class Share:
    """One labelled part of a whole (a dollar, a joule), for bars, waterfalls and Sankeys."""

    label: str
    value: float
    parent: str = ""


@dataclass(frozen=True)
class Energy:
    """Joules over the horizon, from the grid inwards. Scopes are never mixed."""

    board_j: float
    it_j: float
    facility_j: float
    parts: tuple[Share, ...]  # facility → losses, cooling, IT → host, fabric, board → prefill, decode, static, idle


@dataclass(frozen=True)
class Money:
    """Dollars over the horizon."""

    total_usd: float
    parts: tuple[Share, ...]  # capex, rent, energy, demand charge, colocation, staff …
    usd_per_mtok_output: float  # all cost over output tokens
    usd_per_mtok_blended: float  # all cost over input + output tokens
    usd_per_mtok_input: float  # prefill and the reading of computed prompts, over computed input
    usd_per_mtok_cached: float  # reload and the reading of cached prompts, over cached input
    tokens_per_usd: float
    by_service_usd: tuple[float, ...]  # each for its GPUs, idle time included; unused GPUs belong to nobody
    allocation: tuple[Share, ...] = ()  # by purpose and service (the parent), and unused GPUs
    idle_usd: float = 0.0  # idle rows and unused GPUs: the price of idleness
    usd_per_mtok_decode: float = 0.0  # cost of decode time alone over output tokens


@dataclass(frozen=True)
class Assumption:
    """A fact that the run rests on."""

    what: str
    value: str
    source: str
    date: str
    status: str  # measured, published, claim, projection, assumed


@dataclass(frozen=True)
class WhatIf:
    """A change tried in the twin, and what it did."""

    label: str
    effects: tuple[tuple[str, float], ...]  # (figure, relative change)
    broken: tuple[str, ...] = ()  # what the changed factory does not do; empty: it does what is asked of it
    helps: bool = True


@dataclass(frozen=True)
class Scaled:
    """A pool whose replicas followed the demand, beside the same run with all of them up (``fixed_…``)."""

    service: str
    pool: str  # workers, prefill, decode
    predictor: str
    least: int
    most: int
    cold_start_s: float
    cold_starts: int
    ready: NDArray[np.float64]  # (buckets,) mean replicas that took requests
    loading: NDArray[np.float64]  # (buckets,)
    mean_up: float  # replicas that were not off
    gpu_hours_up: float
    gpu_hours: float  # of all replicas: what is owned costs anyway
    usd_up: float  # for the hours up, at the price of an hour in this run
    usd: float
    off_j: float  # what the GPUs that are off would draw if they stayed powered; in no other figure
    board_j: float  # of replicas that are up
    fixed_board_j: float
    ttft_p99_s: float  # at the engine
    fixed_ttft_p99_s: float
    within_slo: float  # of the requests that arrived
    fixed_within_slo: float


@dataclass(frozen=True)
class RunResult:
    """Everything about one run of one factory."""

    factory: str
    title: str
    horizon_s: float
    seed: int
    gpus: int
    services: tuple[ServiceResult, ...]
    timeline: Timeline
    energy: Energy
    money: Money
    power_budget_w: float  # 0: none; of several by time the one that is used most
    power_budgets: tuple[tuple[float, float], ...]  # (seconds from the start, watts from then on; 0: none)
    power_scope: str
    peak_power_w: float  # in the scope of the budget, while it holds
    mean_power_w: float
    utilisation: float  # busy share over all GPUs
    output_tokens_s: Interval
    tokens_s_user: Interval
    tokens_per_j: Interval  # board
    usd_per_mtok: Interval  # output
    tokens_per_j_it: float
    tokens_per_j_facility: float
    carbon_kg: float
    water_l: float
    stranded_w: float
    overloaded: bool
    interrupted: bool
    trace_note: str  # how the workload was made from its trace, the price of idleness
    assumptions: tuple[Assumption, ...] = ()
    what_ifs: tuple[WhatIf, ...] = ()  # that were asked for
    advice: tuple[WhatIf, ...] = ()  # the best of those tried, the best first
    advice_note: str = ""  # how they were tried; empty: none was
    files: tuple[str, ...] = field(default=())
    accuracy_note: str = ""
    nameplate_w: float = 0.0  # all systems at their maximum, in the scope of the budget
    planned_w: float = 0.0  # the percentile of the drawn power that is planned for, likewise
    planned_percentile: float = 0.0
    mean_power_band: Interval | None = None  # in the scope of the budget
    tokens_per_j_it_band: Interval | None = None
    tokens_per_j_facility_band: Interval | None = None
    scaled: tuple[Scaled, ...] = ()  # pools whose replicas follow the demand
