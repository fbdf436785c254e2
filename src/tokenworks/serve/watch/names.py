"""What engines call on their metrics pages what a window needs to know."""

from __future__ import annotations

from dataclasses import dataclass

from tokenworks.serve.telemetry.samples import Samples


@dataclass(frozen=True)
class Names:
    """Of one engine. Gauges ``running``, ``waiting``; counters of tokens ``read``, ``cached``, ``made``; histograms of seconds
    ``ttft``, ``tpot`` (the first that its page has, those of whole requests before those of single gaps), ``e2e``. What an
    engine counts only from its first use on may be missing until then."""

    engine: str
    running: str
    waiting: str
    read: str
    cached: tuple[str, ...]
    made: str
    ttft: str
    tpot: tuple[str, ...]
    e2e: str


KNOWN = (
    Names(
        "vllm", "vllm:num_requests_running", "vllm:num_requests_waiting", "vllm:prompt_tokens_total",
        ("vllm:prefix_cache_hits_total", "vllm:gpu_prefix_cache_hits_total"), "vllm:generation_tokens_total",
        "vllm:time_to_first_token_seconds",
        ("vllm:request_time_per_output_token_seconds", "vllm:inter_token_latency_seconds", "vllm:time_per_output_token_seconds"),
        "vllm:e2e_request_latency_seconds",
    ),
    Names(
        "sglang", "sglang:num_running_reqs", "sglang:num_queue_reqs", "sglang:prompt_tokens_total",
        ("sglang:cached_tokens_total",), "sglang:generation_tokens_total", "sglang:time_to_first_token_seconds",
        ("sglang:inter_token_latency_seconds", "sglang:time_per_output_token_seconds"), "sglang:e2e_request_latency_seconds",
    ),
    Names(
        "tensorrt-llm", "trtllm_num_requests_running", "trtllm_num_requests_waiting", "trtllm_prompt_tokens_total",
        ("trtllm_prompt_cached_tokens_total",), "trtllm_generation_tokens_total", "trtllm_time_to_first_token_seconds",
        ("trtllm_time_per_output_token_seconds",), "trtllm_e2e_request_latency_seconds",
    ),
)  # fmt: skip
JOULES = "DCGM_FI_DEV_TOTAL_ENERGY_CONSUMPTION"  # millijoules, of each GPU that a DCGM exporter on the same page knows
SPEED = "tokenworks_worker_speed"  # an emulated worker's seconds in one of ours


def names_of(page: Samples) -> Names | None:
    """Of the engine whose page it is; None: of none that is known."""
    return next((names for names in KNOWN if names.running in page.of), None)
