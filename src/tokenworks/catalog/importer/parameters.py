"""Parameters of a model from its shapes: in all, and those that one token passes through."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any


def attention_parameters(m: Mapping[str, Any]) -> int:
    """Weights of one softmax attention layer. A gate at its output doubles the query projection."""
    hidden, heads = m["hidden"], m["heads"]
    if m["attention"] != "mla":
        return int(hidden * m["head_dim"] * ((3 if m.get("attention_output_gate") else 2) * heads + 2 * m["kv_heads"]))
    rank, latent, rope = m["q_lora_rank"], m["kv_lora_rank"], m["qk_rope_dim"]
    q_in = rank or hidden
    query = hidden * rank + q_in * heads * (m["qk_nope_dim"] + rope)
    keys = hidden * (latent + rope) + latent * heads * (m["qk_nope_dim"] + m["v_head_dim"])
    return int(query + keys + heads * m["v_head_dim"] * hidden)


def indexer_parameters(m: Mapping[str, Any]) -> int:
    """Weights of one top-k indexer (DeepSeek-V3.2): its queries, its one key and the weights of its heads."""
    heads, width = m.get("index_heads", 0), m.get("index_dim", 0)
    return int((m.get("q_lora_rank") or m["hidden"]) * heads * width + m["hidden"] * (width + heads))


def total_and_active(m: Mapping[str, Any]) -> tuple[int, int]:
    """(all parameters, active ones) of the text model, tables included, without MTP heads and encoders."""
    matrices = 3 if m["ffn_gated"] else 2
    softmax = m["full_layers"] + m["window_layers"] + m["topk_layers"]
    expert = matrices * m["hidden"] * m["moe_ffn"]
    fixed = softmax * attention_parameters(m) + m["linear_layers"] * m["linear_layer_params"]
    fixed += m.get("index_layers", m["topk_layers"]) * indexer_parameters(m)
    fixed += m["dense_layers"] * matrices * m["hidden"] * m["ffn"]
    fixed += m["moe_layers"] * m["hidden"] * (m["experts"] + matrices * m["shared_ffn"])
    fixed += m["vocab"] * m["hidden"] * (1 if m["tied_embeddings"] else 2)
    fixed += m["layers"] * m["norms_per_layer"] * m["hidden"]
    routed = m["moe_layers"] * expert
    return int(fixed + m["experts"] * routed), int(fixed + m["experts_per_token"] * routed)
