"""One run as a tree of agents, calls and tools, weighed by time, tokens, dollars and joules: what a flame graph draws."""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass
from typing import Any

from tokenworks.errors import InputError
from tokenworks.events.ledger_events import BUCKETS, MICRO

MEASURES = ("time", "tokens", "dollars", "joules")
Row = Mapping[str, Any]  # of USAGE_COLUMNS or COST_COLUMNS
Weights = tuple[float, ...]  # seconds, tokens, dollars, joules


@dataclass(frozen=True)
class Node:
    """A run, a call or a use of a tool; a run's weights are the sums of what is in it."""

    name: str
    kind: str  # run, cost, or the purpose of a call
    weights: Weights
    children: tuple[Node, ...] = ()


def run_tree(root: str, usage: Iterable[Row], costs: Iterable[Row] = ()) -> Node:
    """The tree of ``root_run == root``; a run without a known parent hangs at the root. Raises InputError for a run that
    has no events, or whose parents go in a circle."""
    leaves: dict[str, list[tuple[int, Node]]] = {}
    parents: dict[str, str] = {}
    names: dict[str, str] = {}
    for row, node in (*((r, _call(r)) for r in usage), *((r, _cost(r)) for r in costs)):
        if row["root_run"] != root:
            continue
        run = row["run"] or root
        leaves.setdefault(run, []).append((row["time_us"], node))
        names[run] = row["agent"] or names.get(run) or run
        if run != root:
            parents[run] = row["parent_run"] or root
    if not leaves:
        raise InputError(f"no event belongs to the run {root!r}")
    for run, above in list(parents.items()):
        if above != root and above not in parents:
            parents[above] = root  # a run that called nothing itself
        _climb(run, root, parents)
    return _built(root, names, leaves, parents)


def _climb(run: str, root: str, parents: Mapping[str, str]) -> None:
    seen = {run}
    while run != root:
        run = parents.get(run, root)
        if run in seen:
            raise InputError(f"the runs above {run!r} go in a circle")
        seen.add(run)


def _built(
    run: str, names: Mapping[str, str], leaves: Mapping[str, Sequence[tuple[int, Node]]], parents: Mapping[str, str]
) -> Node:
    """Calls and sub-agents in the order in which they began."""
    below = [_built(child, names, leaves, parents) for child, above in parents.items() if above == run]
    # A sub-agent stands where its first event does; one without events of its own at the end.
    first = {child: min((t for t, _ in leaves.get(child, ())), default=2**63) for child in parents}
    starts = [first[child] for child, above in parents.items() if above == run]
    parts = sorted([*leaves.get(run, ()), *zip(starts, below, strict=True)], key=lambda part: part[0])
    children = tuple(node for _, node in parts)
    return Node(names.get(run, run), "run", summed(children), children)


def summed(nodes: Sequence[Node]) -> Weights:
    return tuple(sum(node.weights[m] for node in nodes) for m in range(len(MEASURES)))


def _call(row: Row) -> Node:
    sign = row["sign"]
    tokens = sum(row[bucket] or 0 for bucket in BUCKETS)
    figures = (
        (row["duration_us"] or 0) / MICRO,
        tokens,
        (row["cost_micro_usd"] or 0) / MICRO,
        (row["energy_uj"] or 0) / MICRO,
    )
    said = "taken back: " if sign < 0 else ""
    kind = "failed" if row["failed"] else row["purpose"] or row["operation"]
    return Node(f"{said}{kind} {row['step']}", kind, tuple(sign * figure for figure in figures))


def _cost(row: Row) -> Node:
    usd = row["sign"] * (row["amount_micro"] or 0) / MICRO
    return Node(row["meter"], "cost", (0.0, 0.0, usd, 0.0))
