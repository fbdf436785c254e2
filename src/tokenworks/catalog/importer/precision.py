"""The precision in which a checkpoint is published, by the catalogue's names, and its encoders."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

from tokenworks.catalog.importer.config import Config
from tokenworks.catalog.importer.shapes import whole
from tokenworks.errors import InputError

DTYPES = {"bfloat16": "bf16", "float16": "fp16", "float32": "fp32"}
ENCODER_KEYS = (
    ("depth", "num_hidden_layers", "vt_num_hidden_layers", "num_layers"),
    ("hidden_size", "vt_hidden_size"),
    ("intermediate_size", "vt_intermediate_size"),
)


def native_weights(config: Config) -> str:
    """fp8_block, fp8, nvfp4, mxfp4, w4a16, int8, bf16, fp16 or fp32."""
    quantised = config.get("quantization_config") or config.outer.get("quantization_config")
    if quantised:
        return _quantised(config, quantised)
    dtype = str(config.get("torch_dtype", "dtype") or config.outer.get("torch_dtype") or config.outer.get("dtype"))
    if dtype.removeprefix("torch.") not in DTYPES:
        raise InputError(f"{config.name}: torch_dtype is {dtype!r}, not one of {', '.join(DTYPES)}")
    return DTYPES[dtype.removeprefix("torch.")]


def _quantised(config: Config, table: Mapping[str, Any]) -> str:
    method, algorithm = str(table.get("quant_method", "")), str(table.get("quant_algo", "")).lower()
    layout = str(table.get("format", ""))
    if method == "fp8" or algorithm == "fp8" or layout == "float-quantized":
        return "fp8_block" if table.get("weight_block_size") else "fp8"
    if "mxfp4" in (method, algorithm) or layout.startswith("mxfp4"):
        return "mxfp4"
    if algorithm == "nvfp4" or layout.startswith("nvfp4"):
        return "nvfp4"
    if method in ("awq", "gptq") or layout == "pack-quantized":
        return "w4a16"
    stated = ", ".join(
        f"{k} {v!r}" for k, v in (("quant_method", method), ("quant_algo", algorithm), ("format", layout)) if v
    )
    raise InputError(f"{config.name}: a quantization_config with {stated or 'no quant_method'} cannot be read")


def encoder_parameters(config: Config) -> int:
    """Blocks of the vision encoder: attention of four square matrices and a plain feed-forward. 0 without one."""
    vision = config.outer.get("vision_config")
    if not isinstance(vision, Mapping):
        return 0
    blocks, hidden, ffn = (_encoder_size(config, vision, keys) for keys in ENCODER_KEYS)
    return blocks * (4 * hidden * hidden + 2 * hidden * ffn)


def _encoder_size(config: Config, vision: Mapping[str, Any], keys: tuple[str, ...]) -> int:
    found = next((vision[key] for key in keys if key in vision), None)
    if not whole(found):
        raise InputError(f"{config.name}: vision_config has no whole number as {' or '.join(keys)}")
    return int(str(found))
