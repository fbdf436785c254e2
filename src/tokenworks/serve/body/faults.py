"""What msgspec raises for bytes that are not the JSON that they should be."""

from __future__ import annotations

import msgspec

from tokenworks.serve.http.request import Refused

NOT_JSON = (msgspec.MsgspecError, RecursionError, UnicodeDecodeError)
"""Wrong syntax or type; nested too deeply; a string that is not UTF-8."""


def not_json(error: Exception) -> Refused:
    """What a caller hears of one of `NOT_JSON`."""
    return Refused(400, "invalid_json", f"the body is not the JSON object that it should be: {error}")


def is_json(text: bytes) -> bool:
    """All of it."""
    try:
        msgspec.json.decode(text)
    except NOT_JSON:
        return False
    return True
