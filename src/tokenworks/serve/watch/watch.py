"""Looks at the pages of engines again and again, and writes a line for each window as it ends."""

from __future__ import annotations

import time
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from datetime import UTC, datetime
from typing import IO

import msgspec

from tokenworks.errors import InputError
from tokenworks.serve.telemetry.samples import Samples
from tokenworks.serve.watch.page import page_at
from tokenworks.serve.watch.window import Look, Window, known, model_on, window_of

MISSED = 5  # looks in a row without a page, after which an engine is given up
Stop = Callable[[], bool]


@dataclass(frozen=True)
class Schedule:
    """Seconds: of all, of a window, between two looks."""

    for_s: float
    window_s: float
    look_s: float

    def __post_init__(self) -> None:
        """Raises InputError."""
        if not 0 < self.look_s <= self.window_s / 2 or not self.window_s <= self.for_s:
            raise InputError("--look is above 0 s and at most half of --window, and --window at most --for")


def engine_at(url: str) -> tuple[str, str]:
    """(engine, the model as it calls it) by its page now. Raises InputError."""
    page = page_at(url)
    names = known(url, page)
    return names.engine, model_on(page, names)


def watch(
    urls: Sequence[str],
    schedule: Schedule,
    out: IO[str],
    say: Callable[[str], None],
    read: Callable[[str], Samples] = page_at,
) -> list[Window]:
    """The windows of all engines; each is in ``out`` once it has ended. Raises InputError where an engine stops answering: what
    was written stays."""
    found: list[Window] = []
    windows = max(1, round(schedule.for_s / schedule.window_s))
    looks: Mapping[str, list[Look]] = {url: [] for url in urls}
    missed = dict.fromkeys(urls, 0)
    for number in range(windows):
        begun, date = time.monotonic(), datetime.now(UTC).isoformat(timespec="seconds")
        steps = round(schedule.window_s / schedule.look_s)
        for step in range(steps + 1):
            time.sleep(max(0.0, begun + step * schedule.look_s - time.monotonic()))
            say(f"{number * steps + step:,} of {windows * steps:,} looks")
            for url in urls:
                _look(url, read, looks[url], missed)
        for url in urls:
            window = window_of(url, date, looks[url]) if len(looks[url]) > 1 else None
            if window:
                found.append(window)
                out.write(msgspec.json.encode(window).decode() + "\n")
                out.flush()
            del looks[url][:]
    return found


def _look(url: str, read: Callable[[str], Samples], looks: list[Look], missed: dict[str, int]) -> None:
    try:
        page = read(url)
    except InputError as error:
        missed[url] += 1
        if missed[url] >= MISSED:
            raise InputError(f"{error}; {MISSED} looks in a row") from None
        return
    missed[url] = 0
    looks.append(Look(time.monotonic(), page))
