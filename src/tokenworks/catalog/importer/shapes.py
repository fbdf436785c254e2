"""What may stand at the keys of a config.json that the importer reads: checked once, before anything is read."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from typing import Any

from tokenworks.errors import InputError

Check = Callable[[Any], bool]


def whole(value: Any) -> bool:
    return isinstance(value, int) and not isinstance(value, bool) and value >= 0


def text(value: Any) -> bool:
    return isinstance(value, str)


def flag(value: Any) -> bool:
    return isinstance(value, bool)


def table(value: Any) -> bool:
    return isinstance(value, dict)


def names(value: Any) -> bool:
    return isinstance(value, list) and all(map(text, value))


def counts(value: Any) -> bool:
    return isinstance(value, list) and all(map(whole, value))


def whole_or_counts(value: Any) -> bool:
    return whole(value) or counts(value)


KEYS: dict[Check, tuple[str, str]] = {
    whole: (
        "a whole number",
        """attention_chunk_size attention_head_dim conv_kernel decoder_sparse_step dense_intermediate_size
        experts_per_token first_k_dense_replace full_attention_interval head_dim hidden_size index_head_dim
        index_n_heads index_topk interleave_moe_layer_step intermediate_size intermediate_size_mlp kv_lora_rank
        linear_conv_kernel_dim linear_key_head_dim linear_num_key_heads linear_num_value_heads linear_value_head_dim
        mamba_head_dim mamba_num_heads max_position_embeddings moe_intermediate_size moe_latent_size
        moe_shared_expert_intermediate_size mtp_num_hidden_layers n_groups n_routed_experts n_shared_experts
        no_rope_layer_interval num_attention_heads num_experts num_experts_per_tok num_experts_per_token
        num_hidden_layers num_key_value_heads num_local_experts num_nextn_predict_layers q_lora_rank
        qk_nope_head_dim qk_rope_head_dim routed_expert_hidden_size shared_expert_intermediate_size
        shared_intermediate_size sliding_window sliding_window_pattern ssm_state_size v_head_dim vocab_size""",
    ),
    text: ("a text", "model_type hybrid_override_pattern torch_dtype dtype _name_or_path"),
    flag: ("true or false", "tie_word_embeddings use_sliding_window attn_output_gate"),
    table: ("an object", "quantization_config vision_config"),
    names: ("a list of names", "layer_types layers_block_type indexer_types mlp_layer_types"),
    counts: ("a list of whole numbers", "attn_type_list mlp_only_layers"),
    whole_or_counts: ("a whole number or a list of them", "moe_layer_freq"),
}
EXPECTED = {key: (check, words) for check, (words, keys) in KEYS.items() for key in keys.split()}


def check_shapes(name: str, values: Mapping[str, Any]) -> None:
    """Raise an error that names the first key with something else than it may have."""
    for key, value in values.items():
        if key in EXPECTED and value is not None and not EXPECTED[key][0](value):
            raise InputError(f"{name}: {key} is {value!r}, not {EXPECTED[key][1]}")
