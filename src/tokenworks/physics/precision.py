"""Number formats: bits per weight and the tensor path on which a chip multiplies them."""

from __future__ import annotations

from tokenworks import catalog
from tokenworks.errors import UnsupportedError


def bytes_per_weight(precision: str) -> float:
    """Bytes of one stored weight, scales included."""
    return float(catalog.load("precisions", precision)["weight_bits"]) / 8


def bytes_per_kv(precision: str) -> float:
    """Bytes of one stored key or value element."""
    return float(catalog.load("precisions", precision)["weight_bits"]) / 8


def tensor_path(accelerator: catalog.Entry, precision: str) -> str:
    """The tensor path (bf16, fp8, fp4 …) that the chip uses for weights of this precision."""
    paths: list[str] = catalog.load("precisions", precision)["paths"]
    for path in paths:
        if peak_key(path) in accelerator:
            return path
    raise UnsupportedError(f"{accelerator.id} has no tensor path for {precision} (tried {', '.join(paths)})")


def peak_key(path: str) -> str:
    return f"peak_{path}_tops" if path == "int8" else f"peak_{path}_tflops"


def peak_flop_s(accelerator: catalog.Entry, precision: str) -> float:
    """Dense peak in FLOP/s (or integer operations per second) for weights of this precision."""
    return float(accelerator[peak_key(tensor_path(accelerator, precision))]) * 1e12


def attention_precision(model: catalog.Entry, weights: str) -> str:
    """Precision of the attention projections: some formats leave them unquantised (a fact of the format)."""
    entry = catalog.load("precisions", weights)
    if model["attention"] == "mla" and "mla_attention" in entry:
        return str(entry["mla_attention"])
    if model["experts"] and "moe_attention" in entry:
        return str(entry["moe_attention"])
    return weights
