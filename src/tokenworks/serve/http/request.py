"""One request as it came, and what is refused before anybody looks at its content."""

from __future__ import annotations

import re

import msgspec


class Refused(Exception):  # noqa: N818 - an answer, not a failure
    """A request that is answered with an error: ``status``, an OpenAI error ``code``, and a sentence."""

    def __init__(self, status: int, code: str, message: str, *, param: str = "", retry_after_s: float = 0.0):
        super().__init__(message)
        self.status, self.code, self.message, self.param, self.retry_after_s = (
            status,
            code,
            message,
            param,
            retry_after_s,
        )
        self.lines = b""  # of the answer's head, besides
        self.said: tuple[int, bytes, bytes] | None = None  # (status, body, header lines), where its shape is another


class Request(msgspec.Struct, eq=False):
    """A whole request. Header names are lower case; a header that came more than once holds its last value.
    ``arrived_s``: when its head was complete, by `time.perf_counter`; ``chunks``: whether its caller knows chunked answers."""

    method: bytes
    path: bytes
    query: bytes
    headers: dict[bytes, bytes]
    arrived_s: float
    body: bytes = b""
    keep_alive: bool = True
    chunks: bool = True


READS = (b"GET", b"HEAD")
SINGLE = frozenset(
    (b"host", b"content-length", b"transfer-encoding", b"authorization", b"x-api-key", b"content-type", b"expect")
)
"""Headers that two readers could understand differently where they come twice."""


def check_head(version: str, upgrades: bool, headers: dict[bytes, bytes], body_bytes: int) -> None:
    """What the parser lets through and this server does not. Raises Refused."""
    if version not in ("1.1", "1.0"):
        raise Refused(505, "http_version", f"HTTP/{version} is not spoken here: use HTTP/1.1")
    if upgrades:
        raise Refused(400, "upgrade", "the connection is not upgraded: send plain HTTP/1.1")
    coding = headers.get(b"transfer-encoding")
    if coding is not None and (version == "1.0" or coding.lower() != b"chunked"):
        raise Refused(400, "transfer_encoding", "the only transfer coding is chunked, with HTTP/1.1")
    if version == "1.1" and not headers.get(b"host"):
        raise Refused(400, "host", "HTTP/1.1 needs a Host header")
    if b"content-encoding" in headers and headers[b"content-encoding"] not in (b"identity", b""):
        raise Refused(415, "content_encoding", "bodies are taken as they are, not compressed")
    if int(headers.get(b"content-length", b"0")) > body_bytes:
        raise too_large(body_bytes)


def too_large(limit: int) -> Refused:
    return Refused(413, "body_too_large", f"a body holds at most {limit:,} bytes")


def not_allowed(path: bytes, *methods: str) -> Refused:
    """For a request with another method than those that the path takes."""
    refused = Refused(405, "method", f"{path.decode('latin-1')} takes {' and '.join(methods)}")
    refused.lines = b"Allow: %b\r\n" % ", ".join(methods).encode()
    return refused


_ABSOLUTE = re.compile(rb"https?://[^/?#]+", re.IGNORECASE)


def origin_form(target: bytes) -> bytes:
    """Of a target that names a scheme and an authority what comes after them (RFC 9112, 3.2.2); else the target itself. Whoever is
    named, the request is for this server."""
    named = _ABSOLUTE.match(target)
    if named is None:
        return target
    rest = target[named.end() :]
    return rest if rest.startswith(b"/") else b"/" + rest
