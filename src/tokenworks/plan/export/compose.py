"""Docker Compose: the replicas of one host as one file; hosts that run the same share a file."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

from tokenworks.errors import UnsupportedError
from tokenworks.plan.export import kubernetes, pods, sglang, tensorrt_llm
from tokenworks.plan.export.record import Record
from tokenworks.plan.export.text import comments, yaml_bytes
from tokenworks.plan.export.units import Unit

NAME = "Compose"
FIRST_PORT = 8000


@dataclass(frozen=True)
class Replica:
    """One replica on one host."""

    unit: Unit
    number: int  # on this host, from 0 within its unit
    first_gpu: int


def files(all_units: Sequence[Unit], record: Record, title: str) -> dict[str, bytes]:
    """One Compose file for each kind of host. Raises UnsupportedError for what one host cannot run."""
    for unit in all_units:
        _refuse(unit, all_units)
    made: dict[str, bytes] = {}
    for system in dict.fromkeys(u.system.id for u in all_units):
        mine = [u for u in all_units if u.system.id == system]
        hosts = place(mine)
        kinds = list(dict.fromkeys(hosts))
        bodies = [_project(kind, record) for kind in kinds]
        for unit in mine:
            _told(unit, record)
            record.finish(unit, NAME)
        names = dict.fromkeys(u.service.name for u in mine)
        head = comments(title + ".", [s for name in names for s in record.of(name)])
        for i, (kind, body) in enumerate(zip(kinds, bodies, strict=True)):
            alone = f"{hosts.count(kind)} hosts of {system} run this file: docker compose -f FILE up"
            made[f"{mine[0].system.id if not i else f'{system}-{i + 1}'}.compose.yaml"] = yaml_bytes(
                [body], [*head, alone]
            )
    return made


def _refuse(unit: Unit, every: Sequence[Unit]) -> None:
    kubernetes.refuse([u for u in every if u.service.name == unit.service.name])
    if unit.nodes > 1:
        said = f"a replica spans {unit.nodes} hosts of {unit.node_gpus} GPUs, Compose has one"
        raise UnsupportedError(f"{unit.service.name}: {said}; use --to kubernetes or --to dynamo")
    needed = sum(u.count * u.deployment.gpus for u in every if u.service.name == unit.service.name)
    if unit.disaggregated and needed > unit.node_gpus:
        said = f"prefill and decode take {needed} GPUs, one host has {unit.node_gpus}"
        raise UnsupportedError(f"{unit.service.name}: {said}; use --to kubernetes or --to dynamo")


def place(mine: Sequence[Unit]) -> list[tuple[Replica, ...]]:
    """Replicas by host: first fit in file order; both pools of a disaggregated service stay on one host."""
    hosts: list[list[Replica]] = []
    taken: list[int] = []
    for service in dict.fromkeys(u.service.name for u in mine):
        group = [u for u in mine if u.service.name == service]
        lots = (
            [[(u, 1)] for u in group for _ in range(u.count)]
            if not group[0].disaggregated
            else [[(u, u.count) for u in group]]
        )
        for lot in lots:
            size = sum(u.deployment.gpus * n for u, n in lot)
            host = next((h for h, used in enumerate(taken) if used + size <= mine[0].node_gpus), len(hosts))
            if host == len(hosts):
                hosts.append([])
                taken.append(0)
            for unit, count in lot:
                for _ in range(count):
                    number = sum(r.unit.name == unit.name for r in hosts[host])
                    hosts[host].append(Replica(unit, number, taken[host]))
                    taken[host] += unit.deployment.gpus
    return [tuple(h) for h in hosts]


def _project(kind: tuple[Replica, ...], record: Record) -> dict[str, Any]:
    services: dict[str, Any] = {}
    configs: dict[str, Any] = {}
    for port, replica in enumerate(kind, FIRST_PORT):
        unit = replica.unit
        services[f"{unit.name}-{replica.number}"] = _service(replica, port, record)
        if unit.engine == "tensorrt-llm":
            configs[pods.config_name(unit)] = {"content": _inline(tensorrt_llm.arguments(unit, record))}
    for pair in [r.unit for r in kind if r.unit.role == "prefill" and r.number == 0]:
        _router([r for r in kind if r.unit.service.name == pair.service.name], services, configs, record)
    return {"services": services} | ({"configs": configs} if configs else {})


def _service(replica: Replica, port: int, record: Record) -> dict[str, Any]:
    unit = replica.unit
    words = kubernetes.command(unit, record)
    made: dict[str, Any] = {"image": unit.image(unit.engine), "entrypoint": words[:1], "command": words[1:]}
    made |= {"ipc": "host", "restart": "unless-stopped"}
    if not unit.disaggregated:
        made["ports"] = [f"{port}:{pods.PORTS[unit.engine]}"]
    if unit.weights.startswith("/"):
        made["volumes"] = ["${MODELS:-/models}:/models:ro"]
    ids = [str(replica.first_gpu + g) for g in range(unit.deployment.gpus)]
    if unit.vendor == "NVIDIA":
        device = {"driver": "nvidia", "device_ids": ids, "capabilities": ["gpu"]}
        made["deploy"] = {"resources": {"reservations": {"devices": [device]}}}
    else:
        made |= {"devices": ["/dev/kfd", "/dev/dri"], "environment": {"HIP_VISIBLE_DEVICES": ",".join(ids)}}
    if unit.engine == "tensorrt-llm":
        made["configs"] = [{"source": pods.config_name(unit), "target": f"{pods.CONFIG}/engine.yaml"}]
    return made


def _router(pair: list[Replica], services: dict[str, Any], configs: dict[str, Any], record: Record) -> None:
    """The engine's own router between the pools of one host."""
    unit = pair[0].unit
    name, port = unit.name.removesuffix("-prefill"), pods.PORTS[unit.engine]
    mine = list(dict.fromkeys(r.unit for r in pair))
    hosts = {u.name: [f"{u.name}-{r.number}:{port}" for r in pair if r.unit == u] for u in mine}
    made: dict[str, Any] = {"image": unit.image(unit.engine), "ports": [f"{9000 + len(services)}:8000"]}
    if unit.engine == "sglang":
        words = sglang.router(mine, {n: [f"http://{h}" for h in found] for n, found in hosts.items()}, record)
    else:
        words = ["trtllm-serve", "disaggregated", "-c", f"{pods.CONFIG}/router.yaml"]
        configs[f"{name}-router"] = {"content": _inline(tensorrt_llm.router(mine, hosts, record))}
        made["configs"] = [{"source": f"{name}-router", "target": f"{pods.CONFIG}/router.yaml"}]
    made |= {"entrypoint": words[:1], "command": words[1:], "restart": "unless-stopped"}
    services[f"{name}-router"] = made


def _inline(content: dict[str, Any]) -> str:
    return yaml_bytes([content]).decode()


def _told(unit: Unit, record: Record) -> None:
    record.said(unit, "workers", f"{unit.count} services over all hosts")
    record.said(unit, "on", f"the file of {unit.system.id}")
    record.lacks(unit, "routing", "every replica has a port of its own; a load balancer stands before them")
