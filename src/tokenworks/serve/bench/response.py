"""An HTTP/1.1 response, read as it comes: bytes in, pieces of the body out. No sockets here."""

from __future__ import annotations

MOST_HEAD = 65_536  # bytes of status line and headers, or of a chunk's first line
HEAD, BODY, SIZE, PIECE, AFTER, TRAILERS, DONE = range(7)
BODILESS = (204, 304)


class BadResponseError(ValueError):
    """What came is no HTTP response."""


class Response:
    """One response to a POST or GET. ``feed`` it what comes; ``done`` once it is whole."""

    def __init__(self) -> None:
        self.status, self.headers = 0, dict[str, str]()
        self._state, self._held, self._left = HEAD, b"", 0  # left: bytes of the body or the chunk, −1: until the end

    @property
    def done(self) -> bool:
        return self._state == DONE

    @property
    def keep_alive(self) -> bool:
        return self.done and self._left >= 0 and self.headers.get("connection", "").lower() != "close"

    def feed(self, data: bytes) -> list[bytes]:
        """Pieces of the body among these bytes. Raises BadResponseError."""
        pieces = list[bytes]()
        rest = self._held + data if self._held else data
        self._held = b""
        while rest and self._state != DONE:
            if self._state in (BODY, PIECE):
                rest = self._piece(rest, pieces)
                continue
            cut = rest.find(b"\r\n\r\n" if self._state == HEAD else b"\r\n")
            if cut < 0:
                if len(rest) > MOST_HEAD:
                    raise BadResponseError(f"a head of more than {MOST_HEAD} bytes")
                self._held = rest
                break
            line, rest = rest[:cut], rest[cut + (4 if self._state == HEAD else 2) :]
            self._line(line)
        if rest and self._state == DONE:
            raise BadResponseError("bytes after the end of the answer")
        return pieces

    def end(self) -> bool:
        """The connection ended: whether the response was whole."""
        if self._state == BODY and self._left < 0:
            self._state = DONE
        return self.done

    def _piece(self, rest: bytes, pieces: list[bytes]) -> bytes:
        if self._left < 0:
            pieces.append(rest)
            return b""
        taken, rest = rest[: self._left], rest[self._left :]
        pieces.append(taken)
        self._left -= len(taken)
        if not self._left:
            self._state = DONE if self._state == BODY else AFTER
        return rest

    def _line(self, line: bytes) -> None:
        if self._state == HEAD:
            self._head(line)
        elif self._state == SIZE:
            self._left = _whole(line.partition(b";")[0], 16)
            self._state = PIECE if self._left else TRAILERS
        elif self._state == AFTER:
            if line:
                raise BadResponseError("a chunk is longer than it says")
            self._state = SIZE
        elif not line:  # the end of the trailers
            self._state = DONE

    def _head(self, head: bytes) -> None:
        first, *lines = head.decode("latin-1").split("\r\n")
        version, _, said = first.partition(" ")
        if not version.startswith("HTTP/1.") or not said[:3].isdigit():
            raise BadResponseError(f"{first[:60]!r} is no status line of HTTP/1.1")
        self.status = int(said[:3])
        if self.status < 200:  # 100 Continue: the answer follows
            return
        pairs = (line.partition(":") for line in lines)
        self.headers = {name.strip().lower(): value.strip() for name, _, value in pairs}
        if version == "HTTP/1.0":
            self.headers.setdefault("connection", "close")
        self._body()

    def _body(self) -> None:
        coding, length = self.headers.get("transfer-encoding", "").lower(), self.headers.get("content-length")
        if self.status in BODILESS:
            self._state = DONE
        elif coding:
            if coding != "chunked":
                raise BadResponseError(f"transfer-encoding {coding!r} is not known")
            self._state = SIZE
        elif length is not None:
            self._left = _whole(length.encode(), 10)
            self._state = BODY if self._left else DONE
        else:
            self._state, self._left = BODY, -1


def _whole(text: bytes, base: int) -> int:
    text = text.strip()
    if not text or not all(c in b"0123456789abcdefABCDEF"[: 10 if base == 10 else 22] for c in text):
        raise BadResponseError(f"{text[:20]!r} is no length")
    return int(text, base)
