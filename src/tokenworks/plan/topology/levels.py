"""Tiers of switches with their ports and links in use: what `tree` counts."""

from __future__ import annotations

from dataclasses import dataclass


@dataclass(frozen=True)
class Used:
    """Equal switches: how many, and how many of their ports go down and up."""

    switches: int
    down: int
    up: int


@dataclass(frozen=True)
class Level:
    """All switches of one tier."""

    pods: int
    positions: int  # switches of one pod
    members: int  # pods of the level below in the largest pod; endpoints for a leaf
    parallel: int  # links between a switch and one switch below it; 1 for a leaf
    endpoints: int  # below the largest pod
    used: tuple[Used, ...]

    @property
    def switches(self) -> int:
        return self.pods * self.positions

    @property
    def down_links(self) -> int:
        return sum(u.switches * u.down for u in self.used)

    @property
    def up_links(self) -> int:
        return sum(u.switches * u.up for u in self.used)


@dataclass(frozen=True)
class Tree:
    """Levels from the leaves up; ``rail`` endpoints of a host each go to a leaf of their own."""

    endpoints: int
    radix: int
    rails: int
    levels: tuple[Level, ...]

    @property
    def switches(self) -> int:
        return sum(level.switches for level in self.levels)

    @property
    def links(self) -> int:
        """All links, those of the endpoints with them."""
        return sum(level.down_links for level in self.levels)

    def share_above(self, level: int) -> float:
        """Bandwidth that each endpoint keeps through the top of its pod of this level (1 = leaves) when all send out of
        it at once, over its own link: the least of uplinks over endpoints so far, at most 1."""
        shares = [1.0]
        for below in self.levels[:level]:
            up = min(u.up for u in below.used)
            shares.append(below.positions * up / below.endpoints if up else 1.0)
        return min(shares)

    @property
    def bisection_links(self) -> float:
        """Links' worth of bandwidth between two halves of the endpoints, at least."""
        return self.endpoints / 2 * self.share_above(len(self.levels) - 1)
