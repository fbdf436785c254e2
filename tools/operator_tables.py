"""Operator measurements of PyPI aiconfigurator-core as columns in SI units, at shapes that language models have."""

from __future__ import annotations

from collections.abc import Iterator

import numpy as np

from tokenworks import catalog
from tokenworks.physics.precision import bytes_per_weight, peak_flop_s

Points = dict[str, np.ndarray]
SYSTEMS = {  # table's name: (our accelerator, generation)
    "a100_sxm": ("a100-sxm-80g", "ampere"),
    "l40s": ("l40s", "ada"),
    "h100_sxm": ("h100-sxm", "hopper"),
    "h200_sxm": ("h200-sxm", "hopper"),
    "b200_sxm": ("b200", "blackwell"),
    "b300_sxm": ("b300", "blackwell"),
    "gb200": ("gb200", "blackwell"),
    "gb300": ("gb300", "blackwell"),
    "rtx_pro_6000_server": ("rtx-pro-6000", "blackwell-rtx"),
}
FORMATS = {"bfloat16": "bf16", "fp8": "fp8", "fp8_block": "fp8_block", "nvfp4": "nvfp4", "int4_wo": "w4a16"}
NATIVE_FP4 = ("blackwell", "blackwell-rtx")
MLA_WIDTH = (576, 2 * 512 + 64, 128 + 64 + 128)  # elements of a key; multiply-adds of a key and of a pair, per head


def _format(name: str, generation: str) -> str:
    """Our name; mxfp4 runs on 8-bit activations where the chip multiplies in four bits, on 16-bit ones elsewhere."""
    native = "w4a8_mxfp4_mxfp8" if generation in NATIVE_FP4 else "w4a16_mxfp4"
    return "mxfp4" if name == native else FORMATS.get(name, "")


def _chip(system: str, precision: str, size: int) -> Points:
    entry = catalog.load("accelerators", SYSTEMS[system][0])
    link = entry["pcie_gb_s"] if entry["link_kind"] == "pcie" else entry["scale_up_gb_s"]
    facts = {
        "peak": peak_flop_s(entry, precision),
        "bandwidth": entry["memory_bandwidth_gb_s"] * 1e9,
        "bits": bytes_per_weight(precision) * 8,
        "link": link * 1e9,
    }
    return {name: np.full(size, float(value)) for name, value in facts.items()}


def _columns(t: Points, keep: np.ndarray, **names: str) -> Points:
    chosen = {ours: t[theirs][keep].astype(float) for ours, theirs in names.items()}
    return {**chosen, "seconds": t["latency"][keep].astype(float) * 1e-3}


def gemm_points(system: str, engine: str, _: str, t: Points) -> Iterator[tuple[str, Points]]:
    """Matrices of 1 M to 300 M weights with both sides from 512: projections of layers, whole or cut."""
    for name in sorted(set(t["gemm_dtype"])):
        ours = _format(name, SYSTEMS[system][1])
        if not ours or ours == "w4a16" or (engine, name) == ("vllm", "fp8_block"):
            continue
        n, k = t["n"].astype(float), t["k"].astype(float)
        keep = (t["gemm_dtype"] == name) & (n >= 512) & (k >= 512) & (k <= 16384) & (n * k >= 1e6) & (n * k < 3e8)
        points = _columns(t, keep, n="n", k="k", m="m")
        yield ours, {**points, **_chip(system, ours, len(points["n"]))}


def _chosen_kernel(kernel: str, name: str, generation: str) -> bool:
    """Whether an engine takes this kernel by default; some others are bound by their host or by an emulation, and
    SGLang's Triton experts ran with tiles that nobody tuned (three times slower than vLLM's on one chip)."""
    parts = kernel.split("_")
    if kernel == "sglang_fused_moe_triton" and name != "fp8_block":
        return False
    if generation == "blackwell":
        return "triton" not in parts and "marlin" not in parts and "modeloptfp8moe_flashinfer_cutlass" not in kernel
    if generation == "hopper":
        cutlass_bf16 = name == "bfloat16" and kernel == "sglang_flashinfer_cutlass_moe"
        return not cutlass_bf16 and "modeloptfp8moe_flashinfer_cutlass" not in kernel
    return not kernel.endswith("triton_fp8_block")


