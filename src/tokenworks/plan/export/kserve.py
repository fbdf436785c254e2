"""KServe: LLMInferenceService (vLLM, aggregated or disaggregated), InferenceService for the other engines."""

from __future__ import annotations

import shlex
from collections.abc import Sequence
from typing import Any

from tokenworks.errors import UnsupportedError
from tokenworks.plan.export import kubernetes, pods, vllm
from tokenworks.plan.export.llm_d import without
from tokenworks.plan.export.record import Record
from tokenworks.plan.export.text import comments, yaml_bytes
from tokenworks.plan.export.units import Unit

NAME = "KServe"
KSERVE_SAYS = {"--tensor-parallel-size": "tensor"}  # its template of `vllm serve` writes these itself


def files(all_units: Sequence[Unit], record: Record, title: str) -> dict[str, bytes]:
    """One file for each service."""
    made: dict[str, bytes] = {}
    for service in dict.fromkeys(u.service.name for u in all_units):
        mine = [u for u in all_units if u.service.name == service]
        name = mine[0].name.removesuffix(f"-{mine[0].role}")
        documents = [_llm(name, mine, record)] if mine[0].engine == "vllm" else _custom(name, mine, record)
        for unit in mine:
            record.lacks(
                unit, "routing", "KServe's scheduler weighs queue and prefix cache by a configuration of its own"
            )
            record.finish(unit, NAME)
        head = comments(f"{title}: service {service}.", record.of(service))
        made[f"{name}.yaml"] = yaml_bytes(documents, head)
    return made


def _llm(name: str, mine: Sequence[Unit], record: Record) -> dict[str, Any]:
    """LLMInferenceService: its own template starts vLLM; flags go into VLLM_ADDITIONAL_ARGS."""
    unit = mine[0]
    path = unit.weights.removeprefix("/models/")
    uri = f"pvc://{pods.MODELS}/{path}" if unit.weights.startswith("/") else f"hf://{unit.weights}"
    model: dict[str, Any] = {"uri": uri, "name": unit.service.name}
    spec: dict[str, Any] = {"model": model}
    for one in mine:
        part = _workload(one, record)
        spec |= {"prefill": part} if one.role == "prefill" else part
        record.said(one, "model", f"model.uri {uri}")
        record.said(one, "name", f"model.name {unit.service.name}")
        if one.disaggregated:
            record.said(one, "role", "spec.prefill" if one.role == "prefill" else "spec, beside spec.prefill")
    spec["router"] = {"gateway": {}, "route": {}, "scheduler": {}}
    kind = {"apiVersion": "serving.kserve.io/v1alpha2", "kind": "LLMInferenceService"}
    return {**kind, "metadata": {"name": name}, "spec": spec}


def _workload(unit: Unit, record: Record) -> dict[str, Any]:
    d = unit.deployment
    words = vllm.flags(unit, record)
    args = without(words, KSERVE_SAYS) if d.tp > 1 else words
    parallelism: dict[str, Any] = {"tensor": d.tp, "pipeline": d.pp}
    record.said(unit, "workers", f"replicas {unit.count}")
    if d.dp > 1:
        parallelism |= {"data": d.dp, "dataLocal": max(1, d.dp // unit.nodes)}
    if d.ep > 1:
        parallelism["expert"] = True
    extra = {"name": "VLLM_ADDITIONAL_ARGS", "value": shlex.join(args)}
    main = {"name": "main", "env": [extra], "resources": pods.resources(unit)}
    if unit.vendor != "NVIDIA" or unit.service.name in unit.options.images:
        main["image"] = unit.image("vllm")
    found: dict[str, Any] = {"replicas": unit.count, "parallelism": parallelism, "template": {"containers": [main]}}
    if unit.nodes > 1:
        found["worker"] = {"containers": [main]}
    return found


def _custom(name: str, mine: Sequence[Unit], record: Record) -> list[dict[str, Any]]:
    """InferenceService with the engine's own container. Raises UnsupportedError for what it cannot run."""
    unit = mine[0]
    kubernetes.refuse(mine)
    if unit.disaggregated or unit.nodes > 1:
        what = "disaggregated services" if unit.disaggregated else "replicas on several hosts"
        said = f"KServe runs {what} of vLLM only, not of {unit.service.engine}"
        raise UnsupportedError(f"{unit.service.name}: {said}; use --to dynamo or --to kubernetes")
    main = pods.container(unit, unit.image(unit.engine), kubernetes.command(unit, record), pods.PORTS[unit.engine])
    main |= {"name": "kserve-container", "ports": [{"name": "http1", "containerPort": pods.PORTS[unit.engine]}]}
    main["readinessProbe"]["httpGet"]["port"] = "http1"
    record.said(unit, "workers", f"predictor.minReplicas and maxReplicas {unit.count}")
    predictor = {"minReplicas": unit.count, "maxReplicas": unit.count, "containers": [main]}
    kind = {"apiVersion": "serving.kserve.io/v1beta1", "kind": "InferenceService"}
    raw = {"serving.kserve.io/deploymentMode": "Standard"}
    body = {"predictor": predictor | {"volumes": pods.volumes(unit)}}
    return [
        *pods.engine_config(unit, record),
        {**kind, "metadata": {"name": name, "annotations": raw}, "spec": body},
    ]
