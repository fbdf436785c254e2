"""The memory of one GPU: weights, reserve, KV cache; or why a model does not fit."""

from __future__ import annotations

from dataclasses import dataclass
from functools import lru_cache

from tokenworks import catalog
from tokenworks.errors import CapacityError
from tokenworks.physics.deployment import Deployment
from tokenworks.physics.lora import resident_bytes
from tokenworks.physics.precision import bytes_per_weight
from tokenworks.physics.shard import Shard
from tokenworks.physics.step import Machine

MAX_BLOCKS = 1 << 40  # a cache that does not grow with context (windows and linear mixers only)


@dataclass(frozen=True)
class MemoryMap:
    """Bytes on one GPU."""

    device: float
    usable: float  # after the engine's memory fraction
    weights: float
    reserve: float
    fixed_kv: float  # windows and linear states of max_seqs sequences
    kv: float  # for the growing cache
    adapters: float = 0.0  # LoRA
    encoder: float = 0.0  # vision or audio

    @property
    def free(self) -> float:
        return self.usable - self.weights - self.adapters - self.encoder - self.reserve


def memory_map(machine: Machine) -> MemoryMap:
    """Who gets how much; ``kv`` ≤ 0 means that the model does not fit."""
    deployment, part = machine.deployment, machine.part
    device = float(machine.chip.entry["memory_usable_gb"]) * 1e9
    usable, reserve = device * deployment.memory_fraction, deployment.memory_reserve_gb * 1e9
    adapters, encoder = resident_bytes(deployment, part), encoder_bytes(deployment)
    reserve += workspace_bytes(deployment, part)
    free = (usable - part.weight_bytes - adapters - encoder - reserve) * deployment.kv_fraction_of_free
    fixed = _fixed_kv(deployment, part, max(0.0, free))
    return MemoryMap(device, usable, part.weight_bytes, reserve, fixed, free - fixed, adapters, encoder)


def workspace_bytes(deployment: Deployment, part: Shard) -> float:
    """Buffers of the routed experts under attention DP, where an engine sizes them for the tokens of all ranks: every
    pick has a row of its own in the permuted input, the gated product, its activation and the output. Without attention
    DP they are part of the usual reserve."""
    experts = part.experts
    if experts is None or deployment.dp == 1 or not catalog.load("engines", deployment.engine).get("expert_workspace"):
        return 0.0
    hidden, inner = part.hidden, experts.parameters / 3 / part.hidden
    quantised = min(2.0, bytes_per_weight(experts.precision))
    row = hidden * (quantised + 2.0) + inner * (2 * 2.0 + quantised)
    return deployment.token_budget * deployment.dp * experts.top_k * row


def _fixed_kv(deployment: Deployment, part: Shard, free: float) -> float:
    """Bytes for the windows and linear states of the sequences that run.

    Windows are allocated as sequences come, so a batch limit far above what fits must not eat the whole cache. A sequence
    of known length fills its windows up to that length and divides its bytes between both kinds of layer; without one,
    windows take half of the cache at most.
    """
    most = part.kv_bytes_fixed * deployment.max_seqs
    length = deployment.sequence_tokens
    if not length:
        return min(most, free / 2)
    window = part.attention.decode_bytes[1]
    own = part.kv_bytes_fixed - window * max(0, part.attention.limits[0] - length)
    return min(own * deployment.max_seqs, free * own / (own + part.kv_bytes_per_token * length)) if own else 0.0


def encoder_bytes(deployment: Deployment) -> float:
    """Weights of the vision or audio encoder on one GPU, if it is loaded: 16 bits in every published checkpoint, cut by
    tensor parallelism, stages averaged. Its work is not priced: workloads say nothing of images and sounds."""
    if not deployment.encoder:
        return 0.0
    parameters = float(catalog.load("models", deployment.model)["encoder_params_b"]) * 1e9
    return parameters * 2.0 / deployment.tp / deployment.pp


@lru_cache(maxsize=4096)
def fits(deployment: Deployment) -> bool:
    """Whether the weights leave room for a KV cache of at least 1,000 tokens."""
    machine = Machine.of(deployment, {})
    return memory_map(machine).kv >= 1000 * machine.part.kv_bytes_per_token


def kv_blocks(machine: Machine) -> int:
    """KV blocks of one rank. Raises CapacityError: needs X GB, has Y."""
    sizes, deployment = memory_map(machine), machine.deployment
    per_token = machine.part.kv_bytes_per_token
    if per_token <= 0 and sizes.kv > 0:
        return MAX_BLOCKS
    blocks = int(sizes.kv // (per_token * deployment.block_tokens)) if per_token > 0 else 0
    if blocks < 1:
        needed = (sizes.usable - sizes.free + per_token * deployment.block_tokens) / 1e9
        beside = (("LoRA adapters", sizes.adapters), ("encoder", sizes.encoder))
        said = "".join(f"{name} {size / 1e9:.1f}, " for name, size in beside if size)
        raise CapacityError(
            f"{deployment.model} in {deployment.weights} does not fit on {deployment.gpus} x "
            f"{deployment.accelerator}: needs {needed:.1f} GB per GPU (weights {sizes.weights / 1e9:.1f}, "
            f"{said}reserve {deployment.memory_reserve_gb:.1f}), has {sizes.usable / 1e9:.1f}"
        )
    return blocks
