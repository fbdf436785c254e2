"""A gateway with scripted engines in a thread of its own, for callers that block."""

import asyncio
import threading
from contextlib import contextmanager

from live_gateway import front


@contextmanager
def running(tmp_path, *engines, **more):
    """Yields the `Front`; what its loop could not handle is in ``troubles``, and fails the block's end."""
    ready, loop = threading.Event(), asyncio.new_event_loop()
    found = {"troubles": []}

    async def serve():
        loop.set_exception_handler(lambda _, context: found["troubles"].append(context))
        found["end"] = asyncio.Event()
        async with front(tmp_path, *engines, **more) as gate:
            found["gate"] = gate
            ready.set()
            await found["end"].wait()

    def work():
        try:
            loop.run_until_complete(serve())
        finally:
            ready.set()
            loop.close()

    thread = threading.Thread(target=work)
    thread.start()
    assert ready.wait(60)
    try:
        yield found["gate"]
    finally:
        loop.call_soon_threadsafe(found["end"].set)
        thread.join(60)
    assert found["troubles"] == []
