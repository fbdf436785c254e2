"""What one service is asked for."""

from __future__ import annotations

from dataclasses import dataclass, field

import numpy as np
from numpy.typing import NDArray

from tokenworks.errors import InputError

Array = NDArray[np.float64]


@dataclass(frozen=True)
class Ask:
    """Requests as an equally likely sample of (input, output) pairs, and the objectives for them.

    Raises InputError for a sample that is empty, uneven, or not of whole requests.
    """

    input_tokens: Array  # (n,) prompt tokens to compute, without those of a known prefix; ≥ 1
    output_tokens: Array  # (n,) ≥ 1
    ttft_s: float | None  # of the 95th percentile; None: no objective
    tpot_s: float | None
    e2e_s: float | None
    known_tokens: Array = field(default_factory=lambda: np.zeros(0))  # (n,) of a cached prefix; empty: none

    def __post_init__(self) -> None:
        count = len(self.input_tokens)
        if count == 0 or len(self.output_tokens) != count or len(self.known_tokens) not in (0, count):
            raise InputError(f"a sample of requests needs one output for each input; has {self._sizes()}")
        for name in ("input_tokens", "output_tokens"):
            values = getattr(self, name)
            if not (np.isfinite(values).all() and (values >= 1).all()):
                raise InputError(f"{name} of a sample of requests are at least 1; found {values.min():g}")
        if not (np.isfinite(self.known_tokens).all() and (self.known_tokens >= 0).all()):
            raise InputError("known_tokens of a sample of requests are at least 0")

    def _sizes(self) -> str:
        return f"{len(self.input_tokens)} inputs, {len(self.output_tokens)} outputs, {len(self.known_tokens)} prefixes"

    @property
    def known(self) -> Array:
        """(n,) tokens of a cached prefix, zeros where none is known."""
        return self.known_tokens if len(self.known_tokens) else np.zeros(len(self.input_tokens))

    @property
    def longest(self) -> float:
        """Tokens of the longest request, prefix, prompt and answer."""
        return float((self.known + self.input_tokens + self.output_tokens).max())
