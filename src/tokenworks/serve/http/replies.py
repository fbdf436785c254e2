"""Heads of answers, and errors in OpenAI's shape."""

from __future__ import annotations

import math
from functools import cache
from http import HTTPStatus

import msgspec

from tokenworks.serve.http.request import Refused

JSON = b"application/json"
UNTIL_CLOSE = -1  # the length of an answer to HTTP/1.0 that nobody knows yet
KINDS = {
    400: "invalid_request_error", 401: "authentication_error", 403: "permission_error", 404: "not_found_error",
    405: "invalid_request_error", 408: "timeout_error", 413: "invalid_request_error", 415: "invalid_request_error",
    429: "rate_limit_error", 431: "invalid_request_error", 505: "invalid_request_error",
}  # fmt: skip
KINDS_BY_CODE = {"insufficient_quota": "insufficient_quota"}


@cache
def status_line(status: int) -> bytes:
    try:
        phrase = HTTPStatus(status).phrase
    except ValueError:
        phrase = "Upstream Status"
    return b"HTTP/1.1 %d %s\r\n" % (status, phrase.encode())


def head(status: int, content_type: bytes, more: bytes, keep_alive: bool, length: int | None) -> bytes:
    """``more``: complete header lines. ``length`` None: chunked; `UNTIL_CLOSE`: the connection's end ends it."""
    if length is None:
        framing = b"Transfer-Encoding: chunked\r\n"
    else:
        framing = b"Content-Length: %d\r\n" % length if length >= 0 else b""
    close = b"" if keep_alive else b"Connection: close\r\n"
    return b"%bContent-Type: %b\r\n%b%b%b\r\n" % (status_line(status), content_type, framing, more, close)


def error_body(status: int, code: str, message: str, param: str = "") -> bytes:
    """OpenAI's shape: ``{"error": {"message", "type", "param", "code"}}``."""
    kind = KINDS_BY_CODE.get(code) or KINDS.get(status, "server_error" if status >= 500 else "invalid_request_error")
    return msgspec.json.encode(
        {"error": {"message": message, "type": kind, "param": param or None, "code": code or None}}
    )


def refusal(error: Refused) -> tuple[int, bytes, bytes]:
    """(status, body, header lines)."""
    return error.said or (
        error.status,
        error_body(error.status, error.code, error.message, error.param),
        retry_line(error) + error.lines,
    )


def retry_line(error: Refused) -> bytes:
    """Retry-After in whole seconds, at least one, where the refusal says when to come again."""
    return b"Retry-After: %d\r\n" % max(1, math.ceil(error.retry_after_s)) if error.retry_after_s else b""
