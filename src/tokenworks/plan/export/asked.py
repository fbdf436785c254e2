"""The settings of a service that an export must say, or name as something that the target cannot say."""

from __future__ import annotations

from tokenworks.physics.deployment import Deployment
from tokenworks.spec.factory import Service, System


def asked(service: Service, system: System, role: str, count: int, deployment: Deployment) -> dict[str, str]:
    """Setting → value as text, by the names of the factory file. What a file leaves open is here with the value that the
    rehearsal ran with; what is switched off and has no value is left out."""
    values: dict[str, object] = {
        "name": service.name,
        "model": service.model,
        "precision": service.precision,
        "kv_precision": service.kv_precision,
        "engine": service.engine,
        "engine_version": deployment.engine_version,
        "on": system.id,
        "workers": count,
        "tp": deployment.tp,
        "pp": deployment.pp,
        "dp_attention": deployment.dp,
        "ep": deployment.ep,
        "max_seqs": deployment.max_seqs,
        "token_budget": deployment.token_budget,
        "memory_fraction": deployment.memory_fraction,
        "chunked_prefill": deployment.chunked_prefill,
        "prefix_cache": deployment.prefix_cache,
        "routing": service.routing,
    }
    values |= {"role": role} if role != "serve" else {}
    values |= _switched_on(service, deployment)
    values |= _limits(service)
    return {name: _text(value) for name, value in values.items() if value not in (None, "")}


def _switched_on(service: Service, deployment: Deployment) -> dict[str, object]:
    values: dict[str, object] = {}
    values["micro_batches"] = deployment.micro_batches or None
    values["redundant_experts"] = deployment.redundant_experts or None
    values["clock"] = f"{deployment.clock:.0%}" if deployment.clock < 1 else None
    values["encoder"] = None if service.encoder else False
    values["fused_all_reduce"] = service.fused_all_reduce or None
    values["overlap"] = None if service.overlap == "none" else service.overlap
    for i, tier in enumerate(service.kv_tiers):
        values[f"kv_tiers.{i}.name"] = tier.name
        values[f"kv_tiers.{i}.capacity"] = f"{tier.capacity_bytes / 1e9:.10g} GB"
        values[f"kv_tiers.{i}.bandwidth"] = tier.bandwidth_b_s and f"{tier.bandwidth_b_s / 1e9:.10g} GB/s"
    if service.speculative:
        values["speculative.kind"] = service.speculative.kind
        values["speculative.draft_tokens"] = service.speculative.draft_tokens
        values["speculative.tokens_per_step"] = service.speculative.tokens_per_step
    if service.lora:
        values["lora.adapters"] = service.lora.adapters
        values["lora.rank"] = service.lora.rank
    return values


def _limits(service: Service) -> dict[str, object]:
    return {
        "kv_weight": service.kv_weight if service.routing == "kv-aware" else None,
        "max_waiting": service.max_waiting or None,
        "timeout": (service.timeout_s and f"{service.timeout_s:.10g} s") or None,
        "slo.ttft_p95": service.slo.ttft_p95_s and f"{service.slo.ttft_p95_s:.10g} s",
        "slo.tpot_p95": service.slo.tpot_p95_s and f"{service.slo.tpot_p95_s:.10g} s",
        "slo.e2e_p95": service.slo.e2e_p95_s and f"{service.slo.e2e_p95_s:.10g} s",
    }


def _text(value: object) -> str:
    if isinstance(value, bool):
        return "true" if value else "false"
    return f"{value:.10g}" if isinstance(value, float) else str(value)
