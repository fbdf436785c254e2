"""TensorRT-LLM: `trtllm-serve` and the YAML file of its LLM arguments, which holds every setting."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

from tokenworks import catalog
from tokenworks.plan.export.memory_share import free_share
from tokenworks.plan.export.record import Record, Shell
from tokenworks.plan.export.text import comments, script_bytes, yaml_bytes
from tokenworks.plan.export.units import Unit
from tokenworks.plan.export.weights import DTYPES

NAME = "TensorRT-LLM"
PORT = 8000
LORA_MODULES = ["attn_q", "attn_k", "attn_v", "attn_dense", "mlp_h_to_4h", "mlp_gate", "mlp_4h_to_h"]


def arguments(unit: Unit, record: Record) -> dict[str, Any]:
    """The LLM arguments of one replica, as `trtllm-serve --config` reads them."""
    d = unit.deployment
    found: dict[str, Any] = {"backend": "pytorch"}
    found |= _precision(unit, record) | _parallel(unit, record)
    record.said(unit, "max_seqs", f"max_batch_size {d.max_seqs}")
    record.said(unit, "token_budget", f"max_num_tokens {d.token_budget}")
    record.said(unit, "chunked_prefill", f"enable_chunked_prefill {str(d.chunked_prefill).lower()}")
    found |= {"max_batch_size": d.max_seqs, "max_num_tokens": d.token_budget}
    found |= {"enable_chunked_prefill": d.chunked_prefill, "kv_cache_config": _kv_cache(unit, record)}
    found |= _speculation(unit, record) | _lora(unit, record) | _disaggregation(unit, record)
    if d.fused_all_reduce:
        record.said(unit, "fused_all_reduce", "allreduce_strategy AUTO fuses norms where the model allows it")
        found["allreduce_strategy"] = "AUTO"
    record.lacks(unit, "overlap", "TensorRT-LLM has no two-batch overlap; its overlap scheduler hides host work")
    record.lacks(unit, "encoder", "TensorRT-LLM has no switch for text only: it loads the encoder of the checkpoint")
    record.planned_with(unit, "tensorrt-llm", NAME)
    return found


def _precision(unit: Unit, record: Record) -> dict[str, Any]:
    precision, model = unit.service.precision, unit.service.model
    if precision in DTYPES:
        record.said(unit, "precision", f"dtype {DTYPES[precision]}")
        return {"dtype": DTYPES[precision]}
    if precision == catalog.load("models", model)["native_weights"]:
        record.said(unit, "precision", f"the published checkpoint of {model} is in {precision}")
    else:
        record.lacks(unit, "precision", f"TensorRT-LLM reads it from the checkpoint: give one quantised to {precision}")
    return {}


def _parallel(unit: Unit, record: Record) -> dict[str, Any]:
    """Tensor ranks are counted over all attention ranks; attention DP gives each of them its own sequences."""
    d = unit.deployment
    ranks = d.tp * d.dp
    found: dict[str, Any] = {"tensor_parallel_size": ranks, "pipeline_parallel_size": d.pp}
    found["enable_attention_dp"] = d.dp > 1
    if d.dp > 1 and d.tp > 1:
        why = f"attention DP is over all {ranks} tensor ranks or none: this file says dp_attention {ranks}, tp 1"
        record.lacks(unit, "dp_attention", why)
        record.lacks(unit, "tp", why)
    record.said(unit, "tp", f"tensor_parallel_size {ranks}")
    record.said(unit, "dp_attention", f"enable_attention_dp {str(d.dp > 1).lower()}, tensor_parallel_size {ranks}")
    record.said(unit, "pp", f"pipeline_parallel_size {d.pp}")
    record.said(unit, "ep", f"moe_expert_parallel_size {d.ep}")
    if d.ep > 1:
        found |= {"moe_expert_parallel_size": d.ep, "moe_tensor_parallel_size": ranks // d.ep}
    if d.redundant_experts:
        slots = int(catalog.load("models", d.model)["experts"]) + d.redundant_experts
        found["moe_config"] = {"load_balancer": {"num_slots": slots}}
        record.said(unit, "redundant_experts", f"moe_config.load_balancer.num_slots {slots}")
    if d.micro_batches == d.pp:
        record.said(unit, "micro_batches", "one batch a stage is in flight")
    return found


def _kv_cache(unit: Unit, record: Record) -> dict[str, Any]:
    d = unit.deployment
    share = free_share(unit)
    record.said(
        unit, "memory_fraction", f"kv_cache_config.free_gpu_memory_fraction {share:.4g}, the same bytes of KV cache"
    )
    record.said(unit, "prefix_cache", f"kv_cache_config.enable_block_reuse {str(d.prefix_cache).lower()}")
    found: dict[str, Any] = {"free_gpu_memory_fraction": share, "enable_block_reuse": d.prefix_cache}
    found |= {"dtype": "fp8" if d.kv == "fp8" else "auto", "tokens_per_block": d.block_tokens}
    record.said(
        unit, "kv_precision", f"kv_cache_config.dtype {found['dtype']}, the checkpoint's unless it says otherwise"
    )
    for i, tier in enumerate(unit.service.kv_tiers):
        place = f"kv_tiers.{i}"
        if tier.name in ("host", "grace") and "host_cache_size" not in found:
            found["host_cache_size"] = int(tier.capacity_bytes / d.gpus)  # of each rank
            record.said(unit, f"{place}.capacity", f"kv_cache_config.host_cache_size {found['host_cache_size']} a rank")
            record.said(unit, f"{place}.name", "kv_cache_config.host_cache_size is host memory")
        for part in ("name", "capacity"):
            record.lacks(unit, f"{place}.{part}", "TensorRT-LLM has one tier, host memory")
        record.lacks(unit, f"{place}.bandwidth", "a property of the hardware, not a setting")
    return found


def _speculation(unit: Unit, record: Record) -> dict[str, Any]:
    draft = unit.service.speculative
    if draft is None:
        return {}
    kinds = {"mtp": "MTP", "eagle": "Eagle3", "ngram": "NGram", "draft": "Draft_Target"}
    config: dict[str, Any] = {"decoding_type": kinds[draft.kind]}
    length = "num_nextn_predict_layers" if draft.kind == "mtp" else "max_draft_len"
    config[length] = draft.draft_tokens
    if draft.kind in ("eagle", "draft"):
        config["speculative_model"] = unit.draft_weights
    record.said(unit, "speculative.kind", f"speculative_config.decoding_type {kinds[draft.kind]}")
    record.said(unit, "speculative.draft_tokens", f"speculative_config.{length} {draft.draft_tokens}")
    record.lacks(unit, "speculative.tokens_per_step", "an outcome of the draft, not a setting")
    return {"speculative_config": config}


def _lora(unit: Unit, record: Record) -> dict[str, Any]:
    lora = unit.service.lora
    if lora is None:
        return {}
    record.said(unit, "lora.adapters", f"lora_config.max_loras {lora.adapters}")
    record.said(unit, "lora.rank", f"lora_config.max_lora_rank {lora.rank}")
    sizes = {"max_lora_rank": lora.rank, "max_loras": lora.adapters, "max_cpu_loras": lora.adapters}
    return {"lora_config": {"lora_target_modules": LORA_MODULES, **sizes}}


def _disaggregation(unit: Unit, record: Record) -> dict[str, Any]:
    if not unit.disaggregated:
        return {}
    record.said(unit, "role", "cache_transceiver_config, and the place in the router's file")
    found: dict[str, Any] = {"cache_transceiver_config": {"backend": "DEFAULT"}}
    return found | ({"disable_overlap_scheduler": True} if unit.role == "prefill" else {})


def serve(unit: Unit, record: Record, config: str) -> list[str]:
    """The command of one replica, without host and port; ``config``: path of the file of its arguments."""
    record.said(unit, "model", f"trtllm-serve {unit.weights}")
    record.lacks(unit, "name", "trtllm-serve answers to the name of the checkpoint")
    return ["trtllm-serve", "serve", unit.weights, "--config", config]


def router(all_units: Sequence[Unit], urls: dict[str, list[str]], record: Record) -> dict[str, Any]:
    """The file of `trtllm-serve disaggregated`: every server by host and port."""
    pools = {"prefill": "context_servers", "decode": "generation_servers"}
    found: dict[str, Any] = {"hostname": "0.0.0.0", "port": 8000, "backend": "pytorch"}
    for unit in all_units:
        pool: dict[str, Any] = {"num_instances": unit.count, "urls": urls[unit.name]}
        wanted = {"round-robin": "round_robin", "kv-aware": "kv_cache_aware", "least-loaded": "load_balancing"}
        if unit.service.routing in wanted:
            pool["router"] = {"type": wanted[unit.service.routing]}
            record.said(unit, "routing", f"{pools[unit.role]}.router.type {pool['router']['type']}")
        else:
            record.lacks(
                unit, "routing", f"trtllm-serve disaggregated knows {', '.join(wanted)}; this file leaves it open"
            )
        found[pools[unit.role]] = pool
    return found


def files(all_units: Sequence[Unit], record: Record, title: str) -> dict[str, bytes]:
    """A script and the arguments of one replica of each role; for a disaggregated service the router's file too."""
    made: dict[str, bytes] = {}
    for unit in all_units:
        config, words = arguments(unit, record), serve(unit, record, f"{unit.name}.yaml")
        record.lacks(unit, "workers", f"a command starts one replica: start it {unit.count} times")
        if not unit.disaggregated:
            record.lacks(unit, "routing", "trtllm-serve serves one replica; a router stands before its replicas")
        many = [u for u in all_units if u.service.name == unit.service.name]
        if unit.role == "prefill":
            urls = {u.name: [f"{u.name}-{i}:{PORT}" for i in range(u.count)] for u in many}
            routed = yaml_bytes([router(many, urls, record)], [f"{title}: trtllm-serve disaggregated -c FILE"])
            made[f"{many[0].name.removesuffix('-prefill')}-router.yaml"] = routed
        record.finish(unit, NAME)
        head = comments(
            f"{title}: {unit.name}, {unit.count} of these, {unit.deployment.gpus} GPUs each.", record.of_unit(unit)
        )
        if unit.nodes > 1:
            head.append(f"One replica spans {unit.nodes} hosts: start it with mpirun or srun and trtllm-llmapi-launch.")
        ends = ["--host", "0.0.0.0", "--port", Shell(f'"${{PORT:-{PORT}}}"')]
        made[f"{unit.name}.sh"] = script_bytes([*words, *ends], head)
        made[f"{unit.name}.yaml"] = yaml_bytes([config], head)
    return made
