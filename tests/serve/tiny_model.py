"""A random model of two layers, written by hand as GGUF: half a megabyte, the same bytes each time, one token a byte."""

import numpy as np

WIDE, LAYERS, HEADS, FEED, CONTEXT = 64, 2, 4, 128, 2048


def write(path):
    import gguf

    tokens = [b"<unk>", b"<s>", b"</s>", *(b"<0x%02X>" % i for i in range(256))]
    kinds = [gguf.TokenType.UNKNOWN, gguf.TokenType.CONTROL, gguf.TokenType.CONTROL, *[gguf.TokenType.BYTE] * 256]
    writer = gguf.GGUFWriter(str(path), "llama")
    writer.add_context_length(CONTEXT)
    writer.add_embedding_length(WIDE)
    writer.add_block_count(LAYERS)
    writer.add_feed_forward_length(FEED)
    writer.add_head_count(HEADS)
    writer.add_head_count_kv(HEADS)
    writer.add_layer_norm_rms_eps(1e-5)
    writer.add_rope_dimension_count(WIDE // HEADS)
    writer.add_vocab_size(len(tokens))
    writer.add_tokenizer_model("llama")
    writer.add_token_list(tokens)
    writer.add_token_scores([0.0] * len(tokens))
    writer.add_token_types(kinds)
    writer.add_bos_token_id(1)
    writer.add_eos_token_id(2)
    writer.add_unk_token_id(0)
    for name, values in weights(len(tokens)).items():
        writer.add_tensor(name, values)
    writer.write_header_to_file()
    writer.write_kv_data_to_file()
    writer.write_tensors_to_file()
    writer.close()


def weights(vocabulary):
    dice = np.random.default_rng(0)
    made = lambda *shape: dice.normal(0, 0.3, shape).astype(np.float32)  # noqa: E731
    out = made(vocabulary, WIDE)
    printable = [3 + i for i in range(32, 127)]
    out[[i for i in range(vocabulary) if i not in printable]] = 0.0  # their scores are 0: others win
    found = {
        "token_embd.weight": made(vocabulary, WIDE),
        "output.weight": out,
        "output_norm.weight": np.ones(WIDE, np.float32),
    }
    for i in range(LAYERS):
        for name, shape in (
            ("attn_q", (WIDE, WIDE)), ("attn_k", (WIDE, WIDE)), ("attn_v", (WIDE, WIDE)), ("attn_output", (WIDE, WIDE)),
            ("ffn_gate", (FEED, WIDE)), ("ffn_up", (FEED, WIDE)), ("ffn_down", (WIDE, FEED)),
        ):  # fmt: skip
            found[f"blk.{i}.{name}.weight"] = made(*shape)
        for name in ("attn_norm", "ffn_norm"):
            found[f"blk.{i}.{name}.weight"] = np.ones(WIDE, np.float32)
    return found
