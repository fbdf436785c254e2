"""What being one of the workers of a disaggregated service means: they do one thing only, while the model is fitted on workers
that do both; and they hand KV over by the links of a scale-up domain where all of them fit one."""

from __future__ import annotations

from dataclasses import replace

from tokenworks import catalog
from tokenworks.physics.deployment import Deployment
from tokenworks.physics.operators import Chip


def in_pool(deployment: Deployment, role: str) -> Deployment:
    """The deployment as a worker of a pool ("prefill" or "decode"); any other role leaves it as it is."""
    return replace(deployment, pool_speed=pool_speed(deployment, role)) if role in ("prefill", "decode") else deployment


def domain_gpus(accelerator: str, system_gpus: int) -> int:
    """GPUs of a scale-up domain of such systems."""
    return min(int(catalog.load("accelerators", accelerator)["scale_up_domain"]), system_gpus)


def side_by_side(deployment: Deployment, cell_gpus: int, system_gpus: int) -> Deployment:
    """The deployment with the bandwidth to its partners (GB/s a GPU, one way). ``cell_gpus``: of all workers of the service; a
    cell that fits one domain stands in it."""
    if cell_gpus > domain_gpus(deployment.accelerator, system_gpus):
        return deployment
    chip = Chip.load(deployment.accelerator)
    return replace(
        deployment, transfer_gb_s=max(chip.link_bytes_s / 1e9, deployment.scale_out_gb_s, chip.far_bytes_s / 1e9)
    )


def pool_speed(deployment: Deployment, role: str) -> float:
    """How much faster workers with one ``role`` (prefill, decode) are than the model of mixing ones says, fitted on
    disaggregated runs with stated degrees; for what was not measured (models without experts) it is 1."""
    known = {
        "role": role,
        "engine": catalog.load("engines", deployment.engine)["base"],
        "generation": catalog.load("accelerators", deployment.accelerator)["generation"],
        "attention_dp": deployment.dp > 1,
        "experts": bool(catalog.load("models", deployment.model)["experts"]),
    }
    for pool in catalog.load("harnesses", "inferencex").extra["pools"]:
        if all(known[key] == pool[key] for key in known if key in pool):
            return float(pool["speed"])
    return 1.0
