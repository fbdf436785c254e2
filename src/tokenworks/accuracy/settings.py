"""How the harnesses of performance pages and generated sweeps set an engine differently from its defaults."""

from __future__ import annotations

from typing import Any

from tokenworks import catalog
from tokenworks.accuracy.loads import sweep_of
from tokenworks.accuracy.rows import Row
from tokenworks.physics.deployment import Deployment


def offline_settings(row: Row, base: Deployment) -> dict[str, Any]:
    """TensorRT-LLM's performance pages, by version."""
    entry = catalog.load("harnesses", "trtllm-offline")
    version = row.engine_version.split(".")
    early = len(version) > 1 and version[0] == "0" and version[1].isdigit() and int(version[1]) < 14
    found: dict[str, Any] = {"kv_fraction_of_free": entry["kv_fraction_early" if early else "kv_fraction"]}
    experts = base.ep > 1 or bool(catalog.load("models", row.model)["experts"])
    printed = row.engine_version in entry["moe_attention_dp_versions"]
    if printed and experts and base.tp > 1 and base.dp == 1:
        found |= {"tp": 1, "dp": base.tp, "ep": base.tp}
    return found


def generated_settings(row: Row) -> dict[str, Any]:
    """What a generator wrote for the row's lengths and batch size."""
    sweep = sweep_of(row, "aiperf-burst")
    if "tokens_beyond" not in sweep:
        return {}
    clients = max(1, row.concurrency or 1)
    budget = int(row.isl or 0) + sweep["tokens_beyond"] + (clients if sweep["counts_clients"] else 0)
    found = {"token_budget": budget, "max_seqs": min(clients, budget)}
    return found | {key: sweep[key] for key in ("chunked_prefill", "plans_ahead", "prefill_alone") if key in sweep}
