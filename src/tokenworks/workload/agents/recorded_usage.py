"""The recorded sessions as usage events: one per request, so that they can be metered, priced and billed.

What the recording does not tell is said in each event's tags:
``output = unsplit``: all tokens of an answer stand in the visible bucket, reasoning and tool calls are not told apart;
``visible = assumed``: which answer the user saw is not recorded; the last one of the session stands for it. No event says
``final``, so that TAF, too, says what it assumes.
Sessions carry no date either: they begin where the caller says.
"""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass
from typing import TYPE_CHECKING

import numpy as np

from tokenworks.events.ledger_events import MICRO, UsageEvent
from tokenworks.events.tables import table
from tokenworks.workload.agents.recording import STOPS, Recording, load_recording

if TYPE_CHECKING:
    import pyarrow as pa

SOURCE = "recording/coding-sessions"
PURPOSES = {"": "", "tool_use": "tool", "end_turn": "answer"}
UNSPLIT = {"output": "unsplit"}
SEEN = {**UNSPLIT, "visible": "assumed"}


@dataclass(frozen=True)
class Begin:
    """When sessions begin and whose they are: session k begins ``gap_s`` × k after ``first_us``, and belongs to tenant
    ``k % tenants``."""

    first_us: int = 1_767_225_600 * MICRO  # 2026-01-01 00:00 UTC
    gap_s: int = 3600
    tenants: int = 10

    def tenant(self, session: int) -> str:
        return f"tenant-{session % self.tenants:02d}"


def recorded_usage(begin: Begin = Begin(), recording: Recording | None = None) -> Iterator[UsageEvent]:
    """49,334 events in the order of the recording, each with the same (source, id) every time."""
    r = recording or load_recording()
    last, at_us, steps = r.last_of_session(), _ends_us(r, begin), steps_of(r)
    read, fresh, output = r.cache_read.tolist(), r.fresh.tolist(), r.output_tokens.tolist()
    first_us, whole_us = _us(r.ttft_s), _us(r.api_s)
    for row, (session, agent) in enumerate(zip(r.session.tolist(), r.agent.tolist(), strict=True)):
        root = f"session-{r.trace[session]:04d}"
        yield UsageEvent(
            source=SOURCE,
            id=f"{root}/{agent}/{steps[row]}",
            time_us=int(at_us[row]),
            tenant=begin.tenant(session),
            root_run=root,
            run=f"{root}/agent-{agent}" if agent else root,
            parent_run=root if agent else "",
            agent="sub-agent" if agent else "coding-agent",
            step=int(steps[row]),
            tags=SEEN if last[row] else UNSPLIT,
            provider="anthropic",
            request_model=r.models[r.model[row]],
            model=r.models[r.model[row]],
            purpose="final" if last[row] else PURPOSES[STOPS[r.stop[row]]],
            conversation=root,
            input_fresh=fresh[row],
            cache_read=read[row],
            output_visible=output[row],
            usage_source="provider",
            ttft_us=first_us[row],
            duration_us=whole_us[row],
        )


def recorded_usage_table(begin: Begin = Begin()) -> pa.Table:
    """The same as an Arrow table of USAGE_COLUMNS."""
    return table(recorded_usage(begin), first_seq=1)


def steps_of(r: Recording) -> np.typing.NDArray[np.int64]:
    """Number of a request within its agent's run, from 1."""
    begins = np.flatnonzero((np.diff(r.session, prepend=-1) != 0) | (np.diff(r.agent, prepend=-1) != 0))
    steps, counts = np.zeros(len(r), np.int64), dict[tuple[int, int], int]()
    for first, stop in zip(begins, [*begins[1:], len(r)], strict=True):
        key = int(r.session[first]), int(r.agent[first])
        done = counts.get(key, 0)
        steps[first:stop] = np.arange(done + 1, done + 1 + stop - first)
        counts[key] = done + int(stop - first)
    return steps


def _ends_us(r: Recording, begin: Begin) -> np.typing.NDArray[np.int64]:
    """When each answer ended (began to be asked for, where its duration is not recorded)."""
    second = begins_s(r) + np.nan_to_num(r.api_s)
    return begin.first_us + r.session * (begin.gap_s * MICRO) + np.rint(second * MICRO).astype(np.int64)


def begins_s(r: Recording) -> np.typing.NDArray[np.float64]:
    """Seconds from the beginning of its session to each request, those of sub-agents too."""
    second, sub = r.start_s.copy(), r.agent > 0
    starts = dict(zip(_keys(r), r.sub_start_s, strict=True))
    second[sub] += [starts[key] for key in zip(r.session[sub].tolist(), r.agent[sub].tolist(), strict=True)]
    return second


def _keys(r: Recording) -> list[tuple[int, int]]:
    """(session, agent) of every sub-agent, in order."""
    seen = np.concatenate([np.arange(1, n + 1) for n in np.bincount(r.sub_session)])
    return list(zip(r.sub_session.tolist(), seen.tolist(), strict=True))


def _us(seconds: np.typing.NDArray[np.float64]) -> list[int | None]:
    return [None if s != s else round(s * MICRO) for s in seconds.tolist()]
