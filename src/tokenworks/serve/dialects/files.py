"""Files that a provider keeps, in messages of chat completions: all tenants share the gateway's key there."""

from __future__ import annotations

from typing import Any

import msgspec

from tokenworks.serve.body.faults import NOT_JSON
from tokenworks.serve.http.request import Refused

NAME, ESCAPED = b'"file_id"', b"\\u00"  # a name can be written with escapes, too


class _Message(msgspec.Struct):
    content: Any = None


class _Asked(msgspec.Struct):
    messages: list[_Message] = []


_decode = msgspec.json.Decoder(_Asked).decode


def refuse_kept_files(text: bytes) -> None:
    """Raises Refused. Two searches of bytes where there is nothing like it; messages of another shape are the engine's matter."""
    if NAME not in text and ESCAPED not in text:
        return
    try:
        messages = _decode(text).messages
    except NOT_JSON:
        return
    for message in messages:
        for part in message.content if isinstance(message.content, list) else ():
            file = part.get("file") if isinstance(part, dict) else None
            if isinstance(file, dict) and file.get("file_id") is not None:
                raise Refused(400, "not_supported", "files are not stored here: send file_data", param="messages")
