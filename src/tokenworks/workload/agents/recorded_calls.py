"""The recorded sessions as calls that wait for one another, to be played on another factory.

A request waits for the last one of its agent that had ended when it was sent. A sub-agent begins after the lead's
request before it; the lead's next request waits for it as well where the sub-agent had ended by then. The pause is the
time from the last of these ends to the request.
"""

from __future__ import annotations

from functools import lru_cache

import numpy as np

from tokenworks.workload.agents.calls import Calls
from tokenworks.workload.agents.fitted_rows import ANSWER, FINAL, SUB_AGENT, TOOL
from tokenworks.workload.agents.recorded_times import took_s
from tokenworks.workload.agents.recorded_usage import begins_s, steps_of
from tokenworks.workload.agents.recording import MAIN, STOPS, Ints, Recording, load_recording

SLACK_S = 1.0  # times of the recording are whole seconds
OVERLAPS = 32  # requests of an agent among which the one that was waited for is looked for


@lru_cache(maxsize=1)
def recorded_calls() -> Calls:
    """All 49,334 requests; run k is session k, phases are those of the fitted agent."""
    return calls_of(load_recording())


def calls_of(r: Recording) -> Calls:
    start = begins_s(r)
    end = start + took_s(r)
    before = _waits(r, start.tolist(), end.tolist())
    latest = [max((float(end[w]) for w in some), default=0.0) for some in before]
    pause = np.maximum(0.0, start - np.array(latest))
    person = _after_answer(r, before) & (r.agent == MAIN)
    phase = np.where(r.agent > MAIN, SUB_AGENT, np.where(r.stop == STOPS.index("end_turn"), ANSWER, TOOL))
    seen, none = r.last_of_session(), np.zeros(len(r), np.int64)
    phase[seen] = FINAL
    return Calls(
        run=r.session, agent=r.agent, step=steps_of(r), attempt=none + 1, phase=phase,
        input_tokens=r.input_tokens, kept=r.cache_read, visible=r.output_tokens, reasoning=none, tool=none,
        tool_s=np.where(person, 0.0, pause), think_s=np.where(person, pause, 0.0),
        failed=np.zeros(len(r), np.bool_), seen=seen,
        before_start=np.cumsum([0, *map(len, before)]).astype(np.int64),
        before=np.array([b for some in before for b in some], np.int64),
    )  # fmt: skip


def _waits(r: Recording, start: list[float], end: list[float]) -> list[list[int]]:
    """Rows that each request waits for."""
    rows = dict[tuple[int, int], list[int]]()  # of each agent, so far
    pending = dict[int, list[int]]()  # by session: sub-agents that the lead has not yet waited for
    waits = list[list[int]]()
    for row, (session, agent) in enumerate(zip(r.session.tolist(), r.agent.tolist(), strict=True)):
        own = rows.setdefault((session, agent), [])
        ended = [w for w in own[-OVERLAPS:] if end[w] <= start[row] + SLACK_S]
        some = [max(ended, key=lambda w: end[w])] if ended else []
        if agent != MAIN and not own:
            some = rows[session, MAIN][-1:]
            pending.setdefault(session, []).append(agent)
        if agent == MAIN:
            last = {sub: rows[session, sub][-1] for sub in pending.get(session, [])}
            done = [sub for sub, w in last.items() if end[w] <= start[row] + SLACK_S]
            some = some + [last[sub] for sub in done]
            pending[session] = [sub for sub in last if sub not in done]
        own.append(row)
        waits.append(some)
    return waits


def _after_answer(r: Recording, before: list[list[int]]) -> np.typing.NDArray[np.bool_]:
    """Rows that follow an answer to the person, not a call of a tool."""
    own = np.array([some[0] if some else -1 for some in before])
    return np.asarray((own >= 0) & (r.stop[own] == STOPS.index("end_turn")))


def began(calls: Calls, gap_s: float) -> Ints:
    """Ticks at which the run of each call begins, if runs begin evenly."""
    from tokenworks.workload.streams import TICKS_PER_S

    return np.asarray(np.unique(calls.run, return_inverse=True)[1] * round(gap_s * TICKS_PER_S), np.int64)
