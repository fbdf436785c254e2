"""Against flapping: fewer replicas only when fewer have been enough for a while and would not be full at once."""

from __future__ import annotations

import numpy as np
from numpy.typing import NDArray

Ints = NDArray[np.int64]


def steady(current: int, up: int, down: Ints) -> int:
    """``up``: needed now; ``down``: needed with some room to spare at each of the latest looks, this one last. More at
    once; fewer no further than the most that was needed since (the stabilisation window of Kubernetes' HPA)."""
    if up > current:
        return up
    return int(min(current, max(up, int(down.max()))))
