"""Replicas that followed the demand, as lines of a terminal report."""

from __future__ import annotations

import numpy as np

from tokenworks.events.results import Scaled
from tokenworks.report.figures import percent, seconds, short, unit, usd

HEIGHTS = " ▁▂▃▄▅▆▇█"
BARS = 48  # buckets of a run's chart


def lines(of: Scaled) -> list[str]:
    """What it did, what it saved, what that cost."""
    saved, joules = 1.0 - of.gpu_hours_up / of.gpu_hours, unit(of.off_j / 3600, "Wh")
    return [
        f"{of.service} {of.pool}: {short(of.mean_up)} of {of.most} replicas up in the mean ({of.predictor}), {of.cold_starts} cold "
        f"starts of {seconds(of.cold_start_s)}",
        f"  replicas over time |{chart(of)}|",
        f"  GPU hours up {short(of.gpu_hours_up)} of {short(of.gpu_hours)} ({percent(saved)} less; at one price an hour "
        f"{usd(of.usd_up)} of {usd(of.usd)}, which owned GPUs cost anyway)",
        f"  boards {unit(of.board_j / 3600, 'Wh')} against {unit(of.fixed_board_j / 3600, 'Wh')} with all up; GPUs that are off "
        f"but powered draw {joules} more",
        f"  within SLO {percent(of.within_slo)} against {percent(of.fixed_within_slo)}; TTFT p99 {seconds(of.ttft_p99_s)} against "
        f"{seconds(of.fixed_ttft_p99_s)}",
    ]  # fmt: skip


def chart(of: Scaled) -> str:
    """Replicas that took requests, against the most there can be."""
    parts = np.array_split(of.ready, min(BARS, len(of.ready)))
    top = len(HEIGHTS) - 1
    return "".join(HEIGHTS[round(top * float(part.mean()) / of.most)] for part in parts)
