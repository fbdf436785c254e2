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
    sizes = _sizes(unit)
    filled = sizes.usable - sizes.free + sizes.kv + sizes.fixed_kv - (0.0 if reserve else sizes.reserve)
    return round(filled / sizes.device, 4)


def free_share(unit: Unit) -> float:
    """Share for the KV cache of what loading leaves free. TensorRT-LLM counts so; 1 at most."""
    sizes = _sizes(unit)
    free = sizes.free + (sizes.device - sizes.usable)
    return round(min(1.0, (sizes.kv + sizes.fixed_kv) / free), 4)


def _sizes(unit: Unit) -> MemoryMap:
    """Raises CapacityError where no KV cache is left."""
    sizes = memory_map(Machine.of(unit.deployment, {}))
    if sizes.kv + sizes.fixed_kv <= 0:
        said = f"the weights leave no KV cache on {unit.deployment.gpus} x {unit.deployment.accelerator}"
        raise CapacityError(f"{unit.service.name}: {said}; more GPUs for a replica or smaller weights do")
    return sizes
