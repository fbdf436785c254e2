"""The ledger's door: POST /v1/events and /v1/traces on the standard library's server.

/v1/events takes JSON Lines or JSON (native events, or ``?format=openai|anthropic|litellm|vllm``) and CloudEvents
(structured, batch, binary). /v1/traces takes OTLP/HTTP, JSON or protobuf. Bodies may be gzipped. An answer is sent only
after ``append`` has returned, so what it counts as stored is as durable as ``append`` makes it. It authenticates nobody:
stand it behind something that does.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from typing import Any
from urllib.parse import parse_qs, urlsplit

import msgspec

from tokenworks.errors import InputError
from tokenworks.ledger.ingest.body import BadBodyError, unpacked
from tokenworks.ledger.ingest.records import Context
from tokenworks.ledger.ingest.replies import Append, Keep, Reply, append_all, otlp_reply, reply_of
from tokenworks.ledger.ingest.requests import events_of, spans_of

LARGEST_BODY = 16 * 2**20  # bytes, before and after unpacking
PATHS = ("/v1/events", "/v1/traces")


def make_server(
    append: Append,
    address: tuple[str, int] = ("127.0.0.1", 0),
    *,
    context: Callable[[], Context] | None = None,
    keep: Keep | None = None,
    largest: int = LARGEST_BODY,
) -> ThreadingHTTPServer:
    """A server that is not yet running (`serve_forever`). ``append(events)`` returns a receipt an event; ``keep`` is given
    what was malformed; ``context()`` says what records leave open, and is asked for each request."""

    class Door(Handler):
        pass

    Door.append, Door.keep, Door.largest = staticmethod(append), staticmethod(keep) if keep else None, largest
    Door.context = staticmethod(context or Context)
    return ThreadingHTTPServer(address, Door)


class Handler(BaseHTTPRequestHandler):
    """One request: read, understand, append, answer."""

    protocol_version = "HTTP/1.1"
    append: Append
    keep: Keep | None
    context: Callable[[], Context]
    largest: int
    timeout = 60  # s, of a client that stops sending

    def do_POST(self) -> None:
        try:
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
            return otlp_reply(self._append(spans_of(headers, body, self.context())), headers)
        wanted = parse_qs(url.query).get("format", [""])[-1]
        return reply_of(self._append(events_of(headers, body, wanted, self.context())))

    def _append(self, found: Iterator[Any]) -> Any:
        try:
            return append_all(found, self.append, self.keep)
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
