"""Fits the coding agent to recorded sessions: tables of quantiles, and how quantities hang together.

A session's own agent: how many calls it makes, how long its first prompt is, how fast its prompts grow and how long
its answers are go together by a correlation of normal scores; call by call, growth and answers vary around their
session's. A prompt that would grow beyond what agents let it is compacted, the likelier the longer it is.
"""

from __future__ import annotations

from statistics import NormalDist
from typing import Any

import numpy as np

from tokenworks.workload.agents.recorded_times import pauses_s
from tokenworks.workload.agents.recording import BLOCK_TOKENS, MAIN, STOPS, Floats, Ints, Recording

SHARES = (
    0, 0.002, 0.005, 0.01, 0.025, 0.05, 0.1, 0.15, 0.2, 0.3, 0.4, 0.5,
    0.6, 0.7, 0.8, 0.85, 0.9, 0.95, 0.975, 0.99, 0.995, 0.998, 0.999, 1,
)  # fmt: skip
OUTERMOST = 0.0005  # share at either end that a table leaves out: a single record there would stand for many
FRESH_START = 30_000  # tokens: a session whose first prompt is shorter begins with little but its head
COMPACTED = 0.7  # a prompt shorter than this share of the one before was compacted
CONTEXTS = (
    0,
    50_000,
    100_000,
    130_000,
    145_000,
    160_000,
    175_000,
    200_000,
    400_000,
)  # lower edges of classes of prompts
USUAL_LIMIT = 200_000  # tokens of context of the usual models; sessions with longer prompts had a model with more
PLACES = (0, 1, 2, 3, 5, 8, 12, 20, 40, 80)  # lower edges of classes of steps by their number in the session
Tables = dict[str, list[float]]
Found = dict[str, Any]  # as TOML has it


def normal_scores(values: Floats) -> Floats:
    """Ranks as values of a standard normal; equal values share a score."""
    _, place, counts = np.unique(values, return_inverse=True, return_counts=True)
    middle = np.cumsum(counts) - counts / 2
    inverse = np.array([NormalDist().inv_cdf(share) for share in middle / len(values)])
    return np.asarray(inverse[place])


def table(values: Floats) -> list[float]:
    """Quantiles at SHARES, to four digits."""
    at = np.clip(SHARES, OUTERMOST, 1 - OUTERMOST)
    return [float(f"{value:.4g}") for value in np.quantile(values, at)]


class Steps:
    """Pairs of consecutive requests of one agent, main agents or sub-agents."""

    def __init__(self, r: Recording, main: bool):
        rows = np.flatnonzero((r.agent == MAIN) == main)
        key = r.session[rows] * 64 + r.agent[rows]
        rows = rows[np.argsort(key, kind="stable")]
        key = np.sort(key, kind="stable")
        same = key[1:] == key[:-1]
        self.rows, self.first = rows, rows[np.concatenate([[True], ~same])]
        self.before, self.after = rows[:-1][same], rows[1:][same]
        _, self.owner, self.counts = np.unique(key, return_inverse=True, return_counts=True)
        self.owner_after = self.owner[1:][same]
        self.growth = r.input_tokens[self.after] - r.input_tokens[self.before]
        self.compacted = r.input_tokens[self.after] < COMPACTED * r.input_tokens[self.before]


def fit(r: Recording) -> Found:
    """Everything that `fitted.Fitted` reads, as it stands in the catalogue."""
    own, sub = Steps(r, main=True), Steps(r, main=False)
    found: Found = {
        "shares": list(SHARES),
        "main": _tables(r, own),
        "sub_agents": _tables(r, sub),
        "pauses": _pauses(r, own),
        "reuse": _reuse(r, own),
        "compaction": _compaction(r, own),
        "second": _second(r, own),
        "subs_by_session": _subs(r),
    }
    return found | _dependence(r, own)


def _tables(r: Recording, steps: Steps) -> Tables:
    grown = ~steps.compacted
    return {
        "calls": table(steps.counts.astype(float)),
        "first_input": table(r.input_tokens[steps.first].astype(float)),
        "growth": table(steps.growth[grown].astype(float)),
        "output": table(r.output_tokens[steps.rows].astype(float)),
    }


def _second(r: Recording, steps: Steps) -> Tables:
    """Growth from the first prompt of a session to its second, where the first is short and where it is not."""
    begins = np.isin(steps.before, steps.first) & ~steps.compacted
    short = r.input_tokens[steps.before] < FRESH_START
    growth = steps.growth.astype(float)
    return {"below": [FRESH_START], "short": table(growth[begins & short]), "long": table(growth[begins & ~short])}


def _pauses(r: Recording, steps: Steps) -> Tables:
    """After a call that asked for a tool (or whose end is not recorded), and after an answer; in whole seconds."""
    pause, known = (column[steps.after] for column in pauses_s(r))
    answer = r.stop[steps.before] == STOPS.index("end_turn")
    rounded = np.rint(pause)
    tables = {"after_tool_s": table(rounded[known & ~answer]), "after_answer_s": table(rounded[known & answer])}
    return {**tables, "answers": [float(f"{answer[known].mean():.4g}")]}


