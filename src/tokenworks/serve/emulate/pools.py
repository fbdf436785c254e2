"""Calls of emulated prefill and decode workers.

The first token of an answer is the prefill's, as in the twin: a decode worker tells it as soon as it is asked, and the others when
the KV cache is there.
"""

from __future__ import annotations

import asyncio
from typing import TYPE_CHECKING

from tokenworks.serve.emulate.answer import Answer
from tokenworks.serve.emulate.asked import Call, too_long
from tokenworks.serve.emulate.handover import Caches
from tokenworks.serve.http.request import Refused

if TYPE_CHECKING:
    from tokenworks.serve.emulate.application import Ticket
    from tokenworks.serve.emulate.worker import EmulatedWorker


class Pools:
    """Of a factory's emulated workers."""

    def __init__(self, caches: Caches):
        self._caches = caches

    def say(self, call: Call, answer: Answer, ticket: Ticket, worker: EmulatedWorker) -> None:
        """Raises Refused, and gives everything back, for what such a worker is not asked."""
        try:
            if worker.role == "prefill":
                self._fill(call, answer, ticket, worker)
            else:
                self._go_on(call, answer, ticket, worker)
        except Refused:
            ticket.client_gone()
            raise

    def _fill(self, call: Call, answer: Answer, ticket: Ticket, worker: EmulatedWorker) -> None:
        asked = call.kv_transfer_params
        if asked is None or not asked.do_remote_decode or call.stream or call.limit != 1:
            raise Refused(
                400, "kv_transfer_params", "a prefill worker answers do_remote_decode with one token and no stream"
            )

        def tell(tokens: int, last: bool, energy_uj: int) -> None:
            assert request is not None
            ticket.done()
            answer.handed = self._caches.offer(worker.name, worker, request, energy_uj)
            answer.tell(tokens, last, energy_uj)

        request = worker.fill(call.input_tokens, tell)
        if request is None:
            raise too_long()
        ticket.sequences.append(request)

    def _go_on(self, call: Call, answer: Answer, ticket: Ticket, worker: EmulatedWorker) -> None:
        cache = self._caches.take(call.kv_transfer_params)
        output = call.output_tokens
        if not worker.could_hold(cache.request.prompt, output):
            cache.drop()
            raise too_long()
        if output <= 1:
            cache.drop()
            ticket.done()
            answer.tell(output, True, cache.energy_uj)
            return
        answer.tell(1, False, cache.energy_uj)

        def tell(tokens: int, last: bool, energy_uj: int) -> None:
            if last:
                ticket.done()
            answer.tell(tokens, last, cache.energy_uj + energy_uj)

        def join(tick: int) -> None:
            ticket.cache = None
            request = worker.take_over(cache.request, output, tick, tell)
            assert request is not None  # an empty worker could hold it
            ticket.sequences.append(request)

        ticket.cache = cache
        cache.fetch(join, asyncio.get_running_loop())
