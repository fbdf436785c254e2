"""Shapes of well-known models as their config.json files give them, written by hand: only the keys that matter."""

from typing import Any


def _config(family: str, hidden: int, layers: int, heads: int, vocab: int, context: int, **more: Any) -> dict[str, Any]:
    return {
        "model_type": family,
        "hidden_size": hidden,
        "num_hidden_layers": layers,
        "num_attention_heads": heads,
        "vocab_size": vocab,
        "max_position_embeddings": context,
        "torch_dtype": "bfloat16",
        **more,
    }


# fmt: off
FP8_BLOCK = {"quant_method": "fp8", "weight_block_size": [128, 128]}
LATENT = {"kv_lora_rank": 512, "qk_nope_head_dim": 128, "qk_rope_head_dim": 64, "v_head_dim": 128}
DEEPSEEK_V3 = _config(
    "deepseek_v3", 7168, 61, 128, 129280, 163840, num_key_value_heads=128, intermediate_size=18432, q_lora_rank=1536,
    first_k_dense_replace=3, moe_layer_freq=1, moe_intermediate_size=2048, n_routed_experts=256, n_shared_experts=1,
    num_experts_per_tok=8, num_nextn_predict_layers=1, tie_word_embeddings=False, quantization_config=FP8_BLOCK,
    **LATENT,
)
NEMOTRON_NANO_9B = "M-M-M-MM-M-M-M*-M-M-M*-M-M-M-M*-M-M-M-M*-M-MM-M-M-M-M-M-"
NEMOTRON_3_NANO = "MEMEM*EMEMEM*EMEMEM*EMEMEM*EMEMEM*EMEMEMEM*EMEMEMEME"
MAMBA = {"ssm_state_size": 128, "n_groups": 8, "conv_kernel": 4}
LINEAR = {
    "linear_num_key_heads": 16, "linear_num_value_heads": 32, "linear_key_head_dim": 128, "linear_value_head_dim": 128,
    "linear_conv_kernel_dim": 4,
}

