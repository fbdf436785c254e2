"""Heads and widths of softmax attention: grouped-query or DeepSeek's multi-head latent attention."""

from __future__ import annotations

from typing import Any

from tokenworks.catalog.importer.config import Config
from tokenworks.errors import InputError


def attention_facts(config: Config) -> dict[str, Any]:
    """Attention kind and its shapes, by the names of the catalogue."""
    heads = config.need("num_attention_heads")
    facts: dict[str, Any] = {
        "heads": heads,
        "kv_heads": config.get("num_key_value_heads") or heads,
        "head_dim": head_dim(config),
        "attention": "mla" if config.get("kv_lora_rank") else "gqa",
    }
    return facts | (_latent(config) if facts["attention"] == "mla" else {})


def head_dim(config: Config) -> int:
    """Width of a head; of its unrotated part with latent attention, as DeepSeek's files count it."""
    if config.get("kv_lora_rank"):
        return config.need("qk_nope_head_dim")
    stated = config.get("head_dim", "attention_head_dim")
    if stated:
        return int(stated)
    hidden, heads = config.need("hidden_size"), config.need("num_attention_heads")
    if hidden % heads:
        raise InputError(f"{config.name}: no head_dim, and hidden_size {hidden} is no multiple of {heads} heads")
    return hidden // heads


def _latent(config: Config) -> dict[str, int]:
    facts = {
        "q_lora_rank": config.count("q_lora_rank"),
        "kv_lora_rank": config.need("kv_lora_rank"),
        "qk_nope_dim": config.need("qk_nope_head_dim"),
        "qk_rope_dim": config.need("qk_rope_head_dim"),
        "v_head_dim": config.need("v_head_dim"),
    }
    return facts | (_indexer(config) if config.get("index_topk") else {})


def _indexer(config: Config) -> dict[str, int]:
    """The top-k indexer; ``index_layers`` where only some layers have their own and the others share."""
    facts = {"index_heads": config.need("index_n_heads"), "index_dim": config.need("index_head_dim")}
    own = sum(kind == "full" for kind in config.get("indexer_types") or ())
    return facts | ({"index_layers": own} if own else {})
