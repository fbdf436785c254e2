"""GEMM, attention and copies on a CUDA device against physics; without a device it says so."""

import argparse
import json

import numpy as np

from tokenworks.physics.deployment import Deployment
from tokenworks.physics.operators import Chip, gemms
from tokenworks.physics.shard import Gemm
from tokenworks.physics.step import Machine, core
from tokenworks.physics.terms import NAMES, Terms, priors

HEADS, KV_HEADS, HEAD_DIM, LAYERS = 32, 8, 128, 32  # llama-3.1-8b
PREFILLS = [(1, 4096), (4, 2048)]  # sequences, tokens of each prompt
DECODES = [(32, 2048), (128, 4096)]  # sequences, keys of each
SHAPES = [(16, 8192, 8192), (256, 8192, 8192), (4096, 8192, 8192), (8192, 28672, 8192)]


def accelerator_of(name: str) -> str:
    for key, accelerator in (("H200", "h200-sxm"), ("H100", "h100-sxm"), ("B200", "b200"), ("A100", "a100-sxm-80g")):
        if key in name:
            return accelerator
    return ""


def seconds(torch, call, runs: int = 20) -> float:
    for _ in range(3):
        call()
    torch.cuda.synchronize()
    start, end = (torch.cuda.Event(enable_timing=True) for _ in range(2))
    start.record()
    for _ in range(runs):
        call()
    end.record()
    torch.cuda.synchronize()
    return start.elapsed_time(end) / runs / 1e3


def attention(torch, accelerator: str, terms: Terms) -> list[dict[str, object]]:
    """Causal prefill and one-token decode of one layer of an 8B model, against the attention core of the physics."""
    alone = Deployment(
        accelerator=accelerator, model="llama-3.1-8b", engine="vllm", engine_version="", date="", weights="bf16",
        kv="bf16", tp=1, pp=1, dp=1, ep=1, max_seqs=256, token_budget=8192, memory_fraction=0.9,
        kv_fraction_of_free=1.0, memory_reserve_gb=2.5, block_tokens=16, reserve_output=False, prefill_alone=False,
        chunked_prefill=True, receive_interval=1, plans_ahead=False,
        prefix_cache=False, cuda_graph_max_seqs=256, eager_prefill=False,
        async_scheduling=False,
        draft_tokens=0, tokens_per_step=1.0, gpus_per_node=8,
    )  # fmt: skip
    cost = core(Machine.of(alone, terms=terms))
    found, call = [], torch.nn.functional.scaled_dot_product_attention
    for what, cases in (("prefill", PREFILLS), ("decode", DECODES)):
        for sequences, keys in cases:
            queries = keys if what == "prefill" else 1
            q, k, v = (
                torch.randn(sequences, heads, length, HEAD_DIM, device="cuda", dtype=torch.bfloat16)
                for heads, length in ((HEADS, queries), (KV_HEADS, keys), (KV_HEADS, keys))
            )
            causal = what == "prefill"
            took = seconds(torch, lambda q=q, k=k, v=v, c=causal: call(q, k, v, is_causal=c, enable_gqa=True))
            pairs = sequences * keys * (keys + 1) / 2
            predicted = (pairs * cost.pair.seconds[0] if causal else sequences * keys * cost.key.seconds[0]) / LAYERS
            shape = {"attention": what, "sequences": sequences, "keys": keys}
            found.append({**shape, "measured_s": took, "predicted_s": predicted, "ratio": predicted / took})
    return found


def measure() -> dict[str, object]:
    try:
        import torch
    except ImportError:
        return {"device": None, "said": "no PyTorch here: nothing measured"}
    if not torch.cuda.is_available():
        return {"device": None, "said": "no CUDA device here: nothing measured"}
    name = torch.cuda.get_device_name()
    chip = Chip.load(accelerator_of(name))
    terms = Terms(**{term: priors()[term].value for term in NAMES})
    found = attention(torch, accelerator_of(name), terms)
    for m, n, k in SHAPES:
        x = torch.randn(m, k, device="cuda", dtype=torch.bfloat16)
        w = torch.randn(k, n, device="cuda", dtype=torch.bfloat16)
        took = seconds(torch, lambda x=x, w=w: x @ w)
        predicted = float(gemms(chip, terms, [Gemm("g", n, k, 1, "bf16")], np.array([float(m)]))[0].seconds[0])
        found.append({"gemm": [m, n, k], "measured_s": took, "predicted_s": predicted, "ratio": predicted / took})
    block = torch.empty(2 << 30, device="cuda", dtype=torch.uint8)
    other = torch.empty_like(block)
    took = seconds(torch, lambda: other.copy_(block))
    found.append({"copy_gb_s": 2 * block.numel() / took / 1e9, "data_sheet_gb_s": chip.bandwidth / 1e9})
    return {"device": name, "results": found}


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--json", action="store_true")
    args = parser.parse_args()
    found = measure()
    print(json.dumps(found) if args.json else json.dumps(found, indent=1))


if __name__ == "__main__":
    main()
