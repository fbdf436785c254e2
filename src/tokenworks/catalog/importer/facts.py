"""Facts of a model by the catalogue's names, in the order in which entries list them."""

from __future__ import annotations

from typing import Any

from tokenworks.catalog.importer.attention import attention_facts
from tokenworks.catalog.importer.config import Config
from tokenworks.catalog.importer.feed_forward import feed_forward
from tokenworks.catalog.importer.layers import layer_kinds, window_tokens
from tokenworks.catalog.importer.linear import linear_mixer
from tokenworks.catalog.importer.parameters import total_and_active
from tokenworks.catalog.importer.precision import encoder_parameters, native_weights

BILLION = 1e9


def model_facts(config: Config) -> dict[str, Any]:
    """Values only; ``entry.write_entry`` adds unit, source and status."""
    kinds = layer_kinds(config)
    layers = kinds.total()
    ff = feed_forward(config, kinds, layers)
    facts: dict[str, Any] = {"layers": layers, "hidden": config.need("hidden_size"), **attention_facts(config)}
    facts |= _tables(config) | {f"{kind}_layers": kinds[kind] for kind in ("full", "window", "topk", "linear")}
    facts |= {"window": window_tokens(config, kinds), "topk": config.count("index_topk")}
    facts |= {"mlp_only_layers": kinds["mlp"] + kinds["moe"]}
    facts |= {"ffn": ff.ffn, "dense_layers": ff.dense_layers, "moe_layers": ff.moe_layers, "experts": ff.experts}
    facts |= {"experts_per_token": ff.experts_per_token, "moe_ffn": ff.moe_ffn, "shared_ffn": ff.shared_ffn}
    facts |= _linear(config, kinds["linear"])
    facts |= {"attention_output_gate": True} if config.get("attn_output_gate") else {}
    total, active = total_and_active(facts)
    facts |= {"params_b": _billions(total), "active_params_b": _billions(active)}
    facts["encoder_params_b"] = _billions(encoder_parameters(config))
    facts |= {"encoder": "vision"} if facts["encoder_params_b"] else {}
    del facts["linear_layer_params"]
    return facts


def _billions(count: int) -> float:
    return round(count / BILLION, 4 if count < 10 * BILLION else 2)


def _tables(config: Config) -> dict[str, Any]:
    return {
        "vocab": config.need("vocab_size"),
        "max_context": config.need("max_position_embeddings"),
        "tied_embeddings": bool(config.outer.get("tie_word_embeddings", config.get("tie_word_embeddings"))),
        "ffn_gated": config.get("ffn_gated") is not False,
        "parallel_attention": False,
        "norms_per_layer": config.count("norms_per_layer") or 2,
        "mtp_layers": config.count("num_nextn_predict_layers", "mtp_num_hidden_layers"),
        "native_weights": native_weights(config),
    }


def _linear(config: Config, layers: int) -> dict[str, Any]:
    if not layers:
        return {"linear_params_b": 0.0, "linear_state_bytes_per_seq": 0, "linear_layer_params": 0}
    mixer = linear_mixer(config)
    return {
        "linear_params_b": round(layers * mixer.parameters / BILLION, 4),
        "linear_state_bytes_per_seq": layers * mixer.state_bytes,
        "linear_layer_params": mixer.parameters,
        "linear_kind": mixer.kind,
        "linear_heads": mixer.heads,
        "linear_key_dim": mixer.key_dim,
        "linear_value_dim": mixer.value_dim,
    }
