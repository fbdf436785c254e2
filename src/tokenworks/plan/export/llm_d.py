"""llm-d: values of its modelservice chart for each service, and the scorers of its inference scheduler."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

from tokenworks.errors import UnsupportedError
from tokenworks.plan.export import pods, vllm
from tokenworks.plan.export.names import label
from tokenworks.plan.export.record import Record
from tokenworks.plan.export.text import comments, yaml_bytes
from tokenworks.plan.export.units import Unit

NAME = "llm-d"
PLACES = {"serve": "decode", "decode": "decode", "prefill": "prefill"}
CHART_SAYS = {"--tensor-parallel-size": "tensor", "--data-parallel-size": "data"}
SCORERS = {"least-loaded": "queue-scorer", "kv-aware": "prefix-cache-scorer", "session": "session-affinity-scorer"}


def files(all_units: Sequence[Unit], record: Record, title: str) -> dict[str, bytes]:
    """Two files for each service: values of the chart llm-d-modelservice, and the configuration of the scheduler."""
    made: dict[str, bytes] = {}
    for service in dict.fromkeys(u.service.name for u in all_units):
        mine = [u for u in all_units if u.service.name == service]
        name = mine[0].name.removesuffix(f"-{mine[0].role}")
        document = values(name, mine, record)
        scheduler = _scheduler(mine, record)
        for unit in mine:
            record.finish(unit, NAME)
        head = comments(f"{title}: service {service}.", record.of(service))
        made[f"{name}-values.yaml"] = yaml_bytes([document], [*head, f"helm install {name} llm-d-modelservice -f FILE"])
        made[f"{name}-scheduler.yaml"] = yaml_bytes(
            [scheduler], [f"{title}: scorers of the scheduler before {service}."]
        )
    return made


def values(name: str, mine: Sequence[Unit], record: Record) -> dict[str, Any]:
    """Values of the chart."""
    unit = mine[0]
    kind = {"NVIDIA": "nvidia", "AMD": "amd", "Intel": "intel-gaudi"}.get(unit.vendor)
    if kind is None:
        raise UnsupportedError(f"llm-d runs on NVIDIA, AMD and Intel, not on {unit.vendor}")
    local = unit.weights.removeprefix("/models/")
    artifacts = {
        "name": unit.service.name,
        "uri": f"pvc://{pods.MODELS}/{local}" if unit.weights.startswith("/") else f"hf://{unit.weights}",
    }
    known = {"llm-d.ai/inferenceServing": "true", "llm-d.ai/model": label(name)}
    found: dict[str, Any] = {
        "fullnameOverride": name,
        "modelArtifacts": artifacts | {"labels": known, "mountPath": "/models"},
    }
    found |= {"multinode": any(u.nodes > 1 for u in mine), "accelerator": {"type": kind}}
    found["routing"] = {
        "servicePort": 8000,
        "proxy": {"enabled": unit.disaggregated, "connector": "nixlv2", "targetPort": 8200},
    }
    for one in mine:
        found[PLACES[one.role]] = _part(one, record)
        record.said(one, "model", f"modelArtifacts.uri {artifacts['uri']}")
        record.said(one, "name", f"modelArtifacts.name {unit.service.name}")
    if not unit.disaggregated:
        found["prefill"] = {"create": False, "replicas": 0}
    return found


def _part(unit: Unit, record: Record) -> dict[str, Any]:
    place, d = PLACES[unit.role], unit.deployment
    words = vllm.flags(unit, record)
    parallelism = {"tensor": d.tp, "data": d.dp, "dataLocal": max(1, d.dp // unit.nodes), "workers": unit.nodes}
    args = without(words, CHART_SAYS) if d.tp > 1 or d.dp > 1 else words
    record.said(unit, "workers", f"{place}.replicas {unit.count}")
    made: dict[str, Any] = {"name": "vllm", "image": unit.image("vllm"), "modelCommand": "vllmServe", "args": args}
    made |= {"resources": pods.resources(unit), "mountModelVolume": True}
    made["volumeMounts"] = [{"name": "shm", "mountPath": "/dev/shm"}]
    shm = {"name": "shm", "emptyDir": {"medium": "Memory"}}
    return {"create": True, "replicas": unit.count, "parallelism": parallelism, "containers": [made], "volumes": [shm]}


def without(words: list[str], flags: dict[str, str]) -> list[str]:
    """The words without these flags and their values, which the chart writes itself."""
    left, skip = [], False
    for word in words:
        if word in flags:
            skip = True
        elif skip:
            skip = False
        else:
            left.append(word)
    return left


def _scheduler(mine: Sequence[Unit], record: Record) -> dict[str, Any]:
    """An EndpointPickerConfig: one profile, or one for each role; scorers by the routing of the factory."""
    wanted = mine[0].service.routing
    weights: dict[str, float] = {}
    if wanted == "kv-aware":
        weights = {"prefix-cache-scorer": mine[0].service.kv_weight, "queue-scorer": 1.0}
    elif wanted in SCORERS:
        weights = {SCORERS[wanted]: 1.0}
    picker = "random-picker" if wanted == "random" else "max-score-picker"
    for unit in mine:
        if weights or wanted == "random":
            record.said(unit, "routing", f"plugins {', '.join([*weights, picker])}")
            record.said(unit, "kv_weight", f"weight {unit.service.kv_weight:.10g} of prefix-cache-scorer")
        else:
            record.lacks(
                unit, "routing", f"llm-d's scorers are for {', '.join(SCORERS)} and random; this file says random"
            )
    picker = picker if weights else "random-picker"
    kind = {"apiVersion": "inference.networking.x-k8s.io/v1alpha1", "kind": "EndpointPickerConfig"}
    scored = [{"pluginRef": name, "weight": weight} for name, weight in weights.items()]
    if not mine[0].disaggregated:
        plugins = [{"type": name} for name in ("single-profile-handler", *weights, picker)]
        return {
            **kind,
            "plugins": plugins,
            "schedulingProfiles": [_profile("default", [*scored, {"pluginRef": picker}])],
        }
    filters = ("prefill-header-handler", "prefill-filter", "decode-filter")
    pair = {"type": "pd-profile-handler", "parameters": {"threshold": 0}}
    profiles = [
        _profile(role, [{"pluginRef": f"{role}-filter"}, *scored, {"pluginRef": picker}])
        for role in ("prefill", "decode")
    ]
    named = [{"type": name} for name in (*filters, *weights, picker)]
    return {**kind, "plugins": [*named, pair], "schedulingProfiles": profiles}


def _profile(name: str, plugins: list[dict[str, Any]]) -> dict[str, Any]:
    return {"name": name, "plugins": plugins}
