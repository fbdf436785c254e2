"""A folded Clos network (fat tree) in closed form: whole numbers of switches, ports and links, no list of endpoints.

Level 1 are the leaves. A pod of level 1 is one leaf; a pod of level i ≥ 2 joins the pods below it through *positions*: each
switch of a lower pod shares its uplinks out evenly over the switches of its own positions above. Counts follow for any
number of levels, and a million endpoints cost as much as ten (Leiserson 1985, Al-Fares et al. 2008; spreading links evenly
is what makes the numbers of spines in published designs: 18 and not 16 for 2,304 endpoints at radix 144).
"""

from __future__ import annotations

from collections.abc import Sequence
from fractions import Fraction
from itertools import pairwise

from tokenworks.errors import InputError, UnsupportedError
from tokenworks.plan.topology.levels import Level, Tree, Used

MOST_LEVELS = 6


def tree(hosts: int, rails: int, radix: int, oversubscription: Sequence[Fraction] = (), rail: bool = True) -> Tree:
    """The smallest number of levels that joins ``hosts`` of ``rails`` endpoints each with switches of ``radix`` ports.

    ``oversubscription`` is, per tier from the leaves, endpoints' bandwidth over uplinks' (missing: 1). ``rail``: endpoint i
    of every host of a group goes to leaf i of the group (rail-optimised); else leaves are filled host by host.
    Raises UnsupportedError where six levels do not suffice or a pod cannot hold a group of rails.
    """
    endpoints = hosts * rails
    if hosts < 1 or rails < 1 or radix < 2:
        raise InputError(f"a network needs hosts, endpoints and ports: {hosts} hosts of {rails}, radix {radix}")
    if any(o < 1 for o in oversubscription):
        raise InputError(f"oversubscription is 1 or more, not {min(map(float, oversubscription)):g}")
    if endpoints <= radix:
        return Tree(endpoints, radix, rails, (_alone(endpoints),))
    block = rails if rail else 1  # leaves that belong together
    down = [_down_ports(radix, _ratio(oversubscription, i)) for i in range(MOST_LEVELS)]
    blocks = -(-hosts // down[0]) if rail else -(-endpoints // down[0])
    pods = _pods(blocks, block, down, radix)
    leaves = _leaves(hosts, rails, blocks, down[0]) if rail else _filled(endpoints, down[0])
    return Tree(endpoints, radix, rails, _levels(leaves, pods, block, down, radix, oversubscription, endpoints))


def _alone(endpoints: int) -> Level:
    return Level(1, 1, endpoints, 1, endpoints, (Used(1, endpoints, 0),))


def _ratio(oversubscription: Sequence[Fraction], level: int) -> Fraction:
    return oversubscription[level] if level < len(oversubscription) else Fraction(1)


def _ceil(value: Fraction) -> int:
    return -(-value.numerator // value.denominator)


def _down_ports(radix: int, ratio: Fraction) -> int:
    """The most ports that can go down while down / up ≤ ratio: the largest d with d + ⌈d / ratio⌉ ≤ radix."""
    down = int(radix * ratio / (1 + ratio))
    while down + _ceil(down / ratio) > radix:
        down -= 1
    return max(down, 1)


def _pods(blocks: int, block: int, down: Sequence[int], radix: int) -> list[int]:
    """Number of pods of levels 2, 3 …, of which the last is 1."""
    if blocks <= radix // block:
        return [1]
    if down[1] < block:
        raise UnsupportedError(
            f"{block} rails do not fit one pod of switches with {radix} ports: choose --layout fat-tree"
        )
    pods = [-(-blocks // (down[1] // block))]
    while pods[-1] > radix:
        if len(pods) == MOST_LEVELS - 2:
            raise UnsupportedError(f"{blocks * block:,} leaves of radix {radix} need more than {MOST_LEVELS} levels")
        pods.append(-(-pods[-1] // down[len(pods) + 1]))
    return [*pods, 1]


def _leaves(hosts: int, rails: int, groups: int, down: int) -> list[tuple[int, int]]:
    """(leaves, endpoints each) of rail-optimised groups: all full but the last."""
    last = hosts - (groups - 1) * down
    return _merged([((groups - 1) * rails, down), (rails, last)])


def _filled(endpoints: int, down: int) -> list[tuple[int, int]]:
    full, rest = divmod(endpoints, down)
    return _merged([(full, down), (1 if rest else 0, rest)])


def _merged(parts: Sequence[tuple[int, int]]) -> list[tuple[int, int]]:
    sizes: dict[int, int] = {}
    for count, size in parts:
        if count:
            sizes[size] = sizes.get(size, 0) + count
    return [(count, size) for size, count in sizes.items()]


def balanced(members: int, pods: int) -> list[tuple[int, int]]:
    """(pods, members each): as evenly as whole numbers allow, the larger ones first.

    >>> balanced(10, 4)
    [(2, 3), (2, 2)]
    """
    small, more = divmod(members, pods)
    return [(count, size) for count, size in ((more, small + 1), (pods - more, small)) if count]


def _levels(
    leaves: list[tuple[int, int]],
    pods: list[int],
    block: int,
    down: Sequence[int],
    radix: int,
    oversubscription: Sequence[Fraction],
    endpoints: int,
) -> tuple[Level, ...]:
    count = sum(n for n, _ in leaves)
    fullest = max(size for _, size in leaves)
    sizes = _members(count // block, pods, block)
    positions, below_fullest = 1, fullest
    levels = [Level(count, 1, fullest, 1, fullest, tuple(Used(n, size, 0) for n, size in leaves))]
    for i, (parts, made) in enumerate(zip(sizes, pods, strict=True)):
        most, room = parts[0][1], radix if i + 1 == len(pods) else down[i + 1]
        below = levels[-1].used[0].down if i else down[0]  # a leaf is cabled as if it were full
        up, spread = _uplinks(_ceil(below / _ratio(oversubscription, i)), radix - below, most, room)
        levels[-1] = _with_up(levels[-1], up)
        positions *= spread
        parallel = up // spread
        below_fullest = min(endpoints, below_fullest * most)
        used = tuple(Used(n * positions, size * parallel, 0) for n, size in parts)
        levels.append(Level(made, positions, most, parallel, below_fullest, used))
    return tuple(levels)


def _members(blocks: int, pods: Sequence[int], block: int) -> list[list[tuple[int, int]]]:
    """Per level from 2: (pods, members of the level below in each)."""
    first = [(n, size * block) for n, size in balanced(blocks, pods[0])]
    return [first, *(balanced(below, made) for below, made in pairwise(pods))]


def _uplinks(needed: int, free: int, members: int, room: int) -> tuple[int, int]:
    """(uplinks of a switch, switches above that they are spread over): the fewest switches, then the fewest uplinks.

    A switch above takes ``members`` times uplinks / spread links on at most ``room`` ports, evenly.
    """
    best: tuple[int, int] | None = None
    for up in range(needed, max(free, needed) + 1):
        spread = next(s for s in range(1, up + 1) if up % s == 0 and members * (up // s) <= room)
        if best is None or spread < best[1]:
            best = (up, spread)
    assert best is not None
    return best


def _with_up(level: Level, up: int) -> Level:
    used = tuple(Used(u.switches, u.down, up) for u in level.used)
    return Level(level.pods, level.positions, level.members, level.parallel, level.endpoints, used)
