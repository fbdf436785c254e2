"""Feed-forward layers: dense ones, routed experts and shared experts."""

from __future__ import annotations

from collections import Counter
from dataclasses import dataclass

from tokenworks.catalog.importer.config import Config
from tokenworks.errors import InputError


@dataclass(frozen=True)
class FeedForward:
    dense_layers: int
    ffn: int  # width of a dense layer
    moe_layers: int
    experts: int
    experts_per_token: int
    moe_ffn: int  # width of one routed expert
    shared_ffn: int  # width of all shared experts together


def feed_forward(config: Config, kinds: Counter[str], layers: int) -> FeedForward:
    experts = config.count("n_routed_experts", "num_local_experts", "num_experts")
    if not experts:
        dense = kinds["mlp"] or layers
        return FeedForward(dense, config.need("intermediate_size"), 0, 0, 0, 0, 0)
    if narrow := config.get("moe_latent_size", "routed_expert_hidden_size"):
        raise InputError(f"{config.name}: experts of a narrower width ({narrow}) cannot be held by an entry yet")
    moe = _moe_layers(config, kinds, layers)
    dense = kinds["mlp"] if kinds["moe"] else layers - moe
    per_token = config.need("num_experts_per_tok", "experts_per_token", "num_experts_per_token")
    width = config.need("moe_intermediate_size", "intermediate_size")
    ffn = config.need("intermediate_size_mlp", "dense_intermediate_size", "intermediate_size") if dense else 0
    return FeedForward(dense, ffn, moe, experts, per_token, width, _shared(config, width))


def _moe_layers(config: Config, kinds: Counter[str], layers: int) -> int:
    if kinds["moe"]:
        return kinds["moe"]
    if types := config.get("mlp_layer_types"):
        return sum(kind == "sparse" for kind in types)
    if isinstance(listed := config.get("moe_layer_freq"), list):
        return sum(listed)
    dense = set(range(config.count("first_k_dense_replace"))) | set(config.get("mlp_only_layers") or ())
    step = config.get("interleave_moe_layer_step", "decoder_sparse_step", "moe_layer_freq") or 1
    return sum((i + 1) % step == 0 and i not in dense for i in range(layers))


def _shared(config: Config, width: int) -> int:
    """Width of the shared experts: stated as a width by some files, as a number of experts by others."""
    if config.get("shared_expert"):
        return width
    stated = ("moe_shared_expert_intermediate_size", "shared_expert_intermediate_size", "shared_intermediate_size")
    return config.count(*stated) or config.count("n_shared_experts") * width
