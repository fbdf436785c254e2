"""What an upstream is asked: the caller's body with the words that this upstream needs, or a call that goes on with an answer."""

from __future__ import annotations

from tokenworks.serve.body.splice import Body, spliced
from tokenworks.serve.course import Course
from tokenworks.serve.http.request import Request
from tokenworks.serve.telemetry.trace import Trace
from tokenworks.serve.upstream import Upstream

EMBEDDINGS = b"/v1/embeddings"
GO_ON = (b"/v1/chat/completions", b"/v1/completions")
LONGEST_PARENT = 100  # bytes of a traceparent; the standard's has 55


class Question:
    """Of one call. ``said``: the caller's body; ``asks``: the one that is sent. ``trace``: None where the
    gateway has no spans of its own; the caller's `traceparent` then goes on as it came."""

    __slots__ = ("_course", "_parent", "_path", "_trace", "asks", "said")

    def __init__(self, request: Request, body: Body, course: Course, trace: Trace | None = None):
        self.said = self.asks = body
        self._path, self._course = request.path, course
        parent = request.headers.get(b"traceparent", b"")
        self._parent = parent if len(parent) < LONGEST_PARENT else b""
        self._trace = trace

    @property
    def goes_on(self) -> bool:
        """Whether its answer is a stream that another engine may be able to go on with."""
        return self.said.streams and self._path in GO_ON and self.said.known.n in (None, 1)

    def payload(self, upstream: Upstream, attempt: str) -> bytes:
        """The request as it is sent. Of the caller's headers those that join traces go on."""
        usage = self._path != EMBEDDINGS
        text = spliced(self.asks, self._course.name_at(upstream), usage, upstream.continuous_usage)
        parent = self._trace.line(attempt) if self._trace else self._parent
        trace = b"traceparent: %b\r\n" % parent if parent else b""
        return upstream.payload(self._path, text, b"%bX-Request-Id: %b\r\n" % (trace, attempt.encode()))
