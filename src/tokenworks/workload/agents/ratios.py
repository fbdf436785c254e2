"""Input tokens per output token of sessions: what every agent trace can tell. It is no TAF: which output was visible is
not recorded."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np

from tokenworks.workload.agents.recording import Floats, Ints

SHOWN = (5, 10, 25, 50, 75, 90, 95)


@dataclass(frozen=True)
class Ratios:
    """The ratio of sums over all sessions, and percentiles over sessions (never their mean)."""

    of_sums: float
    percentiles: dict[int, float]
    sessions: int
    without_output: int  # sessions left out of the percentiles: they have no ratio


def input_per_output(session: Ints, input_tokens: Ints, output_tokens: Ints) -> Ratios:
    """``session`` counts from 0 without gaps; one row per request."""
    by_session = ratio_of_sessions(session, input_tokens, output_tokens)
    known = by_session[np.isfinite(by_session)]
    shares = {p: float(value) for p, value in zip(SHOWN, np.percentile(known, SHOWN), strict=True)}
    of_sums = int(input_tokens.sum()) / int(output_tokens.sum())
    return Ratios(of_sums, shares, len(by_session), len(by_session) - len(known))


def ratio_of_sessions(session: Ints, input_tokens: Ints, output_tokens: Ints) -> Floats:
    """By session; infinite where there is no output. Sums below 2⁵³ are exact."""
    sums = np.bincount(session, input_tokens), np.bincount(session, output_tokens)
    with np.errstate(divide="ignore"):
        return np.asarray(sums[0] / sums[1])
