"""How fast workers of a disaggregated service are: they do one thing only, and the model is fitted on workers that do both."""

from __future__ import annotations

from dataclasses import replace

from tokenworks import catalog
from tokenworks.physics.deployment import Deployment


def in_pool(deployment: Deployment, role: str) -> Deployment:
    """The deployment as a worker of a pool ("prefill" or "decode"); any other role leaves it as it is."""
    return replace(deployment, pool_speed=pool_speed(deployment, role)) if role in ("prefill", "decode") else deployment


def pool_speed(deployment: Deployment, role: str) -> float:
    """How much faster workers with one ``role`` (prefill, decode) are than the model of mixing ones says, fitted on
    disaggregated runs with stated degrees."""
    known = {
        "role": role,
        "engine": catalog.load("engines", deployment.engine)["base"],
        "generation": catalog.load("accelerators", deployment.accelerator)["generation"],
        "attention_dp": deployment.dp > 1,
    }
    for pool in catalog.load("harnesses", "inferencex").extra["pools"]:
        if all(known[key] == pool[key] for key in known if key in pool):
            return float(pool["speed"])
    return 1.0
