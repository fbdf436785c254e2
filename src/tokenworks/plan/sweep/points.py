"""The points of a sweep: every combination, or a sample of them."""

from __future__ import annotations

import itertools
from collections.abc import Sequence

import numpy as np

from tokenworks.errors import InputError
from tokenworks.plan.sweep.axes import Axis

MOST_POINTS = 100_000
Changes = tuple[tuple[str, str], ...]  # (path, value as written)


def grid(axes: Sequence[Axis]) -> list[Changes]:
    """Every combination, the last axis fastest. Raises InputError for a range, or for more points than a sweep holds."""
    for axis in axes:
        if axis.span:
            raise InputError(f"--over {axis.path}: a range needs --sample N; or list its values")
    count = int(np.prod([len(axis.values) for axis in axes], dtype=object))
    if count > MOST_POINTS:
        raise InputError(f"{count:,} points are more than {MOST_POINTS:,}; draw some of them with --sample N")
    return [
        tuple(zip([a.path for a in axes], values, strict=True))
        for values in itertools.product(*(a.values for a in axes))
    ]


def sample(axes: Sequence[Axis], count: int, seed: int, latin: bool = True) -> list[Changes]:
    """``count`` points. ``latin``: a Latin hypercube, each axis cut into ``count`` equal parts of which each is hit once
    (McKay, Beckman and Conover 1979); else independent uniform draws. The same point is not rehearsed twice: draws that
    repeat one are left out."""
    if count > MOST_POINTS:
        raise InputError(f"--sample {count:,}: at most {MOST_POINTS:,}")
    rng = np.random.default_rng(seed)
    shares = rng.random((count, len(axes)))
    if latin:
        cells = np.column_stack([rng.permutation(count) for _ in axes])
        shares = np.minimum((cells + shares) / count, np.nextafter(1.0, 0.0))
    drawn = [tuple((a.path, a.at(float(share))) for a, share in zip(axes, row, strict=True)) for row in shares]
    return list(dict.fromkeys(drawn))


def refuse_twice(axes: Sequence[Axis]) -> None:
    """One axis for a path, and none inside another."""
    paths = [axis.path for axis in axes]
    for one, other in itertools.combinations(sorted(paths), 2):
        if one == other:
            raise InputError(f"--over {one} stands twice: write all its values in one")
        if other.startswith(f"{one}."):
            raise InputError(f"--over {other} lies inside {one}: vary one of them")
