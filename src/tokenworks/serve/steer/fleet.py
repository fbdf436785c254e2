"""What carries decisions out: emulated workers, local processes or Kubernetes, behind one small interface."""

from __future__ import annotations

from typing import NamedTuple, Protocol

from tokenworks.errors import TokenworksError


class FleetError(TokenworksError):
    """A fleet could not do at present what it was asked for; it is asked again at the next look."""


class Counts(NamedTuple):
    """Replicas of a service."""

    ready: int  # that take requests
    loading: int


class Fleet(Protocol):
    """The replicas of some services."""

    async def counts(self, service: str) -> Counts:
        """Raises FleetError where they cannot be known."""

    async def scale(self, service: str, replicas: int) -> None:
        """So many are to be up from now on. Does not wait until they are. Raises FleetError."""

    async def close(self) -> None:
        """The gateway stops."""