def _reuse(r: Recording, steps: Steps) -> Tables:
    """Shares of the prompt before that are not reused, where not all of its blocks are; and after a compaction."""
    before = r.input_tokens[steps.before] // BLOCK_TOKENS * BLOCK_TOKENS
    most = np.minimum(before, r.input_tokens[steps.after] // BLOCK_TOKENS * BLOCK_TOKENS)
    lost = 1 - np.minimum(1, r.cache_read[steps.after] / most)
    partly = (lost > 0) & ~steps.compacted
    share = float(f"{partly[~steps.compacted].mean():.4g}")
    return {"lost": table(lost[partly]), "lost_when_compacted": table(lost[steps.compacted]), "partly": [share]}


def _compaction(r: Recording, steps: Steps) -> Tables:
    """Chance by class of prompt, in sessions within the usual limit and beyond it, and what is left of a prompt."""
    before = r.input_tokens[steps.before]
    longest = np.zeros(len(steps.counts))
    np.maximum.at(longest, steps.owner, r.input_tokens[steps.rows])
    wide = longest > USUAL_LIMIT
    left = (r.input_tokens[steps.after] / before)[steps.compacted]
    found: Tables = {"from": list(CONTEXTS), "left": table(left), "limit": [USUAL_LIMIT]}
    group = np.searchsorted(CONTEXTS, before, side="right") - 1
    for name, some in (("chance", ~wide[steps.owner_after]), ("chance_beyond", wide[steps.owner_after])):
        found[name] = _shares(group[some], steps.compacted[some])
    first = np.searchsorted(CONTEXTS, r.input_tokens[steps.first], side="right") - 1
    found["beyond"] = _shares(first, wide)
    return found


def _shares(group: Ints, hit: np.typing.NDArray[np.bool_]) -> list[float]:
    """Share of hits in each class of prompts."""
    most = len(CONTEXTS)
    counts = np.maximum(1, np.bincount(group, minlength=most))
    return [float(f"{share:.4g}") for share in np.bincount(group, hit, minlength=most) / counts]


def _subs(r: Recording) -> list[float]:
    """Share of sessions with 0, 1, 2 … sub-agents."""
    counts = np.bincount(np.bincount(r.sub_session, minlength=len(r.trace)))
    return [float(f"{share:.4g}") for share in counts / len(r.trace)]


def _dependence(r: Recording, steps: Steps) -> Found:
    """Correlation of (calls, first prompt, growth, answers) between sessions, and the session's weight in a call's score."""
    grown = ~steps.compacted
    owner, sessions = steps.owner_after[grown], len(steps.counts)
    growth = normal_scores(steps.growth[grown].astype(float))
    output = normal_scores(r.output_tokens[steps.rows].astype(float))
    place = np.concatenate([np.arange(count - 1) for count in steps.counts])[grown]
    group = np.searchsorted(PLACES, place, side="right") - 1
    early = np.bincount(group, growth) / np.bincount(group)
    usual = growth - early[group]
    weight = {"growth": _weight(usual, owner), "output": _weight(output, steps.owner)}
    scores = [normal_scores(steps.counts + 0.0), normal_scores(r.input_tokens[steps.first] + 0.0)]
    means = [_means(usual, owner, sessions), _means(output, steps.owner, sessions)]
    many = steps.counts >= 5  # means of a few calls are noise
    matrix = np.corrcoef(np.array([*scores, *means])[:, many])
    pairs = np.corrcoef(growth, output[_place(steps)][grown])[0, 1]
    return {
        "early_from": list(PLACES),
        "early_growth": [float(f"{x:.3f}") for x in early],
        "by_call": [float(f"{x:.3f}") for x in _by_call(scores[0], steps.counts, matrix[0, 2:])],
        "correlation": [[float(f"{x:.3f}") for x in row] for row in matrix],
        "session_weight_growth": weight["growth"],
        "session_weight_output": weight["output"],
        "growth_by_output": float(f"{pairs:.3f}"),
    }


def _by_call(calls: Floats, counts: Ints, correlations: Floats) -> Floats:
    """Mean scores of growth and answers where every call counts, not every session: those of long sessions weigh more."""
    return np.asarray(correlations * float((calls * counts).sum() / counts.sum()))


def _place(steps: Steps) -> Ints:
    """Index among ``steps.rows`` of the request before each step."""
    return np.searchsorted(np.arange(len(steps.rows)), np.flatnonzero(np.diff(steps.owner) == 0))


def _means(scores: Floats, owner: Ints, sessions: int) -> Floats:
    counts = np.maximum(1, np.bincount(owner, minlength=sessions))
    return np.asarray(np.bincount(owner, scores, minlength=sessions) / counts)


def _weight(scores: Floats, owner: Ints) -> float:
    """√ of the variance between sessions in that of the scores (of unit variance): one-way analysis of variance."""
    _, place, counts = np.unique(owner, return_inverse=True, return_counts=True)
    means = np.bincount(place, scores) / counts
    n, k = len(scores), len(counts)
    within = ((scores - means[place]) ** 2).sum() / (n - k)
    between = (counts * (means - scores.mean()) ** 2).sum() / (k - 1)
    size = (n - (counts**2).sum() / n) / (k - 1)
    share = max(0.0, (between - within) / size) / (within + max(0.0, (between - within) / size))
    return float(f"{np.sqrt(share):.3f}")
