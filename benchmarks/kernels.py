"""GEMM, attention and copies on a CUDA device against physics; without a device it says so."""

import argparse
import json

import numpy as np

from tokenworks.physics.operators import Chip, gemm
from tokenworks.physics.shard import Gemm
from tokenworks.physics.terms import NAMES, Terms, priors

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
    found = []
    for m, n, k in SHAPES:
        x = torch.randn(m, k, device="cuda", dtype=torch.bfloat16)
        w = torch.randn(k, n, device="cuda", dtype=torch.bfloat16)
        took = seconds(torch, lambda x=x, w=w: x @ w)
        predicted = float(gemm(chip, terms, Gemm("g", n, k, 1, "bf16"), np.array([float(m)])).seconds[0])
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
