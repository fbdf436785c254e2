"""Engines count the memory of the KV cache in two ways; both are made to give the bytes of the rehearsal."""

from __future__ import annotations

from tokenworks.errors import CapacityError
from tokenworks.physics.memory import MemoryMap, memory_map
from tokenworks.physics.step import Machine
from tokenworks.plan.export.units import Unit


def device_share(unit: Unit, engine: str, reserve: bool) -> float:
    """Share of the whole device that the engine may fill: weights and KV cache, with ``reserve`` what it works in too.
    That of the factory file where it was planned with this engine, else what gives the same KV cache."""
    if unit.engine == engine:
        return unit.deployment.memory_fraction
    found = sizes(unit)
    filled = found.usable - found.free + found.kv + found.fixed_kv - (0.0 if reserve else found.reserve)
    return round(filled / found.device, 4)


def free_share(unit: Unit) -> float:
    """Share for the KV cache of what loading leaves free. TensorRT-LLM counts so; 1 at most."""
    found = sizes(unit)
    free = found.free + (found.device - found.usable)
    return round(min(1.0, (found.kv + found.fixed_kv) / free), 4)


def sizes(unit: Unit) -> MemoryMap:
    """The memory of one GPU. Raises CapacityError where no KV cache is left."""
    found = memory_map(Machine.of(unit.deployment, {}))
    if found.kv + found.fixed_kv <= 0:
        said = f"the weights leave no KV cache on {unit.deployment.gpus} x {unit.deployment.accelerator}"
        raise CapacityError(f"{unit.service.name}: {said}; more GPUs for a replica or smaller weights do")
    return found
