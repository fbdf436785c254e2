"""The ledger's door: POST /v1/events and /v1/traces on the standard library's server.

/v1/events takes JSON Lines or JSON (native events, or ``?format=openai|anthropic|litellm|vllm``) and CloudEvents
(structured, batch, binary). /v1/traces takes OTLP/HTTP, JSON or protobuf. Bodies may be gzipped. An answer is sent only
after ``append`` has returned, so what it counts as stored is as durable as ``append`` makes it. It authenticates nobody:
stand it behind something that does.
"""

from __future__ import annotations

import threading
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from typing import Any
from urllib.parse import parse_qs, urlsplit

import msgspec

from tokenworks.errors import InputError
from tokenworks.ledger.ingest.body import BadBodyError, unpacked
from tokenworks.ledger.ingest.records import Context
from tokenworks.ledger.ingest.replies import Append, Keep, Reply, append_all, otlp_reply, reply_of
from tokenworks.ledger.ingest.requests import events_of, format_of, spans_of

LARGEST_BODY = 16 * 2**20  # bytes, before and after unpacking
PATHS = ("/v1/events", "/v1/traces")


class Server(ThreadingHTTPServer):
    """Knows how many requests are being answered, so that it can stop between them."""

    request_queue_size = (
        1024  # connections that wait to be accepted: beyond the library's 5, hundreds of producers are reset
    )

    def __init__(self, address: tuple[str, int], handler: type[BaseHTTPRequestHandler]):
        self._change, self._answering, self.stopping = threading.Condition(), 0, False
        super().__init__(address, handler)

    @contextmanager
    def answering(self) -> Iterator[None]:
        with self._change:
            self._answering += 1
        try:
            yield
        finally:
            with self._change:
                self._answering -= 1
                self._change.notify_all()

    def stop(self, timeout_s: float = 10) -> bool:
        """Takes no more requests and waits for those that are being answered; False where some are not after
        ``timeout_s``. Not for the thread that serves."""
        self.stopping = True
        self.shutdown()
        self.server_close()
        with self._change:
            return self._change.wait_for(lambda: not self._answering, timeout_s)


def make_server(
    append: Append,
    address: tuple[str, int] = ("127.0.0.1", 0),
    *,
    context: Callable[[], Context] | None = None,
    keep: Keep | None = None,
    largest: int = LARGEST_BODY,
) -> Server:
    """A server that is not yet running (`serve_forever`). ``append(events)`` returns a receipt an event; ``keep`` is given
    what gave no event, and its format; ``context()`` says what records leave open, and is asked for each request."""

    class Door(Handler):
        pass

    Door.append, Door.keep, Door.largest = staticmethod(append), staticmethod(keep) if keep else None, largest
    Door.context = staticmethod(context or Context)
    return Server(address, Door)


class Handler(BaseHTTPRequestHandler):
    """One request: read, understand, append, answer."""

    protocol_version = "HTTP/1.1"
    append: Append
    keep: Keep | None
    context: Callable[[], Context]
    largest: int
    timeout = 60  # s, of a client that stops sending

    server: Server

    def do_POST(self) -> None:
        with self.server.answering():
            self._answer()

    def _answer(self) -> None:
        try:
            if self.server.stopping:
                raise BadBodyError(503, "nothing is acknowledged: the server stops")
            self._send(self._handle())
        except BadBodyError as error:
            self.close_connection = True  # what is left of the body is not read
            self._send(Reply(error.status, {"error": str(error)}))

    def do_GET(self) -> None:
        self.close_connection = True
        known = urlsplit(self.path).path in PATHS
        self._send(
            Reply(
                405 if known else 404,
                {"error": "POST is understood here" if known else f"there are {', '.join(PATHS)}"},
            )
        )

    def _handle(self) -> Reply:
        url = urlsplit(self.path)
        if url.path not in PATHS:
            raise BadBodyError(404, f"no {url.path}; there are {', '.join(PATHS)}")
        body = unpacked(self.headers, self.rfile.read, self.largest)
        headers = dict(self.headers.items())
        if url.path == "/v1/traces":
            return otlp_reply(self._append(spans_of(headers, body, self.context()), "otlp"), headers)
        format = format_of(headers, parse_qs(url.query).get("format", [""])[-1])
        return reply_of(self._append(events_of(headers, body, format, self.context()), format))

    def _append(self, found: Iterator[Any], format: str) -> Any:
        try:
            return append_all(found, self.append, self.keep, format)
        except (InputError, OSError) as error:
            raise BadBodyError(503, f"nothing is acknowledged: {error}") from None

    def _send(self, reply: Reply) -> None:
        body = reply.body if isinstance(reply.body, bytes) else msgspec.json.encode(reply.body)
        self.send_response(reply.status)
        self.send_header("Content-Type", reply.content_type)
        self.send_header("Content-Length", str(len(body)))
        if self.close_connection:
            self.send_header("Connection", "close")
        self.end_headers()
        self.wfile.write(body)

    def log_message(self, format: str, *args: Any) -> None:
        """Silent: who runs the server logs what was appended."""
