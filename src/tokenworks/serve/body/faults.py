"""What msgspec raises for bytes that are not the JSON that they should be."""

from __future__ import annotations

import msgspec

NOT_JSON = (msgspec.MsgspecError, RecursionError, UnicodeDecodeError)
"""Wrong syntax or type; nested too deeply; a string that is not UTF-8."""
