"""Losses of the electrical path, utility → UPS → PDU → rack, by load and redundancy.

A stage of full-load efficiency η loses (1/η − 1) of its output at full load. A part of that loss is there at no
load, a part grows with the square of the current, the rest is proportional:
loss(l) = (1/η − 1)·(a + b·l + c·l²) of the rated output, with a + b + c = 1 (no-load, proportional and square-law
losses as makers of UPS define them).
Redundant units share the load, so each runs lower and the fixed part is paid more often.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

Floats = NDArray[np.float64]


@dataclass(frozen=True)
class LossShape:
    """How a stage's full-load loss divides: shares that remain at no load and that grow with the square of the load."""

    no_load: float
    square: float

    def at(self, load: Floats) -> Floats:
        """Loss at a load (1 = rated) as a share of the full-load loss.

        >>> LossShape(0.4, 0.2).at(np.array([0.0, 0.5, 1.0])).round(3).tolist()
        [0.4, 0.65, 1.0]
        """
        return np.asarray(self.no_load + (1 - self.no_load - self.square) * load + self.square * load**2)


@dataclass(frozen=True)
class PathStage:
    """One stage. ``oversize`` is the rated power of all its units over the load it must carry: N 1, 2N 2."""

    name: str
    efficiency: float  # at full load
    oversize: float


def oversize(redundancy: str, modules: int) -> float:
    """Rated power of all units over the load, for N, N+1 (of ``modules`` needed) and 2N.

    >>> oversize("N", 4), oversize("N+1", 4), oversize("2N", 4)
    (1.0, 1.25, 2.0)
    """
    return {"N": 1.0, "N+1": (modules + 1) / modules, "2N": 2.0}[redundancy]


def stage_input_w(stage: PathStage, shape: LossShape, output_w: Floats, design_w: float) -> Floats:
    """Watts into a stage that must be able to carry ``design_w``."""
    full_loss = 1 / stage.efficiency - 1
    load = output_w / (design_w * stage.oversize)
    return np.asarray(output_w + design_w * stage.oversize * full_loss * shape.at(load))


def path_input_w(stages: Sequence[PathStage], shape: LossShape, it_w: Floats, design_w: float) -> Floats:
    """Watts at the utility for watts at the racks; ``stages`` from the utility inwards, ``design_w`` at the racks."""
    watts, design = it_w, design_w
    for stage in reversed(stages):
        watts = stage_input_w(stage, shape, watts, design)
        design /= stage.efficiency
    return watts
