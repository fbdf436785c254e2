"""KV caches on their way from emulated prefill workers to decode workers, in vLLM's words (`kv_transfer_params`).

A cache is on its way from the moment at which its prompt is read, for as long as the twin says; its blocks are held until it is
there. What nobody fetches is dropped in the end, as vLLM's NIXL connector does (VLLM_NIXL_ABORT_REQUEST_TIMEOUT, 480 s).
"""

from __future__ import annotations

import asyncio
from collections.abc import Callable
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

from tokenworks.serve.emulate.asked import Transfer
from tokenworks.serve.http.request import Refused

if TYPE_CHECKING:
    from tokenworks.serve.emulate.worker import EmulatedWorker
    from tokenworks.twin.reference import Request

DROPPED_AFTER_S = 480.0
Join = Callable[[int], None]


@dataclass
class Cache:
    """Of one prompt, at a prefill worker. ``energy_uj``: that its prefill took."""

    worker: EmulatedWorker
    request: Request
    energy_uj: int
    timer: asyncio.TimerHandle

    def fetch(self, join: Join, loop: asyncio.AbstractEventLoop) -> None:
        """``join`` hears the tick at which it is there; the prefill worker's blocks are free then."""
        self.timer.cancel()
        tick = self.worker.fetchable(self.request)

        def arrive() -> None:
            self.worker.release(self.request, tick)
            join(tick)

        self.timer = loop.call_later(self.worker.wait_s(tick), arrive)

    def drop(self) -> None:
        self.timer.cancel()
        self.worker.release(self.request, 0)


class Caches:
    """Of all emulated workers."""

    def __init__(self, loop: asyncio.AbstractEventLoop):
        self._loop = loop
        self._offered: dict[tuple[str, str], Cache] = {}

    def offer(self, engine: str, worker: EmulatedWorker, request: Request, energy_uj: int) -> dict[str, Any]:
        """What a prefill worker says of a cache."""
        key = engine, str(request.number)
        timer = self._loop.call_later(DROPPED_AFTER_S, lambda: self._offered.pop(key).drop())
        self._offered[key] = Cache(worker, request, energy_uj, timer)
        return {
            "do_remote_prefill": True, "do_remote_decode": False, "remote_engine_id": engine,
            "remote_request_id": key[1], "remote_block_ids": [], "remote_host": "127.0.0.1", "remote_port": 0,
        }  # fmt: skip

    def take(self, asked: Transfer | None) -> Cache:
        """Raises Refused where there is none: a decode worker prefills nothing."""
        if asked is None or not asked.do_remote_prefill:
            raise Refused(400, "kv_transfer_params", "a decode worker needs the kv_transfer_params of a prefill worker")
        found = self._offered.pop((asked.remote_engine_id or "", asked.remote_request_id or ""), None)
        if found is None:
            raise Refused(400, "kv_transfer_params", "the KV cache is not there, or was fetched already")
        return found

    def close(self) -> None:
        for cache in self._offered.values():
            cache.timer.cancel()
