"""Plain Kubernetes: Deployment and Service, LeaderWorkerSet where a replica spans hosts or must be reached by name."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

from tokenworks.errors import UnsupportedError
from tokenworks.plan.export import pods, sglang, tensorrt_llm, vllm
from tokenworks.plan.export.record import Record
from tokenworks.plan.export.text import comments, yaml_bytes
from tokenworks.plan.export.units import Unit

NAME = "Kubernetes"
LEADER, RANK = "$(LWS_LEADER_ADDRESS)", "$(LWS_WORKER_INDEX)"
JOIN_PORT = 20000
HINT = (
    "KAI Scheduler: add schedulerName: kai-scheduler to the pods and the label kai.scheduler/queue: YOUR-QUEUE.",
    "Grove: the file NAME-grove.yaml is the same gang of pods as one PodCliqueSet; apply one of the two.",
)


def files(all_units: Sequence[Unit], record: Record, title: str) -> dict[str, bytes]:
    """One file of manifests for each service."""
    made: dict[str, bytes] = {}
    for service in dict.fromkeys(u.service.name for u in all_units):
        mine = [u for u in all_units if u.service.name == service]
        refuse(mine)
        documents = [part for unit in mine for part in manifests(unit, record)]
        if mine[0].disaggregated:
            documents += _router(mine, record)
        for unit in mine:
            _told(unit, record)
            record.finish(unit, NAME)
        name = mine[0].name.removesuffix(f"-{mine[0].role}")
        head = comments(f"{title}: service {service}.", record.of(service))
        hints = [h.replace("NAME", name) for h in HINT]
        made[f"{name}.yaml"] = yaml_bytes(documents, [*head, *hints, *pods.notes(mine)])
        made[f"{name}-grove.yaml"] = grove(name, mine, documents, head)
    return made


def refuse(mine: Sequence[Unit]) -> None:
    """Raises UnsupportedError for what these manifests cannot run."""
    unit = mine[0]
    known = pods.PORTS
    if unit.engine not in known:
        raise UnsupportedError(
            f"{unit.service.name}: no export for the engine {unit.service.engine}; there are {', '.join(known)}"
        )
    if unit.disaggregated and unit.engine == "vllm":
        said = "vLLM needs a proxy between prefill and decode, which it does not bring"
        raise UnsupportedError(f"{unit.service.name}: {said}; use --to dynamo, --to llm-d or --to kserve")
    many = next((u for u in mine if u.nodes > 1), None)
    if many and unit.engine == "tensorrt-llm":
        said = f"a TensorRT-LLM replica on {many.nodes} hosts needs MPI between its pods"
        raise UnsupportedError(f"{unit.service.name}: {said}; use --to dynamo, which brings it")


def manifests(unit: Unit, record: Record) -> list[dict[str, Any]]:
    """Manifests of one unit."""
    port, words = pods.PORTS[unit.engine], command(unit, record)
    main = pods.container(unit, unit.image(unit.engine), words, port)
    spec = {"containers": [main], "volumes": pods.volumes(unit)}
    config = pods.engine_config(unit, record)
    if unit.nodes == 1 and not unit.disaggregated:
        return [*config, _deployment(unit, spec), _service(unit, port)]
    return [*config, _leader_worker_set(unit, spec)]


def command(unit: Unit, record: Record) -> list[str]:
    """The engine's command in a pod, joined over hosts by what a LeaderWorkerSet puts into the environment."""
    ends = ["--host", "0.0.0.0", "--port", str(pods.PORTS[unit.engine])]
    if unit.engine == "vllm":
        return [*vllm.serve(unit, record), *vllm.multi_node(unit, LEADER, RANK), *ends]
    if unit.engine == "sglang":
        return [*sglang.serve(unit, record), *sglang.multi_node(unit, f"{LEADER}:{JOIN_PORT}", RANK), *ends]
    return [*tensorrt_llm.serve(unit, record, f"{pods.CONFIG}/engine.yaml"), *ends]


def _pod(unit: Unit, spec: dict[str, Any]) -> dict[str, Any]:
    return {"metadata": {"labels": pods.labels(unit)}, "spec": spec}


def _deployment(unit: Unit, spec: dict[str, Any]) -> dict[str, Any]:
    wanted = {"matchLabels": {"app.kubernetes.io/name": unit.name}}
    body = {"replicas": unit.count, "selector": wanted, "template": _pod(unit, spec)}
    return {"apiVersion": "apps/v1", "kind": "Deployment", "metadata": {"name": unit.name}, "spec": body}


def _service(unit: Unit, port: int) -> dict[str, Any]:
    body: dict[str, Any] = {"selector": {"app.kubernetes.io/name": unit.name}}
    body["ports"] = [{"name": "http", "port": 8000, "targetPort": port}]
    if unit.service.routing == "session":
        body["sessionAffinity"] = "ClientIP"
    return {"apiVersion": "v1", "kind": "Service", "metadata": {"name": unit.name}, "spec": body}


