"""NVIDIA NIM: values of the chart nim-llm, and the tags that a model profile must have to be the planned one."""

from __future__ import annotations

import shlex
from collections.abc import Sequence
from typing import Any

from tokenworks.errors import UnsupportedError
from tokenworks.plan.export import pods, sglang, vllm
from tokenworks.plan.export.record import Record
from tokenworks.plan.export.text import comments, yaml_bytes
from tokenworks.plan.export.units import Unit

NAME = "NIM"


def files(all_units: Sequence[Unit], record: Record, title: str) -> dict[str, bytes]:
    """Helm values and the wanted profile of each service. Raises UnsupportedError for what one NIM cannot run."""
    made: dict[str, bytes] = {}
    for unit in all_units:
        _refuse(unit)
        document = _values(unit, record)
        record.lacks(unit, "routing", "a NIM serves one replica; a Service goes to them at random")
        record.finish(unit, NAME)
        head = comments(f"{title}: service {unit.service.name}.", record.of(unit.service.name))
        secrets = "The cluster needs the secrets ngc-api and ngc-secret of the chart; none is in this file."
        made[f"{unit.name}-values.yaml"] = yaml_bytes([document], [*head, secrets])
        about = "Choose a profile with these tags among those of list-model-profiles: its id is NIM_MODEL_PROFILE."
        made[f"{unit.name}-profile.yaml"] = yaml_bytes(
            [{"tags": profile(unit)}], [f"{title}: {unit.service.name}.", about]
        )
    return made


def _refuse(unit: Unit) -> None:
    name = unit.service.name
    if unit.vendor != "NVIDIA":
        raise UnsupportedError(
            f"{name}: NIM runs on NVIDIA GPUs, not on {unit.deployment.accelerator}; use --to kubernetes"
        )
    if unit.disaggregated:
        raise UnsupportedError(f"{name}: one NIM holds prefill and decode; use --to dynamo for separate workers")
    if unit.nodes > 1:
        raise UnsupportedError(
            f"{name}: a replica spans {unit.nodes} hosts; use --to dynamo, --to llm-d or --to kubernetes"
        )
    if unit.service.name not in unit.options.images:
        example = f"--image '{name}=nvcr.io/nim/PUBLISHER/MODEL:TAG'"
        raise UnsupportedError(f"{name}: every model has a NIM of its own; name it with {example}")


def _engine(unit: Unit) -> str:
    """NIM 2 runs vLLM or SGLang."""
    return "sglang" if unit.engine == "sglang" else "vllm"


def profile(unit: Unit) -> dict[str, Any]:
    """Tags of the wanted profile."""
    d = unit.deployment
    tags: dict[str, Any] = {"llm_engine": _engine(unit), "precision": unit.service.precision}
    tags |= {"tp": d.tp, "pp": d.pp, "gpu": unit.deployment.accelerator, "feat_lora": bool(d.lora_adapters)}
    return tags


def _values(unit: Unit, record: Record) -> dict[str, Any]:
    """Values of the chart; engine flags go into NIM_PASSTHROUGH_ARGS."""
    repository, _, tag = unit.options.images[unit.service.name].rpartition(":")
    words = sglang.flags(unit, record) if _engine(unit) == "sglang" else vllm.flags(unit, record)
    uri = unit.weights if unit.weights.startswith("/") else f"hf://{unit.weights}"
    env = {"NIM_MODEL_PATH": uri, "NIM_SERVED_MODEL_NAME": unit.service.name, "NIM_PASSTHROUGH_ARGS": shlex.join(words)}
    record.said(unit, "model", f"NIM_MODEL_PATH {uri}")
    record.said(unit, "name", f"NIM_SERVED_MODEL_NAME {unit.service.name}")
    record.said(unit, "workers", f"replicaCount {unit.count}")
    found: dict[str, Any] = {"image": {"repository": repository, "tag": tag}, "replicaCount": unit.count}
    found["resources"] = pods.resources(unit)
    found["model"] = {"name": unit.service.name, "openaiPort": 8000}
    found["env"] = [{"name": key, "value": value} for key, value in env.items()]
    if unit.weights.startswith("/"):
        found["extraVolumes"] = {pods.MODELS: {"persistentVolumeClaim": {"claimName": pods.MODELS}}}
        found["extraVolumeMounts"] = {pods.MODELS: {"mountPath": "/models", "readOnly": True}}
    return found
