"""An engine's Prometheus page, as far as routing wants to know: requests that it works on, that wait, KV cache in use.

Names by engine and version; labels are summed up (data-parallel ranks of one engine), of shares the greatest counts.
"""

from __future__ import annotations

from dataclasses import dataclass

from tokenworks.serve.prometheus import lines

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
NAMES = frozenset((*RUNNING, *WAITING, *KV_USED, *WATTS))


@dataclass(frozen=True, slots=True)
class EngineState:
    """None where the page does not say. ``kv_used``: share of the cache, 0 to 1. ``watts``: of the GPUs that a DCGM exporter
    on the same page names."""

    running: int | None
    waiting: int | None
    kv_used: float | None
    watts: float | None

    @property
    def requests(self) -> int | None:
        """That the engine has, by whomever they were sent."""
        known = [n for n in (self.running, self.waiting) if n is not None]
        return sum(known) if known else None


def state_of(page: str) -> EngineState:
    """Of a page in Prometheus' text format (or OpenMetrics'). What is not finite or negative is not believed."""
    found: dict[str, list[float]] = {}
    for name, _, value in lines(page):
        if name in NAMES and value >= 0:
            found.setdefault(name, []).append(value)
    running, waiting, used, watts = (_first(found, names) for names in (RUNNING, WAITING, KV_USED, WATTS))
    return EngineState(
        None if running is None else round(sum(running)),
        None if waiting is None else round(sum(waiting)),
        None if used is None else min(1.0, max(used)),
        None if watts is None else sum(watts),
    )


def _first(found: dict[str, list[float]], names: tuple[str, ...]) -> list[float] | None:
    return next((found[name] for name in names if name in found), None)
