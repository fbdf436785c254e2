"""An engine's Prometheus page, as far as its gateway wants to know: requests that it works on, that wait, KV cache in use;
watts and joules of its GPUs.

Names by engine and version; labels are summed up (data-parallel ranks of one engine), of shares the greatest counts.
"""

from __future__ import annotations

import math
from dataclasses import dataclass

from tokenworks.serve.telemetry.prometheus import lines

RUNNING = (
    "vllm:num_requests_running", "sglang:num_running_reqs", "trtllm_num_requests_running", "llamacpp:requests_processing",
)  # fmt: skip
WAITING = (
    "vllm:num_requests_waiting", "sglang:num_queue_reqs", "trtllm_num_requests_waiting", "llamacpp:requests_deferred",
)  # fmt: skip
KV_USED = (
    "vllm:kv_cache_usage_perc", "vllm:gpu_cache_usage_perc", "sglang:token_usage", "trtllm_kv_cache_utilization",
    "llamacpp:kv_cache_usage_ratio",
)  # fmt: skip
WATTS = ("DCGM_FI_DEV_POWER_USAGE",)
MILLIJOULES = ("DCGM_FI_DEV_TOTAL_ENERGY_CONSUMPTION",)
STATIC, IDLE = ("tokenworks_worker_static_joules_total",), ("tokenworks_worker_idle_joules_total",)
SPEED = ("tokenworks_worker_speed",)
BEGINNINGS = (*RUNNING, *WAITING, *KV_USED, *WATTS, *MILLIJOULES, *STATIC, *IDLE, *SPEED)
NAMES = frozenset(BEGINNINGS)
MOST_REQUESTS = 1_000_000  # that an engine can have
MOST_LINES = 10_000  # of these names; reading them holds up everybody


@dataclass(frozen=True, slots=True)
class EngineState:
    """None where the page does not say. ``kv_used``: share of the cache, 0 to 1. ``watts``, ``joules``: of the GPUs that a DCGM
    exporter on the same page names. Emulated workers also say how many of these joules they drew whatever they worked on,
    and how fast their time runs."""

    running: int | None
    waiting: int | None
    kv_used: float | None
    watts: float | None
    joules: float | None = None
    static_joules: float | None = None
    speed: float | None = None

    @property
    def requests(self) -> int | None:
        """That the engine has, by whomever they were sent."""
        known = [n for n in (self.running, self.waiting) if n is not None]
        return sum(known) if known else None


def state_of(page: str) -> EngineState:
    """Of a page in Prometheus' text format (or OpenMetrics'). What is not finite or negative is not believed, nor are more
    requests and more lines than an engine can have."""
    found: dict[str, list[float]] = {}
    told = [
        line for line in page.split("\n") if line.startswith(BEGINNINGS)
    ]  # a few of hundreds: the rest is not parsed
    if len(told) > MOST_LINES:
        told = []
    for name, _, value in lines("\n".join(told)):
        if name in NAMES and value >= 0:
            found.setdefault(name, []).append(value)
    running, waiting, used, watts = (_first(found, names) for names in (RUNNING, WAITING, KV_USED, WATTS))
    millijoules, static, idle, speed = (_first(found, names) for names in (MILLIJOULES, STATIC, IDLE, SPEED))
    return EngineState(
        _requests(running),
        _requests(waiting),
        None if used is None else min(1.0, max(used)),
        _total(watts),
        None if (total := _total(millijoules)) is None else total / 1000,
        None if static is None or idle is None else _total(static + idle),
        None if speed is None else max(speed),
    )


def _total(values: list[float] | None) -> float | None:
    total = math.inf if values is None else sum(values)
    return total if total < math.inf else None


def _requests(values: list[float] | None) -> int | None:
    total = _total(values)
    return round(total) if total is not None and total <= MOST_REQUESTS else None


def _first(found: dict[str, list[float]], names: tuple[str, ...]) -> list[float] | None:
    return next((found[name] for name in names if name in found), None)
