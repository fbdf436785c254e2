"""What carries decisions out: emulated workers, local processes or Kubernetes, behind one small interface."""

from __future__ import annotations

from typing import NamedTuple, Protocol

from tokenworks.errors import TokenworksError


class FleetError(TokenworksError):
    """A fleet could not do at present what it was asked for; it is asked again at the next look."""


class Counts(NamedTuple):
    """Replicas of a pool."""

    ready: int  # that take requests
    loading: int


class Fleet(Protocol):
    """The replicas of some pools, each under its own name: a service, or the prefill or decode pool of one."""

    async def counts(self, pool: str) -> Counts:
        """Raises FleetError where they cannot be known."""

    async def scale(self, pool: str, replicas: int) -> None:
        """So many are to be up from now on. Does not wait until they are. Raises FleetError."""

    async def close(self) -> None:
        """The gateway stops."""
