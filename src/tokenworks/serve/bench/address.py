"""Where the server is: an address of `bench` taken apart."""

from __future__ import annotations

from dataclasses import dataclass
from urllib.parse import urlsplit

from tokenworks.errors import InputError

CHAT, TEXT = "chat", "completions"
PATHS = {CHAT: "/v1/chat/completions", TEXT: "/v1/completions"}
PORTS = {"http": 80, "https": 443}


@dataclass(frozen=True)
class Address:
    """A server, and which of its dialects is asked."""

    host: str
    port: int
    tls: bool
    prefix: str  # before /v1
    dialect: str  # a key of `PATHS`

    @property
    def authority(self) -> str:
        """The Host header."""
        name = f"[{self.host}]" if ":" in self.host else self.host
        return name if self.port == PORTS["https" if self.tls else "http"] else f"{name}:{self.port}"

    @property
    def path(self) -> str:
        return self.prefix + PATHS[self.dialect]

    @property
    def root(self) -> str:
        return f"{'https' if self.tls else 'http'}://{self.authority}{self.prefix}"


def address_of(url: str, dialect: str | None = None) -> Address:
    """The address of a server, of its /v1, or of one of its `PATHS`. Raises InputError.

    >>> address_of("http://127.0.0.1:8000/v1").path, address_of("https://a.example/x/v1/completions").path
    ('/v1/chat/completions', '/x/v1/completions')
    """
    try:
        parts = urlsplit(url if "://" in url else f"http://{url}")
        port = parts.port
    except ValueError as error:
        raise InputError(f"{url!r} is no address: {error}; write http://127.0.0.1:8000") from None
    if parts.scheme not in PORTS or not parts.hostname:
        raise InputError(f"{url!r} is no address of a server; write http://127.0.0.1:8000 or https://…")
    if parts.username or parts.password or parts.query:
        raise InputError(f"{url!r}: keys and queries do not belong into the address; --key-env names a variable")
    prefix, found = _prefix(parts.path.rstrip("/"))
    if dialect and found and dialect != found:
        raise InputError(f"{url!r} is the path of {found}, and --api says {dialect}")
    tls = parts.scheme == "https"
    return Address(parts.hostname, port or PORTS[parts.scheme], tls, prefix, dialect or found or CHAT)


def _prefix(path: str) -> tuple[str, str]:
    for dialect, tail in PATHS.items():
        if path.endswith(tail):
            return path.removesuffix(tail), dialect
    return path.removesuffix("/v1"), ""
