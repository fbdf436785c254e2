"""Deployments for tests: everything stated, one field changed at a time."""

from tokenworks.physics.deployment import Deployment
from tokenworks.physics.terms import NAMES, Terms, priors


def deployment(**changes: object) -> Deployment:
    base: dict[str, object] = {
        "accelerator": "h100-sxm", "model": "llama-3.1-8b", "engine": "vllm", "engine_version": "0.12", "date": "2025-12",
        "weights": "bf16", "kv": "bf16", "tp": 1, "pp": 1, "dp": 1, "ep": 1, "max_seqs": 64, "token_budget": 2048,
        "memory_fraction": 0.9, "kv_fraction_of_free": 1.0, "memory_reserve_gb": 2.0, "block_tokens": 16, "reserve_output": False,
        "prefill_alone": False, "chunked_prefill": True, "receive_interval": 1, "plans_ahead": False, "prefix_cache": False,
        "cuda_graph_max_seqs": 64, "eager_prefill": False, "async_scheduling": False, "draft_tokens": 0, "tokens_per_step": 1.0, "gpus_per_node": 8,
    }  # fmt: skip
    return Deployment(**{**base, **changes})  # type: ignore[arg-type]


def terms(**changes: float) -> Terms:
    return Terms(**{**{name: priors()[name].value for name in NAMES}, **changes})
