"""Which mixer each layer has: full attention, a window, top-k sparse, linear, or none."""

from __future__ import annotations

from collections import Counter

from tokenworks.catalog.importer.config import Config
from tokenworks.errors import InputError

HYBRID_LETTERS = {"M": "linear", "*": "full", "-": "mlp", "E": "moe"}
NAMES = {
    "full_attention": "full",
    "deepseek_sparse_attention": "full",  # counted as top-k layers below
    "attention": "full",
    "sliding_attention": "window",
    "chunked_attention": "window",
    "linear_attention": "linear",
    "mamba": "linear",
    "mlp": "mlp",
    "moe": "moe",
}


def layer_kinds(config: Config) -> Counter[str]:
    """Layers by kind: full, window, topk, linear, mlp, moe (the last two have no mixer)."""
    kinds = Counter(_kinds(config))
    if config.get("index_topk"):
        kinds["topk"] = kinds.pop("full", 0)
    return kinds


def _kinds(config: Config) -> list[str]:
    if pattern := config.get("hybrid_override_pattern"):
        return [_letter(config, letter) for letter in pattern]
    for key in ("layers_block_type", "layer_types"):
        if names := config.get(key):
            return [_named(config, key, name) for name in names]
    layers = config.need("num_hidden_layers")
    if interval := config.get("full_attention_interval"):
        return ["linear" if (i + 1) % interval else "full" for i in range(layers)]
    if interval := config.get("no_rope_layer_interval"):
        return ["window" if (i + 1) % interval else "full" for i in range(layers)]
    if pattern := config.get("sliding_window_pattern"):
        return ["window" if (i + 1) % pattern else "full" for i in range(layers)]
    if types := config.get("attn_type_list"):
        return ["full" if kind == 1 else "linear" for kind in types]
    return ["window" if _every_layer_slides(config) else "full"] * layers


def _letter(config: Config, letter: str) -> str:
    if letter not in HYBRID_LETTERS:
        raise InputError(f'{config.name}: hybrid_override_pattern has "{letter}", not one of M * - E')
    return HYBRID_LETTERS[letter]


def _named(config: Config, key: str, name: str) -> str:
    if name not in NAMES:
        raise InputError(f'{config.name}: {key} has "{name}", not one of {", ".join(NAMES)}')
    return NAMES[name]


def _every_layer_slides(config: Config) -> bool:
    """A window that is shorter than the context, and not switched off."""
    window = config.get("sliding_window")
    if not window or config.get("use_sliding_window") is False:
        return False
    return int(window) < config.need("max_position_embeddings")


def window_tokens(config: Config, kinds: Counter[str]) -> int:
    """Keys that a window layer sees; 0 without such layers."""
    if not kinds["window"]:
        return 0
    chunked = config.family == "llama4_text"
    return config.need("attention_chunk_size") if chunked else config.need("sliding_window")
