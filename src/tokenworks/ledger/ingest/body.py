"""The body of a request: its length known before it is read, unpacked within the same limit."""

from __future__ import annotations

import zlib
from collections.abc import Callable
from email.message import Message

from tokenworks.errors import InputError


class BadBodyError(InputError):
    """A request that cannot be read; ``status`` is what HTTP calls it."""

    def __init__(self, status: int, reason: str):
        self.status = status
        super().__init__(reason)


def unpacked(headers: Message, read: Callable[[int], bytes], largest: int) -> bytes:
    """The body, unzipped. Raises BadBodyError: 411 without a length, 413 above ``largest`` bytes, 400 where it breaks off."""
    length = headers.get("Content-Length", "")
    if not (length.isascii() and length.isdigit()):
        raise BadBodyError(411, "Content-Length is missing: chunked bodies are not taken")
    if int(length) > largest:
        raise BadBodyError(413, f"{length} bytes; at most {largest} are taken")
    body = read(int(length))
    if len(body) < int(length):
        raise BadBodyError(400, f"the body breaks off after {len(body)} of {length} bytes")
    match headers.get("Content-Encoding", "identity").lower():
        case "identity":
            return body
        case "gzip":
            return _unzipped(body, largest)
        case other:
            raise BadBodyError(415, f"Content-Encoding {other!r}; gzip is understood")


def _unzipped(body: bytes, largest: int) -> bytes:
    unzip = zlib.decompressobj(wbits=31)
    try:
        found = unzip.decompress(body, largest + 1)
    except zlib.error as error:
        raise BadBodyError(400, f"the body is not gzip: {error}") from None
    if len(found) > largest:
        raise BadBodyError(413, f"more than {largest} bytes when unzipped")
    if not unzip.eof:
        raise BadBodyError(400, "the gzipped body breaks off")
    return found
