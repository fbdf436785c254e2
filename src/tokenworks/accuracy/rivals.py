"""What NVIDIA AIConfigurator predicts for packed measurements: facts to stand beside our own predictions."""

from __future__ import annotations

import csv
from collections.abc import Sequence
from dataclasses import dataclass, replace
from functools import lru_cache
from pathlib import Path

from tokenworks.accuracy.rows import Measurement
from tokenworks.accuracy.validate import OK, Answer

PACKED = Path(__file__).parent / "data" / "aiconfigurator.csv"
VERSION = "0.12"


@dataclass(frozen=True)
class Rival:
    """Mean latencies that the rival predicts, in milliseconds."""

    tpot_ms: float
    ttft_ms: float

    def answer(self) -> Answer:
        """The rival's prediction as if it were one of ours."""
        return replace(Answer(OK), tpot_mean=self.tpot_ms, ttft_mean=self.ttft_ms)


@lru_cache(maxsize=1)
def load_rivals() -> dict[str, Rival]:
    """Predictions by the id of the packed measurement."""
    with open(PACKED, newline="", encoding="utf-8") as lines:
        return {r["id"]: Rival(float(r["tpot_ms"]), float(r["ttft_ms"])) for r in csv.DictReader(lines)}


def rival_rows(measured: Sequence[Measurement]) -> list[tuple[int, Rival]]:
    """(index, rival's prediction) of the rows that it predicted and that say whether tokens were speculated."""
    known = load_rivals()
    found = ((i, known.get(m.id)) for i, m in enumerate(measured) if m.row.spec_decoding != "unknown")
    return [(i, rival) for i, rival in found if rival]
