"""Parallel degrees that a model cannot be cut into."""

from __future__ import annotations

from tokenworks import catalog
from tokenworks.errors import UnsupportedError
from tokenworks.physics.deployment import Deployment


def check_degrees(deployment: Deployment, model: catalog.Entry) -> None:
    """Raises UnsupportedError for what no engine could run."""
    heads = int(model["heads"])
    if heads % deployment.tp and deployment.tp % heads:
        raise UnsupportedError(f"{model.id}: {heads} attention heads cannot be cut into tp = {deployment.tp}")
    if deployment.micro_batches > deployment.pp:
        raise UnsupportedError(
            f"{model.id}: {deployment.micro_batches} micro-batches in flight of pp = {deployment.pp}"
        )
    if model["experts"]:
        _check_experts(deployment, model)
    if deployment.pp > int(model["layers"]):
        raise UnsupportedError(f"{model.id}: {model['layers']} layers cannot be cut into pp = {deployment.pp}")


def _check_experts(deployment: Deployment, model: catalog.Entry) -> None:
    experts, redundant, ep = int(model["experts"]), deployment.redundant_experts, deployment.ep
    said = f"{experts} + {redundant} experts" if redundant else f"{experts} experts"
    if ep > 1 and (experts + redundant) % ep:
        raise UnsupportedError(f"{model.id}: {said} cannot be cut into ep = {ep}")
    if redundant > experts * (min(ep, deployment.tp * deployment.dp) - 1):
        raise UnsupportedError(f"{model.id}: {said} are more than one of each on every rank of ep = {ep}")
