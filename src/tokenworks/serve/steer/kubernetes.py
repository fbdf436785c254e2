"""Replicas that Kubernetes runs: through the scale subresource of a workload, or a field of a custom resource."""

from __future__ import annotations

import asyncio
from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

from tokenworks.errors import InputError
from tokenworks.serve.steer.fleet import Counts, FleetError

TRIES = 4  # where somebody else changed the resource at the same time
MERGE = "application/merge-patch+json"
REPLICAS = "spec.replicas"
ANSWER_S = 10.0


@dataclass(frozen=True)
class Resource:
    """What holds a pool's number of replicas."""

    namespace: str
    group: str  # apps, nvidia.com, …
    version: str
    plural: str  # deployments, statefulsets, leaderworkersets, dynamographdeployments, …
    name: str
    field: str = ""  # of a custom resource without a scale subresource, e.g. spec.services.decode.replicas
    ready_field: str = ""  # … where its status counts them; empty: all that are wanted are believed ready

    @property
    def path(self) -> str:
        return f"/apis/{self.group}/{self.version}/namespaces/{self.namespace}/{self.plural}/{self.name}"


class KubernetesFleet:
    """``resources`` by pool. Calls block in a thread of their own, so the gateway's loop goes on."""

    def __init__(self, resources: Mapping[str, Resource], client: Any):
        """``client``: a kubernetes.client.ApiClient."""
        from kubernetes.client import CustomObjectsApi

        self._resources, self._client = resources, client
        self._api = CustomObjectsApi(client)  # its paths are those of every group, apps included

    async def counts(self, pool: str) -> Counts:
        """What is ready, and what is wanted beyond that."""
        return await asyncio.to_thread(self._count, self._resources[pool])

    def _count(self, of: Resource) -> Counts:
        found = self._get(of, scale=False)
        wanted = _at(found, of.field or REPLICAS)
        if of.field and not of.ready_field:
            return Counts(wanted, 0)
        ready = _at(found, of.ready_field or "status.readyReplicas")
        return Counts(ready, max(0, wanted - ready))

    async def scale(self, pool: str, replicas: int) -> None:
        await asyncio.to_thread(self._scale, self._resources[pool], replicas)

    def _scale(self, of: Resource, replicas: int) -> None:
        """Read, then patched on the condition that nobody has changed it since; tried again where somebody has."""
        for left in reversed(range(TRIES)):
            found = self._get(of, scale=not of.field)
            if _at(found, of.field or REPLICAS) == replicas:
                return
            patch = {"metadata": {"resourceVersion": found["metadata"]["resourceVersion"]}}
            patch |= _nested(of.field or REPLICAS, replicas)
            try:
                self._patch(of, patch, scale=not of.field)
            except ConflictError:
                if not left:
                    raise
            else:
                return

    def _get(self, of: Resource, scale: bool) -> dict[str, Any]:
        api = self._api
        call = api.get_namespaced_custom_object_scale if scale else api.get_namespaced_custom_object
        return self._answer(call, of, scale, _request_timeout=ANSWER_S)

    def _patch(self, of: Resource, patch: object, scale: bool) -> None:
        api = self._api
        call = api.patch_namespaced_custom_object_scale if scale else api.patch_namespaced_custom_object
        self._answer(call, of, scale, body=patch, _content_type=MERGE, _request_timeout=ANSWER_S)

    @staticmethod
    def _answer(call: Any, of: Resource, scale: bool, **arguments: Any) -> dict[str, Any]:
        """Raises FleetError; ConflictError where the resource was changed by somebody else."""
        from kubernetes.client.exceptions import ApiException
        from urllib3.exceptions import HTTPError

        where = of.path + ("/scale" if scale else "")
        try:
            return dict(call(of.group, of.version, of.namespace, of.plural, of.name, **arguments))
        except ApiException as error:
            kind = ConflictError if error.status == 409 else FleetError
            raise kind(f"Kubernetes answers {error.status} {error.reason} for {where}{_hint(error.status)}") from None
        except HTTPError as error:
            raise FleetError(f"Kubernetes does not answer for {where}: {type(error).__name__}") from None

    async def close(self) -> None:
        """What Kubernetes runs goes on without the gateway."""
        self._client.close()


class ConflictError(FleetError):
    """The resource has another version by now."""


def _hint(status: int) -> str:
    hints = {
        401: ": the credentials are not accepted; look at the kubeconfig or the service account",
        403: ": the service account may not do this; it needs get and patch of the resource and of its scale",
        404: ": there is no such resource; check namespace, group, version, plural and name",
    }
    return hints.get(status, "")


def _at(found: Mapping[str, Any], field: str) -> int:
    """A count by its dotted path; one that is missing is 0, as Kubernetes leaves zeros out. Raises FleetError."""
    value: Any = found
    for part in field.split("."):
        value = value.get(part) if isinstance(value, dict) else None
    if value is not None and not isinstance(value, int):
        raise FleetError(f"{field} is {value!r}, not a number of replicas")
    return value or 0


def _nested(field: str, value: int) -> dict[str, Any]:
    """{"a": {"b": value}} of "a.b"."""
    made: Any = value
    for part in reversed(field.split(".")):
        made = {part: made}
    return dict(made)


def client_of(context: str | None) -> Any:
    """From the pod's service account, else from the kubeconfig. Raises InputError where there is neither, or no package."""
    try:
        from kubernetes import client, config
    except ImportError:
        raise InputError(
            "fleets on Kubernetes need the extra kubernetes: pip install 'tokenworks[kubernetes]'"
        ) from None
    try:
        if context is None:
            try:
                config.load_incluster_config()
            except config.ConfigException:
                config.load_kube_config()
        else:
            config.load_kube_config(context=context)
    except (config.ConfigException, OSError) as error:
        raise InputError(f"no access to Kubernetes: {error}") from None
    return client.ApiClient()
