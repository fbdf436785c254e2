"""What the kernel begins with: an empty cache, the power caps, and an agenda on which no request stands yet."""

from __future__ import annotations

import numpy as np

from tokenworks.control import tournament
from tokenworks.twin import columns as c
from tokenworks.twin.cell import Cell
from tokenworks.twin.layout import Ints
from tokenworks.twin.links import Links
from tokenworks.twin.memory import Agenda, Cache, Caps, State

TABLE_PER_NODE = 4  # sparse: a miss should not touch a node
SLOTS, PAGES = 512, 64  # they double where needed
FEWEST_NODES = 256


def empty_cache(cell: Cell, ranks: int, hashed: bool) -> Cache:
    """``hashed``: a model of the cell keeps prefixes; else nothing is laid out for them."""
    pages, nodes = (PAGES, FEWEST_NODES) if hashed else (0, 0)
    node = np.zeros((nodes, c.NODE_COLUMNS), np.int64)
    following = np.arange(1, pages + 1)
    following[-1:] = -1
    table = np.zeros(max(2, TABLE_PER_NODE * nodes), np.int32)
    return Cache(node, table, _tiers(cell, ranks), np.zeros((pages, 2, c.PAGE_UNITS), np.int64), following)


def _tiers(cell: Cell, ranks: int) -> Ints:
    depth = 1 + max(len(m.tiers) for m in cell.models)
    tier = np.zeros((ranks, depth, c.TIER_COLUMNS), np.int64)
    tier[:, :, c.TIER_HEAD] = tier[:, :, c.TIER_TAIL] = -1
    return tier


def caps_of(cell: Cell, state: State) -> Caps:
    caps, models = cell.caps, cell.models
    return Caps(
        np.cumsum([0, *(len(x.workers) for x in caps)]).astype(np.int64),
        np.array([w for x in caps for w in x.workers], np.int64),
        np.array([x.watts for x in caps], np.float64),
        np.array([x.raise_below_percent for x in caps], np.int64),
        np.zeros(len(caps)),
        np.cumsum([len(x.steps) for x in caps], dtype=np.int64),
        np.array([tick for x in caps for tick, _ in x.steps], np.int64),
        np.array([watts for x in caps for _, watts in x.steps], np.float64),
        np.cumsum([0, *(len(x.steps) for x in caps[:-1])], dtype=np.int64)[: len(caps)],
        np.array([level.active_w for m in models for level in m.levels], np.float64),
        np.array([models[m].idle_w for m in cell.workers], np.float64),
        np.zeros_like(state.level_ticks),
        np.zeros(len(cell.workers), np.int64),
    )


def empty_agenda(cell: Cell, state: State, links: Links) -> Agenda:
    workers = len(cell.workers)
    times = tournament.tree_for(workers)
    tournament.rebuild(times, state.ready)
    return Agenda(
        np.zeros((0, c.CHUNK_COLUMNS), np.int64),
        np.zeros(1, np.int64),
        np.zeros(0, np.int64),
        np.zeros((SLOTS, 3), np.int64),
        np.zeros((SLOTS, 3), np.int64),
        np.zeros(workers + 1, np.int64),
        times,
        *links,
    )
