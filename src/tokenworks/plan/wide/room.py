"""KV cache of a rank as a function of its batch: windows and linear states grow with it."""

from __future__ import annotations

from dataclasses import dataclass, replace

import numpy as np

from tokenworks.physics.deployment import Deployment
from tokenworks.physics.memory import memory_map
from tokenworks.physics.operators import Array
from tokenworks.physics.step import Machine


@dataclass(frozen=True)
class Room:
    """Bytes on one GPU for the caches of the sequences of one rank."""

    free: float  # windows, states and the growing cache together
    fixed: float  # windows and states of one sequence
    per_token: float  # of the growing cache
    block_tokens: int

    @classmethod
    def of(cls, machine: Machine, deployment: Deployment) -> Room:
        """For a deployment of this machine with limits of its own."""
        none = replace(deployment, max_seqs=0)
        sizes = memory_map(Machine(none, machine.chip, machine.terms, machine.part))
        part = machine.part
        return cls(sizes.kv, part.kv_bytes_fixed, part.kv_bytes_per_token, deployment.block_tokens)

    def tokens(self, batch: Array | float) -> Array:
        """Tokens of the growing cache beside ``batch`` sequences, in whole blocks; as ``memory.kv_blocks`` for a
        deployment that does not know how long its sequences get (windows take half of the cache at most)."""
        left = self.free - np.minimum(self.fixed * np.asarray(batch, dtype=float), max(0.0, self.free) / 2)
        if self.per_token <= 0:
            return np.where(left > 0, np.inf, 0.0)
        block = self.per_token * self.block_tokens
        return np.maximum(np.floor(left / block), 0.0) * self.block_tokens
