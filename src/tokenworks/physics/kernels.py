"""What layers do beside their large products: small kernels that are launched one after the other, and the bytes
that norms, rotary embeddings and activations of dense feed-forwards move through memory (routed experts move their
own: `operators.routed`).

Counts are those of fused inference kernels: one kernel for a norm with its residual, one for rotary embedding and
cache write, one for the gated activation; block-scaled formats quantise the input of each product by one more.
"""

from __future__ import annotations

from tokenworks import catalog
from tokenworks.physics.deployment import Deployment

ELEMENT = 2.0  # bytes of an activation
NORM_PASSES = 4  # a norm reads its input and the residual, and writes both
ROTARY_PASSES = 2  # queries, keys and values are read and written once
ATTENTION = 2  # split-KV attention and its reduction
ROTARY = 1
MLA_EXTRA = 5  # two norms of the low ranks, two absorbed products, one concatenation
FEED_FORWARD = 1  # the activation, beside two products
ROUTING = 4  # router, top-k, sorting of tokens, merging of experts
ADAPTED = 2  # LoRA: one kernel shrinks to the rank, one expands (physics/lora.py)
SCALED = ("fp8_block", "nvfp4", "mxfp4")  # inputs are quantised with scales of their own


def launches(deployment: Deployment, model: catalog.Entry) -> float:
    """Kernels that one step launches on one GPU, over all its layers."""
    softmax = model["full_layers"] + model["window_layers"] + model["topk_layers"]
    linear = model["linear_layers"]
    mla = model["attention"] == "mla"
    products = 4 if mla else 2
    count = model["norms_per_layer"] * model["layers"] - fused_norms(deployment, model)
    count += softmax * (ATTENTION + ROTARY + products + (MLA_EXTRA if mla else 0))
    count += linear * (ATTENTION + products)
    count += model["dense_layers"] * (FEED_FORWARD + 2)
    count += model["moe_layers"] * (ROUTING + FEED_FORWARD + 2)
    count += model["moe_layers"] * (FEED_FORWARD + 2 if model["shared_ffn"] else 0)
    if deployment.weights in SCALED:
        count += products * softmax + 2 * (model["dense_layers"] + model["moe_layers"])
    if deployment.lora_adapters:
        count += ADAPTED * (products * softmax + 2 * model["dense_layers"])
    return float(count) / deployment.pp


def local_bytes(deployment: Deployment, model: catalog.Entry) -> float:
    """Bytes per token of one rank, on one GPU: norms, rotary embedding, and dense activations without attention DP."""
    norms = model["norms_per_layer"] * model["layers"] * NORM_PASSES * model["hidden"]
    norms -= fused_norms(deployment, model) * model["hidden"]  # the sum is still in registers: one pass less
    rotary = ROTARY_PASSES * _softmax_layers(model) * _attention_width(model) / deployment.tp
    dense = 0.0 if deployment.dp > 1 else _feed_forward(deployment, model)
    return float(norms + rotary + dense) * ELEMENT / deployment.pp


def shared_bytes(deployment: Deployment, model: catalog.Entry) -> float:
    """Bytes per token of all ranks, on one GPU: activations of dense and shared feed-forwards under attention DP."""
    return _feed_forward(deployment, model) * ELEMENT / deployment.pp if deployment.dp > 1 else 0.0


def fused_norms(deployment: Deployment, model: catalog.Entry) -> int:
    """Norms that run inside the all-reduce of their input: one follows each, as far as the model has norms.

    An upper bound in long prefills: engines fuse up to a message size of some megabytes.
    """
    if not deployment.fused_all_reduce or deployment.tp == 1:
        return 0
    reduced = _softmax_layers(model) + model["linear_layers"]
    reduced += 0 if deployment.dp > 1 else model["dense_layers"] + model["moe_layers"]
    return int(min(reduced, model["norms_per_layer"] * model["layers"]))


def _softmax_layers(model: catalog.Entry) -> float:
    return float(model["full_layers"] + model["window_layers"] + model["topk_layers"])


def _attention_width(model: catalog.Entry) -> float:
    if model["attention"] == "mla":
        per_head = model["qk_nope_dim"] + 2 * model["qk_rope_dim"] + 2 * model["kv_lora_rank"]
        return float(model["heads"] * per_head)
    return float((model["heads"] + 2 * model["kv_heads"]) * model["head_dim"])


def _feed_forward(deployment: Deployment, model: catalog.Entry) -> float:
    """Elements per token: the activation reads its inputs and writes its output."""
    width = deployment.tp * deployment.dp
    passes = 3 if model["ffn_gated"] else 2
    inner = model["dense_layers"] * model["ffn"] + model["moe_layers"] * model["shared_ffn"]
    return float(passes * inner / width)
