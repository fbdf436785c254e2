"""An emulated worker's metrics page: vLLM's names for the engine, DCGM's for its boards, and the joules by kind.

So whoever reads the pages of real engines reads this one, too.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable
from typing import TYPE_CHECKING

from tokenworks.physics.worker_model import MICROJOULES_PER_J
from tokenworks.serve.telemetry.metrics import escaped, page

if TYPE_CHECKING:
    from tokenworks.serve.emulate.counts import Counts
    from tokenworks.serve.emulate.power import Energy
    from tokenworks.serve.emulate.worker import EmulatedWorker
    from tokenworks.twin.reference import Rank

MICROJOULES_PER_MJ = 1000
HELP = {
    "vllm:num_requests_running": ("gauge", "Requests in the batch."),
    "vllm:num_requests_waiting": ("gauge", "Requests that wait to be admitted."),
    "vllm:kv_cache_usage_perc": ("gauge", "KV blocks in use; 1: all."),
    "vllm:prompt_tokens_total": ("counter", "Tokens of prompts that were prefilled."),
    "vllm:generation_tokens_total": ("counter", "Tokens that were made."),
    "vllm:prefix_cache_queries_total": ("counter", "Tokens that were looked up; emulated workers keep no prefix cache."),
    "vllm:prefix_cache_hits_total": ("counter", "Tokens that were found; emulated workers keep no prefix cache."),
    "vllm:num_preemptions_total": ("counter", "Requests that lost their KV blocks to others."),
    "vllm:time_to_first_token_seconds": ("histogram", "From a request to its first token, in emulated seconds."),
    "vllm:request_time_per_output_token_seconds": ("histogram", "Of a request after its first token, in emulated seconds."),
    "vllm:e2e_request_latency_seconds": ("histogram", "From a request to its last token, in emulated seconds."),
    "DCGM_FI_DEV_POWER_USAGE": ("gauge", "Watts of a board, mean of the last second."),
    "DCGM_FI_DEV_TOTAL_ENERGY_CONSUMPTION": ("counter", "Millijoules of a board since the worker began."),
    "tokenworks_worker_dynamic_joules_total": ("counter", "Of all boards: what their steps used, which calls are charged with."),
    "tokenworks_worker_static_joules_total": ("counter", "Of all boards: what they drew anyway while they stepped."),
    "tokenworks_worker_idle_joules_total": ("counter", "Of all boards: what they drew while they did not step."),
    "tokenworks_worker_speed": ("gauge", "Emulated seconds in a second."),
}  # fmt: skip


def page_of(worker: EmulatedWorker) -> bytes:
    """Of one worker, as it is now."""
    energy = worker.energy()
    return page([_engine(worker), _boards(worker, energy), _kinds(worker, energy)], HELP)


def _engine(worker: EmulatedWorker) -> dict[str, list[str]]:
    """By data-parallel rank where that is known by rank; counters stand at the first one."""
    ranks, counts = worker.ranks, worker.counts
    name = f'model_name="{escaped(worker.loaded.model)}"'
    blocks = worker.model.kv_blocks

    def each(metric: str, value: Callable[[Rank], float]) -> list[str]:
        return [f'{metric}{{engine="{i}",{name}}} {value(rank):g}' for i, rank in enumerate(ranks)]

    found = {
        "vllm:num_requests_running": each("vllm:num_requests_running", lambda r: len(r.running)),
        "vllm:num_requests_waiting": each("vllm:num_requests_waiting", lambda r: len(r.queue)),
        "vllm:kv_cache_usage_perc": each("vllm:kv_cache_usage_perc", lambda r: (blocks - r.free) / blocks),
    }
    return found | _counters(worker, counts, f'engine="0",{name}')


def _counters(worker: EmulatedWorker, counts: Counts, labels: str) -> dict[str, list[str]]:
    totals = {
        "vllm:prompt_tokens_total": counts.prompt_tokens,
        "vllm:generation_tokens_total": counts.generation_tokens,
        "vllm:prefix_cache_queries_total": 0,
        "vllm:prefix_cache_hits_total": 0,
        "vllm:num_preemptions_total": worker.preempted,
    }
    spans = {
        "vllm:time_to_first_token_seconds": counts.ttft_s,
        "vllm:request_time_per_output_token_seconds": counts.tpot_s,
        "vllm:e2e_request_latency_seconds": counts.e2e_s,
    }
    lines = {metric: [f"{metric}{{{labels}}} {total}"] for metric, total in totals.items()}
    return lines | {metric: histogram.lines(metric, labels) for metric, histogram in spans.items()}


def _boards(worker: EmulatedWorker, energy: Energy) -> dict[str, list[str]]:
    """What the worker draws, in equal parts."""
    gpus, kind = worker.model.gpus, escaped(worker.loaded.accelerator)
    watts, total_mj = worker.watts() / gpus, energy.total_uj // MICROJOULES_PER_MJ
    labels = [f'{{gpu="{k}",modelName="{kind}"}}' for k in range(gpus)]
    usage, consumption = "DCGM_FI_DEV_POWER_USAGE", "DCGM_FI_DEV_TOTAL_ENERGY_CONSUMPTION"
    return {
        usage: [f"{usage}{at} {watts:.3f}" for at in labels],
        consumption: [f"{consumption}{at} {mj}" for at, mj in zip(labels, _parts(total_mj, gpus), strict=True)],
    }


def _parts(total: int, count: int) -> Iterable[int]:
    """Whole parts that add up; none goes back as the total grows."""
    return ((total + k) // count for k in range(count))


def _kinds(worker: EmulatedWorker, energy: Energy) -> dict[str, list[str]]:
    kinds = {"dynamic": energy.dynamic_uj, "static": energy.static_uj, "idle": energy.idle_uj}
    names = {f"tokenworks_worker_{kind}_joules_total": uj / MICROJOULES_PER_J for kind, uj in kinds.items()}
    found = {name: [f"{name} {joules:.6f}"] for name, joules in names.items()}
    return found | {"tokenworks_worker_speed": [f"tokenworks_worker_speed {worker.speed:g}"]}