def expert_points(system: str, engine: str, _: str, t: Points) -> Iterator[tuple[str, Points]]:
    """Gated experts at balanced routing (where a table has it), up to 16 expert-parallel ranks and 16,384 tokens."""
    generation = SYSTEMS[system][1]
    for kernel, name in sorted(set(zip(t["kernel_source"], t["moe_dtype"], strict=True))):
        ours = _format(name, generation)
        if not ours or not _chosen_kernel(kernel, name, generation) or "nongated" in kernel or "situ" in kernel:
            continue
        keep = (t["kernel_source"] == kernel) & (t["moe_dtype"] == name)
        routing = "balanced" if np.any(t["distribution"][keep] == "balanced") else "power_law_1.01"  # older tables
        keep &= t["distribution"] == routing
        keep &= (t["num_experts"] >= 8) & (t["moe_ep_size"] <= 16) & (t["inter_size"] / t["moe_tp_size"] >= 128)
        names = {"tokens": "num_tokens", "hidden": "hidden_size", "inner": "inter_size", "topk": "topk"}
        points = _columns(t, keep, **names, experts="num_experts", ep="moe_ep_size", tp="moe_tp_size")
        points["inner"] = points["inner"] / points["tp"]
        if len(points["tokens"]) >= 200:
            yield ours, {**points, **_chip(system, ours, len(points["tokens"]))}


def attention_points(system: str, engine: str, family: str, t: Points) -> Iterator[tuple[str, Points]]:
    """Cores without a window that take long enough to tell their rate: keys of 16 and 8 bits, pairs of 16 bits."""
    mla, decode = family == "mla", bool(np.any(t["step"] != 0))
    for name, bits in (("bfloat16", 16), ("fp8", 8)):
        if (not decode and bits == 8) or (mla and engine == "sglang" and SYSTEMS[system][1] != "blackwell"):
            continue  # SGLang upcasts latent keys there, or runs prefills in their wide form
        points = _mla(t, name, decode, bits) if mla else _grouped(t, name, decode, bits)
        points |= _chip(system, "bf16", len(points["seconds"]))
        least = np.maximum(points["byte"] / points["bandwidth"], points["flop"] / points["peak"])
        long = least > 1e-5
        if long.sum() >= 30:
            key = ("mla_" if mla else "") + (f"kv{bits}" if decode else "pairs")
            yield key, {column: values[long] for column, values in points.items()}


def _grouped(t: Points, name: str, decode: bool, bits: int) -> Points:
    keep = (t["kv_cache_dtype"] == name) & np.isin(t["head_dim"], (64, 128))
    keep &= t["window_size"] == 0 if "window_size" in t else True
    keep &= t["attn_dtype"] == "bfloat16"
    p = _columns(t, keep, b="batch_size", h="num_heads", g="num_key_value_heads", d="head_dim", s="isl", past="step")
    kv = np.where(p["g"] == 0, p["h"], p["g"])
    if decode:
        keys = p["b"] * (p["past"] + 1)
        byte, flop = keys * 2 * kv * p["d"] * bits / 8, keys * 4 * p["h"] * p["d"]
        usual = p["h"] / kv <= 16
    else:
        byte, flop = 0 * p["b"], p["b"] * p["s"] ** 2 / 2 * 4 * p["h"] * p["d"]
        usual = (p["s"] >= 1024) & (p["s"] <= 8192) & (p["past"] == 0)
    return {"byte": byte[usual], "flop": flop[usual], "seconds": p["seconds"][usual]}


def _mla(t: Points, name: str, decode: bool, bits: int) -> Points:
    keep = t["kv_cache_dtype"] == name
    p = _columns(t, keep, b="batch_size", h="num_heads", s="isl", past="step")
    width, of_key, of_pair = MLA_WIDTH
    keys = p["b"] * (p["past"] + 1)
    usual = p["h"] >= 8 if decode else (p["h"] >= 8) & (p["s"] >= 1024) & (p["s"] <= 8192)
    flop = keys * 2 * p["h"] * of_key if decode else p["b"] * p["s"] ** 2 / 2 * 2 * p["h"] * of_pair
    byte = keys * width * bits / 8 if decode else 0 * keys
    return {"byte": byte[usual], "flop": flop[usual], "seconds": p["seconds"][usual]}


def reduce_points(system: str, engine: str, _: str, t: Points) -> Iterator[tuple[str, Points]]:
    """All-reduces of the engines' own kernels by ranks; the table counts elements of two bytes."""
    for ranks in sorted(set(t["num_gpus"])):
        keep = t["num_gpus"] == ranks
        sizes = np.unique(t["message_size"][keep])
        best = np.array([t["latency"][keep & (t["message_size"] == size)].min() for size in sizes])
        p = {"seconds": best.astype(float) * 1e-3, "moved": 2.0 * (ranks - 1) / ranks * sizes.astype(float) * 2}
        p["ranks"] = np.full(len(sizes), float(ranks))
        if ranks <= 8:
            yield f"ranks{ranks}", {**p, **_chip(system, "bf16", len(sizes))}
