"""Errors in Anthropic's shape: ``{"type": "error", "error": {"type", "message"}}``."""

from __future__ import annotations

import msgspec

from tokenworks.serve.body.faults import NOT_JSON
from tokenworks.serve.dialects.chat import event

KINDS = {
    400: "invalid_request_error", 401: "authentication_error", 402: "billing_error", 403: "permission_error",
    404: "not_found_error", 413: "request_too_large", 429: "rate_limit_error", 503: "overloaded_error",
    504: "timeout_error", 529: "overloaded_error",
}  # fmt: skip


class _Inner(msgspec.Struct):
    message: str


class _Outer(msgspec.Struct):
    error: _Inner


_decode = msgspec.json.Decoder(_Outer).decode


def _content(status: int, message: str) -> dict[str, str]:
    return {"type": KINDS.get(status, "api_error" if status >= 500 else "invalid_request_error"), "message": message}


def error_body(status: int, message: str) -> bytes:
    return msgspec.json.encode({"type": "error", "error": _content(status, message)})


def error_event(status: int, message: str) -> bytes:
    """What ends a stream that failed."""
    return event("error", {"error": _content(status, message)})


def reworded(status: int, body: bytes) -> bytes:
    """An upstream's error of OpenAI's shape."""
    try:
        message = _decode(body).error.message
    except NOT_JSON:
        message = "the engine refused the request without a word"
    return error_body(status, message)
