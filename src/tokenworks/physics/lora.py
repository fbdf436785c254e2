"""Low-rank adapters (LoRA, arXiv 2106.09685), many of them in one batch (Punica, arXiv 2310.18547; S-LoRA, 2311.03285).

Each adapted projection adds x·A·B: one kernel shrinks all tokens to the rank, one expands them into the output.
Adapted are the attention and the dense feed-forward projections; linear mixers, routers and experts are not. A matrix
that fuses several projections (queries, keys and values) has an A of its own for each of them. Adapters stay in 16 bits.
"""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np

from tokenworks import catalog
from tokenworks.physics.curves import gemm_curve, streamed_share
from tokenworks.physics.deployment import Deployment
from tokenworks.physics.operators import ACTIVATION_BYTES, Array, Chip, Cost, roofline
from tokenworks.physics.shard import Shard
from tokenworks.physics.terms import Terms

ADAPTER_BYTES = 2.0  # of a stored parameter
PRECISION = "bf16"


@dataclass(frozen=True)
class Adapter:
    """One adapter on one GPU: all its projections that see the tokens of one rank, or of all."""

    parameters: float
    moved: float  # elements of activations per token: input, ranks written and read, output read and written

    @property
    def weight_bytes(self) -> float:
        return self.parameters * ADAPTER_BYTES


def adapter(deployment: Deployment, part: Shard, shared: bool) -> Adapter:
    """Sums over the adapted projections of this GPU: rank · (A's input + B's output)."""
    fused, rank = _fused(catalog.load("models", deployment.model)), deployment.lora_rank
    chosen = [(m, fused[m.name]) for m in part.gemms if m.name in fused and m.shared == shared]
    parameters = sum(rank * (parts * m.k + m.n) * m.count for m, parts in chosen)
    moved = sum((m.k + 2 * parts * rank + 2 * m.n) * m.count for m, parts in chosen)
    return Adapter(parameters, moved)


def _fused(model: catalog.Entry) -> dict[str, int]:
    """Adapted matrices, and how many projections each fuses."""
    down = 2 if model["attention"] == "mla" and model["q_lora_rank"] else 1
    plain = ("attention out", "mla q up", "mla kv up", "ffn down")
    return {"qkv": 3, "mla down": down, "ffn up": 2 if model["ffn_gated"] else 1} | dict.fromkeys(plain, 1)


def resident_bytes(deployment: Deployment, part: Shard) -> float:
    """Memory of all loaded adapters on one GPU; 0 without LoRA."""
    if not deployment.lora_adapters:
        return 0.0
    return deployment.lora_adapters * sum(adapter(deployment, part, shared).weight_bytes for shared in (False, True))


def distinct(adapters: int, sequences: Array) -> Array:
    """Expected adapters among sequences that each ask for one of ``adapters``, all equally often."""
    if adapters == 1:
        return np.asarray(np.where(sequences > 0, 1.0, 0.0))
    return np.asarray(-adapters * np.expm1(sequences * np.log1p(-1.0 / adapters)))


def applied(chip: Chip, terms: Terms, deployment: Deployment, part: Shard, rows: Array, shared: bool) -> Cost:
    """Shrinking and expanding ``rows`` tokens. Bandwidth bound: the rank is too narrow for the tensor cores, which
    lose the curve's edge of it.

    Local steps read one adapter here; those of further sequences cost ``further_bytes``. Shared ones know tokens
    only, and read as many adapters as if each token were a sequence (exact in decode, at most all of them).
    """
    own = adapter(deployment, part, shared)
    read = distinct(deployment.lora_adapters, rows) if shared else np.where(rows > 0, 1.0, 0.0)
    flop_s = 2.0 * rows * own.parameters / chip.peak_flop_s(PRECISION)
    byte_s = (read * own.weight_bytes + rows * own.moved * ACTIVATION_BYTES) / chip.bandwidth
    curve = gemm_curve(chip.generation, PRECISION)
    share = terms.flop_dense * curve.compute / (1.0 + terms.gemm_edge * curve.edge / deployment.lora_rank)
    return roofline(flop_s, byte_s, share, terms.mem_dense * streamed_share())


def further_bytes(deployment: Deployment, part: Shard, sequences: Array) -> Array:
    """Bytes of the adapters that a batch reads beyond the first."""
    beyond = np.maximum(distinct(deployment.lora_adapters, sequences) - 1.0, 0.0)
    return np.asarray(beyond * adapter(deployment, part, shared=False).weight_bytes)
