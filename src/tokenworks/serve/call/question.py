"""What the upstreams of a call are asked: the caller's body in the words that they need, or a call that goes on with an answer."""

from __future__ import annotations

import msgspec

from tokenworks.serve.body.splice import Body, spliced
from tokenworks.serve.call.handover import Handover, refuse_unfit
from tokenworks.serve.dialects.dialect import Dialect
from tokenworks.serve.dialects.way import Way
from tokenworks.serve.http.request import Request
from tokenworks.serve.telemetry.trace import Trace
from tokenworks.serve.upstreams.served import Served
from tokenworks.serve.upstreams.upstream import Upstream

LONGEST_PARENT = 100  # bytes of a traceparent; the standard's has 55


class Question(msgspec.Struct, eq=False):
    """Of one call. ``way``: to the service that works on it; ``said``: the call in that service's words; ``asks``: what is sent.
    ``handover``: between the pools of a service that has them. ``trace``: None where the gateway has no spans of its own; the
    caller's `traceparent` then goes on as it came."""

    dialect: Dialect
    request: Request
    _body: Body
    way: Way
    said: Body
    asks: Body
    _trace: Trace | None
    _parent: bytes
    handover: Handover | None = None

    @classmethod
    def of(cls, dialect: Dialect, request: Request, body: Body, served: Served, trace: Trace | None = None) -> Question:
        """Raises Refused for what no upstream of the service can be asked."""
        way, said = _words(dialect, request, body, served)
        parent = request.headers.get(b"traceparent", b"")
        return cls(dialect, request, body, way, said, said, trace, parent if len(parent) < LONGEST_PARENT else b"")

    def put_to(self, served: Served) -> tuple[Way, Body]:
        """The words for a service that stands in. Raises Refused where it cannot be asked this."""
        return _words(self.dialect, self.request, self._body, served)

    def turn(self, way: Way, said: Body) -> None:
        """From here on the call is this."""
        self.way, self.said, self.asks = way, said, said

    @property
    def goes_on(self) -> bool:
        """Whether its answer is a stream that another engine may be able to go on with."""
        return self.said.streams and self.way.goes_on and self.said.known.n in (None, 1)

    def payload(self, upstream: Upstream, model: str | None, attempt: str) -> bytes:
        """The request as it is sent. Of the caller's headers those that join traces go on. ``model``: the upstream's name of
        it; None: as the caller wrote it."""
        way = self.way
        text = self.asks.text
        if model is not None or self.asks.known.stream:
            text = spliced(self.asks, model, way.usage, upstream.continuous_usage)
        if self.handover is not None:
            text = self.handover.asked(text)
        parent = self._trace.line(attempt) if self._trace else self._parent
        trace = b"traceparent: %b\r\n" % parent if parent else b""
        return upstream.payload(way.path, text, b"%b%bX-Request-Id: %b\r\n" % (trace, way.head, attempt.encode()))


def _words(dialect: Dialect, request: Request, body: Body, served: Served) -> tuple[Way, Body]:
    way, said = dialect.way(request, body, served)
    if served.prefill is not None:
        refuse_unfit(way, said)
    return way, said
