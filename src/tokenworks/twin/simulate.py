"""`simulate`: one cell through the compiled kernel, in constant memory, its books checked and unpacked."""

from __future__ import annotations

from collections.abc import Callable, Iterable
from dataclasses import replace

import numpy as np

from tokenworks.errors import InputError, UnsupportedError
from tokenworks.events.requests import Requests
from tokenworks.twin import columns as c
from tokenworks.twin import kernel
from tokenworks.twin.allocation import at_workers
from tokenworks.twin.audit import audit, audit_timeline
from tokenworks.twin.beginning import SLOTS, TABLE_PER_NODE, caps_of, empty_agenda, empty_cache
from tokenworks.twin.cell import Cell, TwinOptions, TwinResult
from tokenworks.twin.departures import Departures, Sink
from tokenworks.twin.feeding import Feeder
from tokenworks.twin.layout import Ints, Pools, Tables, pack_pools, pack_services, pack_tables, pack_workers
from tokenworks.twin.links import links_of
from tokenworks.twin.memory import Books, State, grow_list, grow_rows, new_books, new_state
from tokenworks.twin.prefix import rehash
from tokenworks.twin.retiring import retire_now
from tokenworks.twin.scaling import Scaler
from tokenworks.twin.settling import settle_rest
from tokenworks.twin.unpacking import result_of

UNLIMITED_LEAP = 1 << 40
MOST_NODES = 1 << 18  # to begin with: what the caches can hold, up to this


def simulate(
    cell: Cell,
    requests: Requests | Iterable[Requests],
    options: TwinOptions,
    max_leap: int = UNLIMITED_LEAP,
    stop: Callable[[], bool] = lambda: False,
    sink: Sink | None = None,
) -> TwinResult:
    """Run a stream of requests through a cell. ``max_leap`` = 1 forces single steps (for tests: same result, slower).
    Once ``stop`` says so, the run ends at the next edge of a timeline bucket, as if that had been its horizon.

    ``sink`` gets all requests in chunks of ``options.chunk_rows``, in the order in which they leave, while the run goes on (where
    a draw must be known, at its end: `Departures`); what it raises ends the run. The kernel lets other threads run meanwhile.

    Raises InputError for unsorted or impossible requests, ConservationError when an invariant breaks.
    """
    run = Run(cell, requests, options, max_leap, sink)
    run.play(stop)
    return run.result()


