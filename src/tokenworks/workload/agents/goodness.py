"""How near generated runs come to recorded ones: the largest distance of distribution functions, and percentiles."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np

from tokenworks.workload.agents.calls import Calls
from tokenworks.workload.agents.ratios import Ratios, input_per_output, ratio_of_sessions
from tokenworks.workload.agents.recorded_times import pauses_s
from tokenworks.workload.agents.recording import BLOCK_TOKENS, Floats, Ints, Recording

MOST_AGENTS = 1024  # of a session


@dataclass(frozen=True)
class Sample:
    """Requests of sessions as both sides have them; NaN where a time is not known."""

    session: Ints
    lead: np.typing.NDArray[np.bool_]  # of a session's own agent
    first: np.typing.NDArray[np.bool_]  # of its agent
    input_tokens: Ints
    cache_read: Ints
    output_tokens: Ints
    pause_s: Floats

    def ratios(self) -> Ratios:
        return input_per_output(self.session, self.input_tokens, self.output_tokens)


def of_recording(r: Recording) -> Sample:
    pause, known = pauses_s(r)
    pause = np.where(known, np.rint(pause), np.nan)
    return _sample(r.session, r.agent, r.input_tokens, r.cache_read, r.output_tokens, pause)


def of_calls(calls: Calls) -> Sample:
    """Runs are sessions, in the order of their numbers."""
    session = np.unique(calls.run, return_inverse=True)[1]
    read, pause = calls.cache_read(BLOCK_TOKENS), calls.tool_s + calls.think_s
    return _sample(session, calls.agent, calls.input_tokens, read, calls.output_tokens, pause)


def _sample(session: Ints, agent: Ints, inputs: Ints, read: Ints, outputs: Ints, pause: Floats) -> Sample:
    order = np.lexsort((agent, session))  # stable: an agent's requests stand together, in their order
    key = session[order] * MOST_AGENTS + agent[order]
    first = np.concatenate([[True], key[1:] != key[:-1]])
    lead = agent[order] == 0
    return Sample(session[order], lead, first, inputs[order], read[order], outputs[order], pause[order])


def quantities(s: Sample) -> dict[str, Floats]:
    """What is compared. Of steps between two requests: those of a session's own agent."""
    step = ~s.first & s.lead
    before = np.roll(s.input_tokens, 1)
    peak = np.zeros(int(s.session.max()) + 1)
    np.maximum.at(peak, s.session, s.input_tokens)
    return {
        "requests per session": np.bincount(s.session[s.lead]).astype(float),
        "first prompt": s.input_tokens[s.first & s.lead].astype(float),
        "prompt": s.input_tokens.astype(float),
        "longest prompt of a session": peak,
        "growth from prompt to prompt": (s.input_tokens - before)[step].astype(float),
        "output per request": s.output_tokens.astype(float),
        "share of a prompt read from cache": (s.cache_read / s.input_tokens)[step],
        "pause before a request, s": s.pause_s[step & ~np.isnan(s.pause_s)],
        "input of a session": np.bincount(s.session, s.input_tokens),
        "output of a session": np.bincount(s.session, s.output_tokens),
        "input per output of a session": ratio_of_sessions(s.session, s.input_tokens, s.output_tokens),
    }


def distance(a: Floats, b: Floats) -> float:
    """Two-sample Kolmogorov-Smirnov: the largest difference of the two shares of values up to x.

    >>> distance(np.array([1.0, 2.0]), np.array([2.0, 3.0]))
    0.5
    """
    a, b = np.sort(a), np.sort(b)
    at = np.concatenate([a, b])
    shares = np.searchsorted(a, at, side="right") / len(a), np.searchsorted(b, at, side="right") / len(b)
    return float(np.abs(shares[0] - shares[1]).max())


def distances(one: Sample, other: Sample) -> dict[str, float]:
    left, right = quantities(one), quantities(other)
    return {key: distance(left[key], right[key]) for key in left}
