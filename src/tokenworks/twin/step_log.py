"""The step log: what a step or leap held, kept while a traced window is open."""

from __future__ import annotations

from tokenworks.twin import columns as c
from tokenworks.twin.compiled import compiled
from tokenworks.twin.step_cost import decode_keys


@compiled
def log_steps(w, k, mixed, tick, t, st, books):  # type: ignore[no-untyped-def]
    """One row for the step or leap of ``k`` steps that is about to end, while there is room."""
    g, worker, i = st.g, st.worker, st.g[c.TRACED]
    if i >= len(books.steps):
        g[c.UNTRACED] += 1
        return
    row, v, first = books.steps[i], worker[w, c.VARIANT], worker[w, c.FIRST_RANK]
    row[c.S_WORKER], row[c.S_START], row[c.S_END], row[c.S_STEPS] = w, worker[w, c.CLOCK], tick, k
    row[c.S_MIXED], row[c.S_LINE] = int(mixed), worker[w, c.LINE]
    for r in range(first, first + worker[w, c.RANK_COUNT]):
        if mixed:
            log_prefills(row, r, st.rank)
        if not (mixed and t.number[v, c.ALONE] == 1):
            log_decode(row, r, v, k, t.number, st)
    g[c.TRACED] += 1


@compiled
def log_prefills(row, r, rank):  # type: ignore[no-untyped-def]
    row[c.S_TOKENS] += rank[r, c.CHUNK_TOKENS]
    row[c.S_SAMPLED] += rank[r, c.SAMPLES]
    for x in range(3):
        row[c.S_PAIRS + x] += rank[r, c.PAIR0 + x]


@compiled
def log_decode(row, r, v, k, number, st):  # type: ignore[no-untyped-def]
    """A sequence's keys grow by one a step, in a limited class while it is below the limit: no leap passes one."""
    n = st.rank[r, c.N]
    if n == 0:
        return
    row[c.S_SEQUENCES] += n
    row[c.S_SAMPLED] += n
    s0, s1, s2 = decode_keys(number, v, st.rank, st.slot, r)
    half = k * (k - 1) // 2
    row[c.S_KEYS] += k * s0 + half * n
    if number[v, c.LIMIT1] > 0:
        row[c.S_KEYS + 1] += k * s1 + half * st.rank[r, c.BELOW1]
    if number[v, c.LIMIT2] > 0:
        row[c.S_KEYS + 2] += k * s2 + half * st.rank[r, c.BELOW2]
