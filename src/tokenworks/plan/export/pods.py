"""Parts that all Kubernetes targets share: containers, pods, config maps. Without secrets: a cluster adds its own."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

from tokenworks.plan.export import sglang, tensorrt_llm, vllm
from tokenworks.plan.export.record import Record
from tokenworks.plan.export.text import yaml_bytes
from tokenworks.plan.export.units import Unit

MODELS = "models"  # claim of the volume with the checkpoints
CONFIG = "/config"
PORTS = {"vllm": vllm.PORT, "sglang": sglang.PORT, "tensorrt-llm": tensorrt_llm.PORT}


def resources(unit: Unit) -> dict[str, Any]:
    """The accelerators of one pod."""
    return {"limits": {unit.resource: str(unit.gpus_per_node)}}


def container(unit: Unit, image: str, words: list[str], port: int) -> dict[str, Any]:
    """The engine's container; its first three words at most are the command."""
    split = next(i for i, w in enumerate(words) if (w.startswith("-") and w != "-m") or i == len(words) - 1)
    made: dict[str, Any] = {"name": "main", "image": image, "command": words[:split], "args": words[split:]}
    made["ports"] = [{"name": "http", "containerPort": port}]
    made["readinessProbe"] = {"httpGet": {"path": "/health", "port": "http"}, "periodSeconds": 10}
    return made | {"resources": resources(unit), "volumeMounts": mounts(unit)}


def mounts(unit: Unit) -> list[dict[str, Any]]:
    found: list[dict[str, Any]] = [{"name": "shm", "mountPath": "/dev/shm"}]
    if unit.weights.startswith("/"):
        found.append({"name": MODELS, "mountPath": "/models", "readOnly": True})
    if unit.engine == "tensorrt-llm":
        found.append({"name": "config", "mountPath": CONFIG, "readOnly": True})
    return found


def volumes(unit: Unit) -> list[dict[str, Any]]:
    found: list[dict[str, Any]] = [{"name": "shm", "emptyDir": {"medium": "Memory"}}]
    if unit.weights.startswith("/"):
        found.append({"name": MODELS, "persistentVolumeClaim": {"claimName": MODELS}})
    if unit.engine == "tensorrt-llm":
        found.append({"name": "config", "configMap": {"name": config_name(unit)}})
    return found


def config_name(unit: Unit) -> str:
    return f"{unit.name}-config"


def config_map(name: str, files: dict[str, Any]) -> dict[str, Any]:
    """YAML files as a ConfigMap."""
    data = {file: yaml_bytes([content]).decode() for file, content in files.items()}
    return {"apiVersion": "v1", "kind": "ConfigMap", "metadata": {"name": name}, "data": data}


def engine_config(unit: Unit, record: Record) -> list[dict[str, Any]]:
    """The ConfigMap of TensorRT-LLM's arguments; nothing for engines that take flags."""
    if unit.engine != "tensorrt-llm":
        return []
    return [config_map(config_name(unit), {"engine.yaml": tensorrt_llm.arguments(unit, record)})]


def notes(mine: Sequence[Unit]) -> list[str]:
    """What else the cluster needs for these pods."""
    many = next((u for u in mine if u.nodes > 1 and u.node_gpus < u.deployment.gpus_per_node), None)
    if many is None:
        return []
    return [f"{many.name}: NVLink between its {many.nodes} hosts needs a ComputeDomain claim of NVIDIA's DRA driver."]


def labels(unit: Unit) -> dict[str, str]:
    return {"app.kubernetes.io/name": unit.name, "app.kubernetes.io/part-of": unit.name.removesuffix(f"-{unit.role}")}
