"""Counters of several gateway processes as one: each puts its page down now and then, a scrape reads all of them.

A process reads its own page from the board, too: counters then never go back from one scrape to the next, whichever
process answers. What a killed process had put down stays counted by the one that follows it in its place.
"""

from __future__ import annotations

import asyncio
import os
from collections.abc import Callable, Iterable
from pathlib import Path
from typing import TypeAlias

import msgspec

from tokenworks.serve.pages.steering_metrics import HELP as STEERING_HELP
from tokenworks.serve.telemetry.metrics import HELP

Lines: TypeAlias = dict[str, list[str]]  # of a page, by the name of their metric
INTERVAL_S = 0.5
LEAST = (
    "tokenworks_upstream_up",
    "process_start_time_seconds",
    "tokenworks_usd_per_hour",
)  # of all processes; other metrics add up
GREATEST = (  # what engines say of themselves, to every process the same
    "tokenworks_upstream_elsewhere", "tokenworks_upstream_kv_used_ratio", "tokenworks_upstream_power_watts",
    "tokenworks_upstream_energy_joules_total", "tokenworks_upstream_static_joules_total", "tokenworks_upstream_speed",
)  # fmt: skip
KINDS = {name: kind for name, (kind, _) in (HELP | STEERING_HELP).items()}
_decode = msgspec.msgpack.Decoder(Lines).decode


class Board:
    """A folder with one page for each place in 0 … ``places`` − 1."""

    def __init__(self, folder: Path, place: int, places: int):
        self._folder, self._place, self._places = folder, place, places
        before = self._read(place)
        self._before = {
            name: lines for name, lines in before.items() if KINDS[name] != "gauge" and name not in GREATEST
        }

    def put(self, parts: Iterable[Lines]) -> None:
        """Takes the place of what this process put down before, whole or not at all."""
        draft = self._page(self._place).with_suffix(".new")
        draft.write_bytes(msgspec.msgpack.encode(added([self._before, *parts])))
        os.replace(draft, self._page(self._place))

    def all(self) -> Lines:
        """The sum over all places."""
        return added(self._read(place) for place in range(self._places))

    def gauge(self, name: str, labels: str) -> int:
        """One line of the sum; 0 where no process has put it down yet."""
        lines = (line.rpartition(" ") for line in self.all().get(name, ()))
        return next((int(value) for what, _, value in lines if what == name + labels), 0)

    async def keep(self, lines: Callable[[], list[Lines]]) -> None:
        """Puts the page down again and again, and when it ends."""
        try:
            while True:
                self.put(lines())
                await asyncio.sleep(INTERVAL_S)
        finally:
            self.put(lines())

    def _page(self, place: int) -> Path:
        return self._folder / f"metrics-{place}"

    def _read(self, place: int) -> Lines:
        try:
            return _decode(self._page(place).read_bytes())
        except FileNotFoundError:
            return {}


def added(parts: Iterable[Lines]) -> Lines:
    """Values of equal names and labels as one line each: their sum, of LEAST the least, of GREATEST the greatest."""
    found: dict[str, dict[str, str]] = {}
    for part in parts:
        for name, lines in part.items():
            values = found.setdefault(name, {})
            for line in lines:
                what, _, value = line.rpartition(" ")
                values[what] = _both(name, values[what], value) if what in values else value
    return {name: [f"{what} {value}" for what, value in values.items()] for name, values in found.items()}


def _both(name: str, first: str, second: str) -> str:
    if name in LEAST:
        return min(first, second, key=float)
    if name in GREATEST:
        return max(first, second, key=float)
    if "." in first or "." in second:
        return f"{float(first) + float(second):.6f}"
    return str(int(first) + int(second))
