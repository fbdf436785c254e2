"""The bytes of a caller as requests: strictly parsed, and bounded in all that is kept of them."""

from __future__ import annotations

import asyncio
import time
from abc import abstractmethod
from collections.abc import Callable
from typing import Any, NoReturn

import httptools

from tokenworks.serve.http.limits import Limits
from tokenworks.serve.http.request import SINGLE, Refused, Request, check_head, origin_form, too_large

RAW_PER_BODY = 8  # bytes on the wire that a byte of a chunked body may cost
SMALL_BODY_BYTES = 65_536  # that are kept of whoever it may be

Gate = Callable[[Request, Any], None]
"""Raises Refused where a request with a large body, of which only the head is there, need not go on."""


class _Trailers(dict[bytes, bytes]):
    """Headers after a body, of which nothing is kept: they count nothing."""

    def __setitem__(self, name: bytes, value: bytes) -> None: ...


TRAILERS = _Trailers()


class Reading(asyncio.Protocol):
    """One connection's. What becomes of a request is the `ServerConnection`'s."""

    def __init__(self, limits: Limits, gate: Gate | None):
        self.limits, self._gate = limits, gate
        self._parser = httptools.HttpRequestParser(self)
        self._incoming: Request | None = None
        self._admitted: Request | None = None  # the last one with a large body
        self._raw_at_body = 0  # bytes of the request when the last ones of its body, or else its head, had come
        self._closing = False
        self._refused: Refused | None = None
        self._hears_out = False  # the caller may end his body before he reads why it is not taken
        self._begin_message()

    @abstractmethod
    def _await_head(self) -> None:
        """A request has begun."""

    @abstractmethod
    def _await_body(self) -> None:
        """More of the present request is to come after its head. Told with each piece of it."""

    @abstractmethod
    def _arrived(self, request: Request) -> None:
        """A whole request."""

    @abstractmethod
    def _refuse(self, refused: Refused) -> None:
        """After it nothing is read."""

    # ------------------------------------------------------------------ the parser's callbacks

    def _begin_message(self) -> None:
        self._raw = self._size = self._repeated = 0
        self._target = b""
        self._headers: dict[bytes, bytes] = {}
        self._pieces: list[bytes] = []
        self._headed = False

    def on_url(self, url: bytes) -> None:
        self._target += url

    def on_header(self, name: bytes, value: bytes) -> None:
        name, headers = name.lower(), self._headers
        if name in headers:
            self._once_more(name, headers[name])
        headers[name] = value

    def on_headers_complete(self) -> None:
        parser, limits, headers = self._parser, self.limits, self._headers
        self._headed, self._raw_at_body, self._headers = True, self._raw, TRAILERS
        version = parser.get_http_version()
        try:
            if self._raw > limits.head_bytes:  # perhaps with some of the body
                self._weigh(headers)
            if len(headers) > limits.headers:
                raise Refused(431, "too_many_headers", f"a request has at most {limits.headers} headers")
            check_head(version, parser.should_upgrade(), headers, limits.body_bytes)
        except Refused as refused:
            self._stop(refused)
        target = self._target
        if not target.startswith(b"/"):
            target = origin_form(target)
        path, _, query = target.partition(b"?")
        self._incoming = Request(parser.get_method(), path, query, headers, time.perf_counter())
        if version == "1.0":
            self._incoming.chunks = False

    def _once_more(self, name: bytes, before: bytes) -> None:
        """A header's last value counts, but its weight all the same."""
        if name in SINGLE:
            self._stop(Refused(400, "duplicate_header", f"{name.decode()} came more than once"))
        self._repeated += len(name) + len(before) + 4

    def _weigh(self, headers: dict[bytes, bytes]) -> None:
        """Raises Refused."""
        lines = sum(len(name) + len(value) + 4 for name, value in headers.items())
        if len(self._target) + lines + self._repeated > self.limits.head_bytes:
            raise self._head_too_large()

    def on_body(self, data: bytes) -> None:
        size = self._size = self._size + len(data)
        self._raw_at_body = self._raw
        if size > self.limits.body_bytes:
            self._stop(too_large(self.limits.body_bytes))
        if size > SMALL_BODY_BYTES and self._admitted is not self._incoming:
            self._admit()
        self._pieces.append(data)

    def _admit(self) -> None:
        """Nobody who may not ask anything makes us keep a large body."""
        self._admitted = self._incoming
        if self._gate and self._incoming:
            try:
                self._gate(self._incoming, self)
            except Refused as refused:
                self._hears_out = True
                self._stop(refused)

    def on_message_complete(self) -> None:
        request, pieces = self._incoming, self._pieces
        if request is None or self._closing:
            return
        request.body = pieces[0] if len(pieces) == 1 else b"".join(pieces)
        request.keep_alive = self._parser.should_keep_alive()
        self._begin_message()
        self._arrived(request)

    def _stop(self, refused: Refused) -> NoReturn:
        """Ends the parser's work: it wraps what its callbacks raise."""
        self._refused = refused
        raise refused

    # ------------------------------------------------------------------ feeding it

    def _parse(self, data: bytes) -> None:
        self._raw += len(data)
        try:
            self._parser.feed_data(data)
        except httptools.HttpParserError as error:
            if isinstance(error, httptools.HttpParserCallbackError) and self._refused is None:
                raise  # a defect of ours, and the loop's to tell; it closes the connection
            self._refuse(self._refused or Refused(400, "http", f"not HTTP as it should be: {error}"))
            return
        if self._raw or self._headed:
            self._await_more(len(data))

    def _await_more(self, came: int) -> None:
        if self._headed:
            self._await_body()
        elif self._raw == came:
            self._await_head()
        self._check_raw()

    def _check_raw(self) -> None:
        """What the parser keeps to itself is bounded, too: heads, trailers, chunk extensions."""
        limits = self.limits
        if not self._headed:
            if self._raw > limits.head_bytes:
                self._refuse(self._head_too_large())
        elif self._raw > RAW_PER_BODY * limits.body_bytes:
            self._refuse(too_large(limits.body_bytes))
        elif self._raw - self._raw_at_body > limits.head_bytes:
            said = f"chunk extensions and trailers hold at most {limits.head_bytes:,} bytes"
            self._refuse(Refused(413, "body_too_large", said))

    def _head_too_large(self) -> Refused:
        return Refused(431, "head_too_large", f"a request's head holds at most {self.limits.head_bytes:,} bytes")