# entry of the catalogue: (config, billions of parameters that the authors state)
PUBLISHED: dict[str, tuple[dict[str, Any], float]] = {
    "llama-2-7b": (_config("llama", 4096, 32, 32, 32000, 4096, intermediate_size=11008), 6.74),
    "llama-3.1-8b": (
        _config("llama", 4096, 32, 32, 128256, 131072, intermediate_size=14336, num_key_value_heads=8),
        8.03,
    ),
    "llama-3.2-1b": (
        _config(
            "llama", 2048, 16, 32, 128256, 131072, intermediate_size=8192, num_key_value_heads=8, head_dim=64,
            tie_word_embeddings=True,
        ),
        1.24,
    ),
    "mistral-7b": (
        _config(
            "mistral", 4096, 32, 32, 32000, 32768, intermediate_size=14336, num_key_value_heads=8, sliding_window=None
        ),
        7.24,
    ),
    "mixtral-8x7b": (
        _config(
            "mixtral", 4096, 32, 32, 32000, 32768, intermediate_size=14336, num_key_value_heads=8, num_local_experts=8,
            num_experts_per_tok=2,
        ),
        46.7,
    ),
    "qwen2.5-7b": (
        _config(
            "qwen2", 3584, 28, 28, 152064, 131072, intermediate_size=18944, num_key_value_heads=4, sliding_window=131072,
            use_sliding_window=False,
        ),
        7.62,
    ),
    "qwen3-8b": (
        _config("qwen3", 4096, 36, 32, 151936, 40960, intermediate_size=12288, num_key_value_heads=8, head_dim=128),
        8.19,
    ),
    "qwen3-30b-a3b": (
        _config(
            "qwen3_moe", 2048, 48, 32, 151936, 40960, intermediate_size=6144, num_key_value_heads=4, head_dim=128,
            num_experts=128, num_experts_per_tok=8, moe_intermediate_size=768, decoder_sparse_step=1, mlp_only_layers=[],
        ),
        30.5,
    ),
    "qwen3-next-80b-a3b": (
        _config(
            "qwen3_next", 2048, 48, 16, 151936, 262144, intermediate_size=5120, num_key_value_heads=2, head_dim=256,
            num_experts=512, num_experts_per_tok=10, moe_intermediate_size=512, shared_expert_intermediate_size=512,
            num_nextn_predict_layers=1, **LINEAR,
        ),
        80.0,
    ),
    "qwen3.5-35b-a3b": (
        {
            "model_type": "qwen3_5_moe", "tie_word_embeddings": False,
            "text_config": _config(
                "qwen3_5_moe_text", 2048, 40, 16, 248320, 262144,
                layer_types=(["linear_attention"] * 3 + ["full_attention"]) * 10,
                num_key_value_heads=2, head_dim=256, num_experts=256, num_experts_per_tok=8, moe_intermediate_size=512,
                shared_expert_intermediate_size=512, mtp_num_hidden_layers=1, **LINEAR,
            ),
            "vision_config": {"depth": 27, "hidden_size": 1152, "intermediate_size": 4304},
        },
        35.0,
    ),
    "deepseek-v2-lite": (
        _config(
            "deepseek_v2", 2048, 27, 16, 102400, 32768, num_key_value_heads=16, intermediate_size=10944, q_lora_rank=None,
            first_k_dense_replace=1, moe_intermediate_size=1408, n_routed_experts=64, n_shared_experts=2, num_experts_per_tok=6,
            **LATENT,
        ),
        15.7,
    ),
    "deepseek-v3": (DEEPSEEK_V3, 671.0),
    "deepseek-v3.2": (
        {**DEEPSEEK_V3, "model_type": "deepseek_v32", "index_topk": 2048, "index_n_heads": 64, "index_head_dim": 128},
        671.9,
    ),
    "glm-5": (
        _config(
            "glm_moe_dsa", 6144, 78, 64, 154880, 202752, num_key_value_heads=64, head_dim=64, intermediate_size=12288,
            q_lora_rank=2048, kv_lora_rank=512, qk_nope_head_dim=192, qk_rope_head_dim=64, v_head_dim=256,
            first_k_dense_replace=3, moe_intermediate_size=2048, n_routed_experts=256, n_shared_experts=1,
            num_experts_per_tok=8, num_nextn_predict_layers=1, index_topk=2048, index_n_heads=32, index_head_dim=128,
        ),
        744.0,
    ),
    "kimi-k2.5": (
        {
            "model_type": "kimi_k25",
            "text_config": {
                **DEEPSEEK_V3, "model_type": "kimi_k2", "num_attention_heads": 64, "num_key_value_heads": 64, "vocab_size": 163840,
                "max_position_embeddings": 262144, "first_k_dense_replace": 1, "n_routed_experts": 384,
                "num_nextn_predict_layers": 0,
                "quantization_config": {"quant_method": "compressed-tensors", "format": "pack-quantized"},
            },
            "vision_config": {"vt_num_hidden_layers": 27, "vt_hidden_size": 1152, "vt_intermediate_size": 4304},
        },
        1026.0,
    ),
    "gpt-oss-20b": (
        _config(
            "gpt_oss", 2880, 24, 64, 201088, 131072, intermediate_size=2880, num_key_value_heads=8, head_dim=64,
            layer_types=["sliding_attention", "full_attention"] * 12, sliding_window=128, num_local_experts=32,
            num_experts_per_tok=4,
            quantization_config={"quant_method": "mxfp4"},
        ),
        20.9,
    ),
    "gemma-3-27b": (
        {
            "model_type": "gemma3", "torch_dtype": "bfloat16",
            "text_config": {
                "model_type": "gemma3_text", "hidden_size": 5376, "intermediate_size": 21504, "num_attention_heads": 32,
                "num_hidden_layers": 62, "num_key_value_heads": 16, "head_dim": 128, "sliding_window": 1024,
            },
            "vision_config": {"num_hidden_layers": 27, "hidden_size": 1152, "intermediate_size": 4304},
        },
        27.0,
    ),
    "gemma-3-1b": (
        _config(
            "gemma3_text", 1152, 26, 4, 262144, 32768, intermediate_size=6912, num_key_value_heads=1, sliding_window=512
        ),
        1.0,
    ),
    "llama-4-maverick": (
        {
            "model_type": "llama4", "torch_dtype": "bfloat16",
            "text_config": {
                **_config("llama4_text", 5120, 48, 40, 202048, 1048576, num_key_value_heads=8, head_dim=128),
                "intermediate_size": 8192, "intermediate_size_mlp": 16384, "interleave_moe_layer_step": 2, "num_local_experts": 128,
                "num_experts_per_tok": 1, "attention_chunk_size": 8192,
            },
            "vision_config": {"num_hidden_layers": 34, "hidden_size": 1408, "intermediate_size": 5632},
        },
        400.7,
    ),
    "glm-4.5-air": (
        _config(
            "glm4_moe", 4096, 46, 96, 151552, 131072, num_key_value_heads=8, head_dim=128, intermediate_size=10944,
            moe_intermediate_size=1408, n_routed_experts=128, n_shared_experts=1, num_experts_per_tok=8,
            first_k_dense_replace=1, num_nextn_predict_layers=1,
        ),
        106.9,
    ),
    "minimax-m2": (
        _config(
            "minimax_m2", 3072, 62, 48, 200064, 196608, num_key_value_heads=8, head_dim=128, intermediate_size=1536,
            num_local_experts=256, num_experts_per_tok=8, shared_intermediate_size=0, quantization_config=FP8_BLOCK,
        ),
        230.0,
    ),
    "phi-3.5-mini": (
        _config(
            "phi3", 3072, 32, 32, 32064, 131072, intermediate_size=8192, num_key_value_heads=32, sliding_window=262144
        ),
        3.82,
    ),
    "nemotron-nano-9b-v2": (
        _config(
            "nemotron_h", 4480, 56, 40, 131072, 131072, num_key_value_heads=8, head_dim=128, intermediate_size=15680,
            hybrid_override_pattern=NEMOTRON_NANO_9B, mamba_num_heads=128, mamba_head_dim=80, **MAMBA,
        ),
        8.89,
    ),
    "nemotron-3-nano-30b-a3b": (
        _config(
            "nemotron_h", 2688, 52, 32, 131072, 262144, num_key_value_heads=2, head_dim=128, intermediate_size=1856,
            hybrid_override_pattern=NEMOTRON_3_NANO, mamba_num_heads=64, mamba_head_dim=64, n_routed_experts=128,
            num_experts_per_tok=6, n_shared_experts=1, moe_intermediate_size=1856, moe_shared_expert_intermediate_size=3712,
            **MAMBA,
        ),
        31.6,
    ),
}
