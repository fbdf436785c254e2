"""How vLLM and SGLang are told the precision of the weights."""

from __future__ import annotations

from tokenworks import catalog
from tokenworks.plan.export.record import Arguments

DTYPES = {"bf16": "bfloat16", "fp16": "float16", "fp32": "float32"}
QUANTISATION = {  # the engines' names; the first two quantise 16-bit weights while loading, others need such a checkpoint
    "fp8": "fp8",
    "mxfp8": "mxfp8",
    "nvfp4": "modelopt_fp4",
    "mxfp4": "mxfp4",
}


def precision(args: Arguments, engine: str) -> None:
    """--dtype, --quantization, or nothing where the published checkpoint is in this precision already."""
    wanted, model = args.unit.service.precision, args.unit.service.model
    if wanted in DTYPES:
        args.flag("precision", "--dtype", DTYPES[wanted])
    elif wanted == catalog.load("models", model)["native_weights"]:
        args.default("precision", f"the published checkpoint of {model} is in {wanted}")
    elif wanted in QUANTISATION:
        args.flag("precision", "--quantization", QUANTISATION[wanted])
    else:
        args.lacks("precision", f"{engine} reads it from the checkpoint: give one quantised to {wanted} with --weights")
