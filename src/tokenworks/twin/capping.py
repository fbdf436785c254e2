"""Power caps: at control ticks the mean power of some workers decides their clock levels."""

from __future__ import annotations

from tokenworks.control.tournament import update
from tokenworks.twin.columns import (
    CLOCK,
    IDLE,
    JOULES,
    LEAP,
    LEVEL,
    LEVELS,
    MODE,
    NOW,
    STEPS_AHEAD,
    TICK_JOULES,
    TICK_STEP,
    VARIANT,
    WANTED,
)
from tokenworks.twin.compiled import compiled, inlined
from tokenworks.twin.leap import end_of, first_end_at
from tokenworks.twin.retiring import off_ticks
from tokenworks.twin.timeline import joules_after

PER_TICK = 1e-5  # watts × ticks of 10 ps → microjoules


@compiled
def spent(w, t, st, caps):  # type: ignore[no-untyped-def]
    """Microjoules of a worker since the last tick, of steps that ended before now; the marks move on."""
    worker, now, level = st.worker, st.g[NOW], st.worker[w, LEVEL]
    dynamic, partial = worker[w, JOULES], 0
    if worker[w, MODE] == LEAP and st.ready[w] >= now:
        k = first_end_at(worker, w, worker[w, STEPS_AHEAD], now) - 1
        if k > 0:
            dynamic += joules_after(worker, w, k)
            partial = end_of(worker, w, k) - worker[w, CLOCK]
    total, busy = float(dynamic - worker[w, TICK_JOULES]), 0
    worker[w, TICK_JOULES] = dynamic
    first = worker[w, VARIANT] - level
    for x in range(t.number[first, LEVELS]):
        ticks = st.level_ticks[w, x] + (partial if x == level else 0)
        change = ticks - caps.seen[w, x]
        caps.seen[w, x] = ticks
        total += caps.active_w[first + x] * change * PER_TICK
        busy += change
    off = off_ticks(worker, w, now)
    change = off - caps.seen_off[w]
    caps.seen_off[w] = off
    return total + caps.idle_w[w] * (st.g[TICK_STEP] - busy - change) * PER_TICK


@inlined
def watts_at(caps, x, now):  # type: ignore[no-untyped-def]
    """The limit of a cap from now on."""
    while caps.step_next[x] < caps.step_end[x] and caps.step_tick[caps.step_next[x]] <= now:
        caps.watts[x] = caps.step_watts[caps.step_next[x]]
        caps.step_next[x] += 1
    return caps.watts[x]


@compiled
def control_tick(t, st, caps, agenda, joules, votes):  # type: ignore[no-untyped-def]
    """One level down for workers with a cap that is exceeded, one up where all caps have room and owe nothing.

    A cap between two levels swings from one to the other: what it drew too much at the higher it saves at the lower
    first, so that their mean stays below the limit. It never owes more than one interval at the limit.
    """
    worker, now = st.worker, st.g[NOW]
    for w in range(len(worker)):
        joules[w] = spent(w, t, st, caps)
        votes[w] = 0
    for x in range(len(caps.watts)):
        total = 0.0
        for i in range(caps.start[x], caps.start[x + 1]):
            total += joules[caps.member[i]]
        limit = watts_at(caps, x, now) * st.g[TICK_STEP] * PER_TICK
        room = limit * caps.percent[x] / 100
        caps.owed[x] = min(max(caps.owed[x] + (total - limit), 0.0), limit)
        for i in range(caps.start[x], caps.start[x + 1]):
            vote(votes, caps.member[i], total > limit, total < room and caps.owed[x] == 0.0)
    for w in range(len(worker)):
        levels, level = t.number[worker[w, VARIANT], LEVELS], worker[w, WANTED]
        wanted = level + 1 if votes[w] == 3 else level - 1 if votes[w] == 1 else level
        wanted = max(0, min(levels - 1, wanted))
        if wanted != level:
            worker[w, WANTED] = wanted
            end_leap(w, now, st, agenda)


@inlined
def vote(votes, w, above, below):  # type: ignore[no-untyped-def]
    """0 no cap, 1 room, 2 stay, 3 down; the sternest wins."""
    mine = 3 if above else 1 if below else 2
    votes[w] = max(votes[w], mine)


@compiled
def end_leap(w, now, st, agenda):  # type: ignore[no-untyped-def]
    """A new clock level counts from the next step."""
    if st.worker[w, MODE] == LEAP:
        k = first_end_at(st.worker, w, st.worker[w, STEPS_AHEAD], now)
        st.worker[w, STEPS_AHEAD] = k
        st.ready[w] = end_of(st.worker, w, k)
        update(agenda.times, st.ready, w)


@compiled
def set_level(w, worker):  # type: ignore[no-untyped-def]
    """At the start of a step the wanted level becomes the level."""
    if worker[w, MODE] == IDLE and worker[w, WANTED] != worker[w, LEVEL]:
        worker[w, VARIANT] += worker[w, WANTED] - worker[w, LEVEL]
        worker[w, LEVEL] = worker[w, WANTED]