class Run:
    """One run of one cell: the kernel's arrays, and what it asks for."""

    def __init__(
        self,
        cell: Cell,
        requests: Requests | Iterable[Requests],
        options: TwinOptions,
        max_leap: int,
        sink: Sink | None = None,
    ):
        self.cell, self.options = cell, options
        self.departures = Departures(cell, options, sink)
        self.tables: Tables = pack_tables(cell.models)
        self.pools: Pools = pack_pools(cell)
        self.state: State = new_state(self.tables, pack_workers(cell, self.tables, self.pools), SLOTS, options.allocate)
        self.books: Books = new_books(
            pack_services(cell), len(self.tables.number), options.buckets, self._traced(), SLOTS
        )
        hashed = any(m.prefix_cache for m in cell.models)
        self.links = links_of(requests, options.clients)
        self.feeder = Feeder(requests, len(cell.services), options.clients, hashed, linked=len(self.links.missing) > 0)
        self.cache = empty_cache(cell, len(self.state.rank), hashed)
        self.caps = caps_of(cell, self.state)
        self.agenda = empty_agenda(cell, self.state, self.links)
        self.scaler = Scaler(cell, self.state, self.pools, self.books)
        self._scalars(max_leap)
        if self.departures.wanted:
            self.books = self.books._replace(log=self._empty_log())
        if len(self.links.missing):
            self._link()

    def _link(self) -> None:
        """Requests that follow nobody come by the clock. All are known, so that the others can be found when their time comes."""
        g = self.state.g
        self._next_chunk()
        arrival = self.agenda.chunk[:, c.C_ARRIVAL]
        first = np.flatnonzero(self.links.missing == 0)
        first = first[np.argsort(arrival[first], kind="stable")]
        pending = np.zeros((len(arrival), 3), np.int64)
        pending[: len(first)] = np.stack([arrival[first], first, first], axis=1)  # sorted: a heap
        self.agenda = self.agenda._replace(pending=pending)
        g[c.LINKED], g[c.PENDING_N], g[c.MORE] = 1, len(first), 0

    def _scalars(self, max_leap: int) -> None:
        g, options = self.state.g, self.options
        g[c.SLOT_HEAD], g[c.MORE], g[c.BUILT] = 0, 1, -1
        g[c.RELEASED] = g[c.CLIENTS] = options.clients
        g[c.HORIZON], g[c.BUCKET], g[c.BUCKETS] = options.horizon_ticks, max(1, options.bucket_ticks), options.buckets
        g[c.WARMUP], g[c.MAX_LEAP], g[c.RECORD] = options.warmup_ticks, max_leap, int(self.departures.wanted)
        g[c.TRACE_FROM], g[c.TRACE_TO] = options.trace_ticks
        g[c.ALLOCATES], g[c.LEFT_MOST] = int(options.allocate), max(1, options.chunk_rows)
        g[c.SEED], g[c.TICK_STEP] = self.cell.seed, options.control_ticks
        g[c.CAP_NEXT] = options.control_ticks if self.cell.caps else c.NEVER
        self._look_next()
        g[c.NODES_FREE] = len(self.cache.node)
        g[c.PAGES_FREE] = len(self.cache.page)
        if not self.cache.page.size:
            g[c.PAGE_HEAD] = -1
            g[c.PAGES_FREE] = 2

    def _traced(self) -> int:
        first, last = self.options.trace_ticks
        return self.options.trace_capacity if last > first else 0

    def _set_unit(self) -> None:
        """Prefix units hold as many blocks as a hash covers."""
        tokens, units = self.feeder.unit_tokens, 0
        for g, row in enumerate(self.state.rank):
            w = row[c.RANK_WORKER]
            model = self.cell.models[self.cell.workers[w]]
            if not model.prefix_cache:
                continue
            if tokens % model.block_tokens:
                raise UnsupportedError(
                    f"prompt hashes of {tokens} tokens do not fit KV blocks of {model.block_tokens} tokens"
                )
            unit = tokens // model.block_tokens
            first = self.tables.first[self.cell.workers[w]]
            self.tables.number[first : first + len(model.levels), c.UNIT] = unit
            for k, tier in enumerate(model.tiers):
                self.cache.tier[g, k + 1, c.TIER_LIMIT] = tier.capacity_blocks // unit
                self.cache.tier[g, k + 1, c.TIER_TICKS] = tier.ticks_per_block * unit
            units += (model.kv_blocks + sum(tier.capacity_blocks for tier in model.tiers)) // unit
        self._grow_nodes(min(MOST_NODES, 1 << units.bit_length()))

    def play(self, stop: Callable[[], bool]) -> None:
        """Run the kernel to the end, giving it what it asks for."""
        joules, votes = np.zeros(len(self.cell.workers)), np.zeros(len(self.cell.workers), np.int64)
        while True:
            need = kernel.run(
                self.tables, self.state, self.books, self.pools, self.cache, self.agenda, self.caps, joules, votes
            )
            if need == c.DONE:
                break
            if stop():
                self._cut_short()
            self._provide(need)
        if self.feeder.count == 0:
            raise InputError("there are no requests to simulate")
        kernel.settle(self.tables, self.state, self.books, self.pools, self.cache, self.agenda)
        if self.options.allocate:
            settle_rest(at_workers(self.state), self.tables, self.state, self.books)
        audit(self.cell, self.tables, self.state, self.books, self.pools, self.cache)
        audit_timeline(self.cell, self.state, self.books, self.options)

    def _cut_short(self) -> None:
        """The horizon moves to the next bucket edge; before it, nothing changes."""
        g = self.state.g
        edge = (int(g[c.NOW]) // int(g[c.BUCKET]) + 1) * int(g[c.BUCKET])
        if not 0 < g[c.HORIZON] <= edge:
            g[c.HORIZON] = edge
            self.options = replace(self.options, horizon_ticks=edge)

    def _provide(self, need: int) -> None:
        if need == c.NEED_CHUNK:
            self._next_chunk()
        elif need == c.NEED_SLOTS:
            self._grow_slots()
        elif need == c.NEED_LOG:
            self._take_log()
        elif need == c.NEED_PAGES:
            self._grow_pages()
        elif need == c.NEED_SCALING:
            self._scale()
        else:
            self._grow_nodes(2 * len(self.cache.node))

    def _look_next(self) -> None:
        g = self.state.g
        g[c.SCALE_NEXT] = self.scaler.next_tick
        g[c.TICK_NEXT] = min(g[c.CAP_NEXT], g[c.SCALE_NEXT])

    def _scale(self) -> None:
        t, st, books, pools, cache = self.tables, self.state, self.books, self.pools, self.cache
        for w in self.scaler.act(int(st.g[c.NOW])):
            retire_now(w, t, st, cache)
        for p in self.scaler.open_pools():
            kernel.route_held(p, t, st, books, pools, cache, self.agenda)
        self._look_next()

    def _next_chunk(self) -> None:
        g, unit = self.state.g, self.feeder.unit_tokens
        seen = self.feeder.count
        chunk = self.feeder.next_chunk()
        if chunk is None:
            g[c.MORE] = 0
            return
        g[c.BASE_ID], g[c.CURSOR] = seen, 0
        self.agenda = self.agenda._replace(chunk=chunk[0], hash_start=chunk[1], hashes=chunk[2])
        if self.feeder.unit_tokens != unit:
            self._set_unit()

    def _empty_log(self) -> Ints:
        """A chunk, and all that may leave in one event."""
        return np.empty((max(1, self.options.chunk_rows) + len(self.state.slot), c.LOG_COLUMNS), np.int64)

    def _take_log(self) -> None:
        """The full chunk goes, and what has left since begins the next."""
        most, left, full = int(self.state.g[c.LEFT_MOST]), int(self.state.g[c.LEFT_N]), self.books.log
        log = self._empty_log()
        log[: left - most] = full[most:left]
        self.state.g[c.LEFT_N] = left - most
        self.books = self.books._replace(log=log)
        self.departures.take(full[:most])

    def _grow_slots(self) -> None:
        slot, head = grow_list(self.state.slot, int(self.state.g[c.SLOT_HEAD]), c.NEXT)
        self.state = self.state._replace(slot=slot)
        if self.options.allocate:
            self.state = self.state._replace(own=grow_rows(self.state.own, len(slot)))
        self.state.g[c.SLOT_HEAD] = head
        pending = grow_rows(self.agenda.pending, max(len(slot), len(self.agenda.pending)))
        self.agenda = self.agenda._replace(pending=pending, moving=grow_rows(self.agenda.moving, len(slot)))
        self.books = self.books._replace(ended=grow_rows(self.books.ended, len(slot)))
        if self.departures.wanted:
            self.books = self.books._replace(log=grow_rows(self.books.log, len(self.books.log) + len(slot) // 2))

    def _grow_pages(self) -> None:
        g, old = self.state.g, len(self.cache.page)
        following = np.concatenate([self.cache.page_next, np.arange(old + 1, 2 * old + 1)])
        following[-1] = g[c.PAGE_HEAD]
        g[c.PAGE_HEAD] = old
        g[c.PAGES_FREE] += old
        self.cache = self.cache._replace(page=grow_rows(self.cache.page, 2 * old), page_next=following)

    def _grow_nodes(self, count: int) -> None:
        """To ``count`` nodes, a power of two. The list of free nodes ends in the first new one by itself."""
        old = len(self.cache.node)
        if count <= old:
            return
        self.state.g[c.NODES_FREE] += count - old
        table = np.zeros(TABLE_PER_NODE * count, np.int32)
        self.cache = self.cache._replace(node=grow_rows(self.cache.node, count), table=table)
        rehash(self.cache, old)

    def result(self) -> TwinResult:
        end = self.options.horizon_ticks or int(self.state.g[c.LAST])
        found = result_of(self.cell, self.tables, self.state, self.books, self.options, end, self.scaler.finish(end))
        if not self.departures.wanted:
            return found
        left = self.books.log[: int(self.state.g[c.LEFT_N])]
        whole = self.departures.finish(left, self.state, found.workers, self.feeder.length, end)
        return replace(found, log=whole.log, order=whole.order, allocation=whole.shares)
