"""NVIDIA Dynamo: one DynamoGraphDeployment (nvidia.com/v1beta1) for each service, with its router as the frontend."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

from tokenworks.errors import UnsupportedError
from tokenworks.plan.export import pods, sglang, tensorrt_llm, vllm
from tokenworks.plan.export.record import Record
from tokenworks.plan.export.text import comments, yaml_bytes
from tokenworks.plan.export.units import Unit

NAME = "Dynamo"
MODULES = {"vllm": "dynamo.vllm", "sglang": "dynamo.sglang", "tensorrt-llm": "dynamo.trtllm"}
MODES = {"kv-aware": "kv", "session": "least-loaded"}  # others have the same name
SESSION_S = 600
EVENTS = {  # what the kv router listens to
    "vllm": '{"publisher":"zmq","topic":"kv-events","endpoint":"tcp://*:20080","enable_kv_cache_events":true}',
    "sglang": '{"publisher":"zmq","topic":"kv-events","endpoint":"tcp://*:20080"}',
}


def files(all_units: Sequence[Unit], record: Record, title: str) -> dict[str, bytes]:
    """One file for each service: config maps of its engines, then the graph."""
    made: dict[str, bytes] = {}
    for service in dict.fromkeys(u.service.name for u in all_units):
        mine = [u for u in all_units if u.service.name == service]
        if mine[0].engine not in MODULES:
            known = ", ".join(MODULES)
            raise UnsupportedError(f"{service}: Dynamo runs {known}, not {mine[0].service.engine}")
        configs = [part for unit in mine for part in pods.engine_config(unit, record)]
        name = mine[0].name.removesuffix(f"-{mine[0].role}")
        components = [_frontend(mine, record), *(_worker(unit, record) for unit in mine)]
        kind = {"apiVersion": "nvidia.com/v1beta1", "kind": "DynamoGraphDeployment", "metadata": {"name": name}}
        for unit in mine:
            record.finish(unit, NAME)
        head = [*comments(f"{title}: service {service}.", record.of(service)), *pods.notes(mine)]
        made[f"{name}.yaml"] = yaml_bytes([*configs, {**kind, "spec": {"components": components}}], head)
    return made


def _frontend(mine: Sequence[Unit], record: Record) -> dict[str, Any]:
    unit = mine[0]
    mode = MODES.get(unit.service.routing, unit.service.routing)
    args = ["-m", "dynamo.frontend", "--http-port", "8000", "--router-mode", mode]
    said = f"--router-mode {mode}"
    if unit.service.routing == "session":
        args += ["--router-session-affinity-ttl-secs", str(SESSION_S)]
        said += f" --router-session-affinity-ttl-secs {SESSION_S}"
    if unit.service.routing == "kv-aware":
        args += ["--router-prefill-load-scale", f"{unit.service.kv_weight:.10g}"]
    for one in mine:
        record.said(one, "routing", said)
        record.said(one, "kv_weight", f"--router-prefill-load-scale {unit.service.kv_weight:.10g}")
    main = {"name": "main", "image": unit.image(f"dynamo-{unit.engine}"), "command": ["python3"], "args": args}
    return {"name": "Frontend", "type": "frontend", "replicas": 1, "podTemplate": {"spec": {"containers": [main]}}}


def _worker(unit: Unit, record: Record) -> dict[str, Any]:
    main: dict[str, Any] = {"name": "main", "image": unit.image(f"dynamo-{unit.engine}")}
    main |= {"command": ["python3", "-m", MODULES[unit.engine]], "args": _args(unit, record)}
    main |= {"resources": pods.resources(unit), "volumeMounts": pods.mounts(unit)}
    component: dict[str, Any] = {"name": unit.role if unit.disaggregated else "worker"}
    component |= {"type": component["name"], "replicas": unit.count}
    record.said(unit, "workers", f"replicas {unit.count}")
    if unit.nodes > 1:
        component["multinode"] = {"nodeCount": unit.nodes}
    spec = {"containers": [main], "volumes": pods.volumes(unit)}
    return component | {"podTemplate": {"metadata": {"labels": pods.labels(unit)}, "spec": spec}}


def _args(unit: Unit, record: Record) -> list[str]:
    """Dynamo's own flags before those of the engine."""
    model = "--model" if unit.engine == "vllm" else "--model-path"
    record.said(unit, "model", f"{model} {unit.weights}")
    record.said(unit, "name", f"--served-model-name {unit.service.name}")
    words = [model, unit.weights, "--served-model-name", unit.service.name]
    if unit.disaggregated and unit.engine != "sglang":  # SGLang's flags say it already
        record.said(unit, "role", f"--disaggregation-mode {unit.role}")
        words += ["--disaggregation-mode", unit.role]
    if unit.engine in EVENTS:
        flags = vllm.flags(unit, record) if unit.engine == "vllm" else sglang.flags(unit, record)
        watched = unit.service.routing == "kv-aware" and unit.deployment.prefix_cache
        return [*words, *flags, *(["--kv-events-config", EVENTS[unit.engine]] if watched else [])]
    words += ["--extra-engine-args", f"{pods.CONFIG}/engine.yaml"]
    tensorrt_llm.arguments(unit, record)
    return words + (["--publish-kv-events"] if unit.service.routing == "kv-aware" else [])