def _leader_worker_set(unit: Unit, spec: dict[str, Any]) -> dict[str, Any]:
    """Pods NAME-0, NAME-1 … lead the replicas and are found as NAME-0.NAME; workers of vLLM serve no API of their own."""
    main = spec["containers"][0]
    worker = {key: value for key, value in main.items() if key not in ("readinessProbe", "ports")}
    if unit.engine == "vllm":
        worker["args"] = [*main["args"], "--headless"]
    group: dict[str, Any] = {"size": unit.nodes, "restartPolicy": "RecreateGroupOnPodRestart"}
    group["leaderTemplate"] = _pod(unit, spec)
    group["workerTemplate"] = _pod(unit, spec | {"containers": [worker]})
    body = {"replicas": unit.count, "startupPolicy": "LeaderCreated", "leaderWorkerTemplate": group}
    kind = {"apiVersion": "leaderworkerset.x-k8s.io/v1", "kind": "LeaderWorkerSet"}
    return {**kind, "metadata": {"name": unit.name}, "spec": body}


def _router(mine: Sequence[Unit], record: Record) -> list[dict[str, Any]]:
    """The engine's own router in front of prefill and decode, every replica by its name."""
    unit = mine[0]
    name, port = unit.name.removesuffix(f"-{unit.role}"), pods.PORTS[unit.engine]
    hosts = {u.name: [f"{u.name}-{i}.{u.name}:{port}" for i in range(u.count)] for u in mine}
    main: dict[str, Any] = {"name": "main", "image": unit.image(unit.engine)}
    documents: list[dict[str, Any]] = []
    spec: dict[str, Any] = {"containers": [main]}
    if unit.engine == "sglang":
        words = sglang.router(mine, {n: [f"http://{h}" for h in found] for n, found in hosts.items()}, record)
        main |= {"command": words[:3], "args": words[3:]}
    else:
        documents.append(pods.config_map(f"{name}-router", {"router.yaml": tensorrt_llm.router(mine, hosts, record)}))
        main |= {"command": ["trtllm-serve"], "args": ["disaggregated", "-c", f"{pods.CONFIG}/router.yaml"]}
        main["volumeMounts"] = [{"name": "config", "mountPath": pods.CONFIG, "readOnly": True}]
        spec["volumes"] = [{"name": "config", "configMap": {"name": f"{name}-router"}}]
    main["ports"] = [{"name": "http", "containerPort": 8000}]
    known = {"app.kubernetes.io/name": f"{name}-router", "app.kubernetes.io/part-of": name}
    pod = {"metadata": {"labels": known}, "spec": spec}
    wanted = {"matchLabels": {"app.kubernetes.io/name": f"{name}-router"}}
    body = {"replicas": 1, "selector": wanted, "template": pod}
    deployed = {"apiVersion": "apps/v1", "kind": "Deployment", "metadata": {"name": f"{name}-router"}, "spec": body}
    front = {"selector": wanted["matchLabels"], "ports": [{"name": "http", "port": 8000, "targetPort": 8000}]}
    found = {"apiVersion": "v1", "kind": "Service", "metadata": {"name": name}, "spec": front}
    return [*documents, deployed, found]


def _told(unit: Unit, record: Record) -> None:
    record.said(unit, "workers", f"spec.replicas {unit.count}")
    if unit.service.routing == "random" and not unit.disaggregated and unit.nodes == 1:
        record.said(unit, "routing", "Service: a connection goes to a pod at random")
    if unit.service.routing == "session" and not unit.disaggregated and unit.nodes == 1:
        record.said(unit, "routing", "Service: sessionAffinity ClientIP, by the address of the client")
    if unit.nodes > 1:
        record.lacks(unit, "routing", f"a LeaderWorkerSet has no router: send requests to the leaders {unit.name}-0 …")
    record.lacks(unit, "routing", "a Service knows random and sessionAffinity; a gateway of your own can do more")


def grove(name: str, mine: Sequence[Unit], documents: Sequence[dict[str, Any]], head: Sequence[str]) -> bytes:
    """The same pods as a Grove PodCliqueSet: replicas over several hosts start as gangs and are packed together."""
    cliques, groups = [], []
    for document in documents:
        body, kind = document.get("spec", {}), document["kind"]
        if kind == "LeaderWorkerSet" and body["leaderWorkerTemplate"]["size"] > 1:
            one = document["metadata"]["name"]
            template, size = body["leaderWorkerTemplate"], body["leaderWorkerTemplate"]["size"]
            parts = {
                f"{one}-leader": (1, template["leaderTemplate"]),
                f"{one}-worker": (size - 1, template["workerTemplate"]),
            }
            cliques += [_clique(part, count, pod) for part, (count, pod) in parts.items()]
            groups.append({"name": one, "cliqueNames": list(parts), "replicas": body["replicas"], "minAvailable": 1})
        elif kind == "LeaderWorkerSet":
            pod = body["leaderWorkerTemplate"]["leaderTemplate"]
            cliques.append(_clique(document["metadata"]["name"], body["replicas"], pod))
        elif kind == "Deployment":
            cliques.append(_clique(document["metadata"]["name"], body["replicas"], body["template"]))
    template = {"cliques": cliques} | ({"podCliqueScalingGroups": groups} if groups else {})
    kind = {"apiVersion": "grove.io/v1alpha1", "kind": "PodCliqueSet", "metadata": {"name": name}}
    notes = [*head, "A hint for Grove: where pods join by LWS_LEADER_ADDRESS, map Grove's own variables to that name."]
    return yaml_bytes([{**kind, "spec": {"replicas": 1, "template": template}}], notes)


def _clique(name: str, count: int, pod: dict[str, Any]) -> dict[str, Any]:
    spec = {"roleName": name, "replicas": count, "minAvailable": 1, "podSpec": pod["spec"]}
    return {"name": name, "labels": pod["metadata"]["labels"], "spec": spec}
