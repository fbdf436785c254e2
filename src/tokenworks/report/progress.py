"""Progress with time left, on stderr, for work over a second; silent where nobody looks."""

from __future__ import annotations

import importlib.util
import re
import sys
import threading
from collections.abc import Callable, Iterator
from contextlib import contextmanager

PATIENCE_S = 1.0  # what is done sooner needs no bar
_DONE = re.compile(r"([\d,]+) of ([\d,]+)")


def share_done(stage: str) -> float | None:
    """What a stage says of itself, none where it does not say.

    >>> share_done("predicted 1,200 of 6,000 rows")
    0.2
    >>> share_done("doing the books")
    """
    found = _DONE.search(stage)
    if not found:
        return None
    done, total = (int(part.replace(",", "")) for part in found.groups())
    return min(1.0, done / total) if total else None


def _watched() -> bool:
    """A terminal, or a notebook that can draw a bar."""
    if sys.stderr.isatty():
        return True
    return "ipykernel" in sys.modules and importlib.util.find_spec("ipywidgets") is not None


@contextmanager
def progress(quiet: bool) -> Iterator[Callable[[str], None]]:
    """Yields a function that names the present stage; "3 of 10 …" in a stage moves the bar and its time left."""
    if quiet or not _watched():
        yield lambda _: None
        return
    from rich.console import Console
    from rich.progress import BarColumn, Progress, SpinnerColumn, TextColumn, TimeElapsedColumn, TimeRemainingColumn

    columns = (
        SpinnerColumn(),
        TextColumn("{task.description}"),
        BarColumn(),
        TimeElapsedColumn(),
        TextColumn("left"),
        TimeRemainingColumn(),
    )
    bar = Progress(*columns, console=Console(stderr=True), transient=True)
    task = bar.add_task("starting", total=None)

    def say(stage: str) -> None:
        share = share_done(stage)
        if share is None:
            bar.update(task, description=stage)
        else:
            bar.update(task, description=stage, total=1.0, completed=share)

    patience = threading.Timer(PATIENCE_S, bar.start)
    patience.daemon = True
    patience.start()
    try:
        yield say
    finally:
        patience.cancel()
        patience.join()
        bar.stop()
