"""What no caller may ask an upstream of Anthropic's dialect for: things that it keeps under the gateway's key, which all
tenants share, and tools that run there, which no token pays."""

from __future__ import annotations

from typing import Any

import msgspec

from tokenworks.serve.body.faults import NOT_JSON, not_json
from tokenworks.serve.dialects.kept import RUN, objects, refuse_files
from tokenworks.serve.http.request import Refused

CLIENT_TOOLS = (b'"custom"', b'"bash_', b'"text_editor_', b'"computer_', b'"memory_')  # that the caller runs
KEPT = ("container", "mcp_servers", "user_profile_id")


class _Asked(msgspec.Struct):
    messages: msgspec.Raw = msgspec.Raw()
    system: msgspec.Raw = msgspec.Raw()
    tools: msgspec.Raw = msgspec.Raw()
    container: Any = None
    mcp_servers: Any = None
    user_profile_id: Any = None


_decode = msgspec.json.Decoder(_Asked).decode


def refuse_foreign(text: bytes) -> None:
    """Raises Refused."""
    try:
        asked = _decode(text)
    except NOT_JSON as error:
        raise not_json(error) from None
    for name in KEPT:
        if getattr(asked, name):
            raise Refused(400, "not_supported", f"{name} is not supported: {RUN}", param=name)
    for tool in objects(bytes(asked.tools), "tools"):
        kind = bytes(tool.get("type", b"null"))
        if kind != b"null" and not kind.startswith(CLIENT_TOOLS):
            why = f"the tool {kind[:100].decode(errors='replace')} runs at the provider; only the caller's own are offered"
            raise Refused(400, "not_supported", why, param="tools")
    refuse_files(bytes(asked.system), "system")
    refuse_files(bytes(asked.messages), "messages")
