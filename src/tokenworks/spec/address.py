"""Addresses of HTTP servers, as factory files state them."""

from __future__ import annotations

from typing import Annotated
from urllib.parse import urlsplit

from pydantic import AfterValidator


def _address(text: str) -> str:
    """The address itself. Raises ValueError for what is none, and for one that holds a secret."""
    try:
        parts = urlsplit(text)
        known = parts.scheme in ("http", "https") and bool(parts.hostname) and (parts.port is None or parts.port > 0)
        (parts.hostname or "").encode("idna")  # what no resolver takes, such as a label of 64 characters
    except ValueError:
        known = False
    if not known or not text.isascii() or not text.isprintable() or " " in text:
        raise ValueError(f"{text!r} is no address; write for example http://10.0.0.5:8000")
    if parts.username or parts.password:
        raise ValueError("an address holds no user or password: name a variable in key_env or a file in key_file")
    if parts.query or parts.fragment:
        raise ValueError(f"{text!r}: an address ends before ? and #")
    return text


Address = Annotated[str, AfterValidator(_address)]
