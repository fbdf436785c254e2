"""What an emulated worker has loaded, and onto what."""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING

from tokenworks import catalog

if TYPE_CHECKING:
    from tokenworks.rehearsal.plant import Plant


@dataclass(frozen=True)
class Loaded:
    """``model``, ``accelerator``: catalogue ids. ``dimensions``: of the vectors of an embedding model; None: it is none."""

    model: str = ""
    accelerator: str = ""
    dimensions: int | None = None


def loaded_of(made: Plant) -> list[Loaded]:
    """Of each worker of a plant, in its order."""
    found = []
    for replicas in made.replicas:
        model = replicas.service.model
        dimensions = catalog.load("models", model).get("embedding_dimensions")
        for group in replicas.groups:
            found += [Loaded(model, group.deployment.accelerator, dimensions)] * group.count
    return found
