"""The event loop of a server, and when it ends."""

from __future__ import annotations

import asyncio
import contextlib
import signal
from collections.abc import Callable
from typing import Any


def run_loop(main: Any) -> Any:
    """Runs a coroutine to its end, on uvloop where it is installed."""
    try:
        import uvloop
    except ImportError:
        return asyncio.run(main)
    with asyncio.Runner(loop_factory=uvloop.new_event_loop) as runner:
        return runner.run(main)


async def until_asked(
    said: Callable[[], None], again: Callable[[], None] | None = None, ended: asyncio.Future[None] | None = None
) -> None:
    """Until Ctrl-C or SIGTERM. ``again``: called for every SIGHUP. ``ended``: over before anybody asks; raises what it does."""
    loop, asked = asyncio.get_running_loop(), asyncio.Event()
    handlers = {signal.SIGINT: asked.set, signal.SIGTERM: asked.set}
    if again:
        handlers[signal.SIGHUP] = again
    for number, handler in handlers.items():
        loop.add_signal_handler(number, handler)
    said()
    asking = loop.create_task(asked.wait())
    try:
        waits: list[asyncio.Future[Any]] = [asking, *([ended] if ended else [])]
        await asyncio.wait(waits, return_when=asyncio.FIRST_COMPLETED)
        if ended and ended.done():
            ended.result()
    finally:
        asking.cancel()
        for number in handlers:
            with contextlib.suppress(ValueError):
                loop.remove_signal_handler(number)
