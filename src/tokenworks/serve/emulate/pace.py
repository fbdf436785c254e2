"""Whether this machine can stream what emulated workers make: the most that they can make against what it was seen to move."""

from __future__ import annotations

import asyncio
import math
import time
from collections.abc import Sequence

import numpy as np

from tokenworks.errors import InputError
from tokenworks.events.ledger_events import AnyEvent
from tokenworks.ledger import Heard, Receipt
from tokenworks.physics.worker_model import FINE, TICKS_PER_S, WorkerModel
from tokenworks.serve.access.access import Access
from tokenworks.serve.gateway import Gateway
from tokenworks.serve.http.client import Broken
from tokenworks.serve.http.limits import Limits
from tokenworks.serve.http.pool import Address, Patience, Pool
from tokenworks.serve.http.request import Request
from tokenworks.serve.http.server import ServerConnection
from tokenworks.serve.http.sweep import Sweep
from tokenworks.serve.metering import Meter
from tokenworks.serve.upstreams.breaker import BreakerRules
from tokenworks.serve.upstreams.routing import Router
from tokenworks.serve.upstreams.served import Served
from tokenworks.serve.upstreams.upstream import Upstream

SHARE = 0.6  # of what was seen to move: callers want to be served too
STREAMS, CHUNKS, PAUSE_S = 32, 60, 0.003
CHUNK = (
    b'data: {"id":"chatcmpl-1","object":"chat.completion.chunk","created":1750000000,"model":"m","choices":'
    b'[{"index":0,"delta":{"content":" token"},"logprobs":null,"finish_reason":null}]}\n\n'
)


def most_tokens_s(models: Sequence[WorkerModel], workers: Sequence[int], streams: int) -> float:
    """An upper bound of output tokens per emulated second with so many answers at a time (0: full batches): contexts are
    empty, nothing is prefilled."""
    rates = [_rates(m) for m in models]
    full = sum(float(rates[m].max()) for m in workers)
    return min(full, streams * max(float(rates[m][0]) for m in workers)) if streams else full


def _rates(model: WorkerModel) -> np.typing.NDArray[np.float64]:
    """Tokens per second by sequences of a rank, from 1 on; all ranks alike."""
    table, n = model.levels[0], np.arange(1, model.max_seqs + 1)
    fine = (table.decode[:, 1:] + table.shared_decode[:, n * model.ranks]).max(axis=0)
    made = n * model.ranks * model.tokens_per_step
    return np.asarray(made / (fine / (FINE * float(TICKS_PER_S))))


async def chunks_s() -> float:
    """Chunks per second that one core moves from an engine through a gateway to a caller, all in this process: by its
    processor time, for what else runs on the machine is not its matter. Chunks come apart, as an engine's do."""
    from tokenworks.serve.http.listening import listen

    loop = asyncio.get_running_loop()
    sweep, flood = Sweep(loop), await listen(_Flood(), Limits(), "127.0.0.1", 0)
    upstream = Upstream(f"http://127.0.0.1:{flood.port}")
    upstream.open(sweep, loop)
    served = Served("m", "m", Router("m", [upstream], 2, 0, BreakerRules()), 0, 0)
    front = await listen(
        Gateway("test", [served], {}, Access(None), Meter(_NoLedger(), "pace"), loop), Limits(), "127.0.0.1", 0
    )
    pool = Pool(Address("127.0.0.1", front.port, False, ""), Patience(), sweep, loop)
    try:
        await _calls(pool, loop)  # connections, warm code
        start = time.process_time()
        await _calls(pool, loop)
        return STREAMS * CHUNKS / (time.process_time() - start)
    finally:
        pool.close()
        upstream.close()
        for listening in (front, flood):
            await listening.drain(0.0)
            listening.sweep.stop()


async def _calls(pool: Pool, loop: asyncio.AbstractEventLoop) -> None:
    body = b'{"model":"m","stream":true,"messages":[]}'
    head = b"POST /v1/chat/completions HTTP/1.1\r\nHost: m\r\nContent-Length: %d\r\n\r\n" % len(body)
    sinks = [_Sink(loop) for _ in range(STREAMS)]
    for sink in sinks:
        pool.ask(head + body, sink, lambda _: None)
    await asyncio.gather(*(sink.done for sink in sinks))


class _Flood:
    draining = False

    def handle(self, request: Request, connection: ServerConnection) -> None:
        connection.begin(200, b"text/event-stream")
        asyncio.get_running_loop().call_soon(self._more, connection, CHUNKS)

    def _more(self, connection: ServerConnection, left: int) -> None:
        if left:
            connection.chunk(CHUNK)
            asyncio.get_running_loop().call_later(PAUSE_S, self._more, connection, left - 1)
        else:
            connection.finish(b"data: [DONE]\n\n")


class _NoLedger:
    def tell(self, event: AnyEvent, heard: Heard) -> None:
        asyncio.get_running_loop().call_soon(heard, Receipt("stored"))

    async def probe(self) -> None: ...


class _Sink:
    def __init__(self, loop: asyncio.AbstractEventLoop):
        self.done: asyncio.Future[None] = loop.create_future()

    def answer_head(self, status: int, headers: dict[bytes, bytes]) -> None: ...

    def answer_body(self, data: bytes) -> None: ...

    def answer_end(self) -> None:
        self.done.set_result(None)

    def answer_broken(self, reason: str, kind: Broken) -> None:
        self.done.set_exception(InputError(f"the self-test of --emulate failed: {reason}"))


def require_pace(name: str, made_s: float, moved_s: float, speed: float, streams: int) -> None:
    """Raises InputError where the machine cannot keep up, with the speed and the number of streams at which it could."""
    wanted, able = made_s * speed, moved_s * SHARE
    if wanted <= able:
        return
    slower = f"--speed {_floored(able / made_s):g}"
    fewer = f" or --streams {max(1, int(streams * able / wanted))}" if streams else " or a limit, e.g. --streams 16"
    raise InputError(
        f"{name} makes up to {made_s:,.0f} tokens a second, {wanted:,.0f} at --speed {speed:g}; this machine can stream "
        f"{able:,.0f}: try {slower}{fewer}"
    )


def _floored(value: float) -> float:
    """To two digits, downwards: what is advised must be enough.

    >>> _floored(1.998), _floored(0.0969), _floored(123.0)
    (1.9, 0.096, 120.0)
    """
    unit = 10.0 ** (math.floor(math.log10(value)) - 1)
    return float(f"{math.floor(value / unit) * unit:.2g}")
