"""One upstream: where it is, what it calls the model, how it wants to be asked."""

from __future__ import annotations

import asyncio
import os
import time
from pathlib import Path

from tokenworks.errors import InputError
from tokenworks.serve.http.pool import Address, Patience, Pool
from tokenworks.serve.http.sweep import Sweep

KV_TOKENS = 262_144  # that an engine's cache is believed to hold where nobody says
BEARER, API_KEY = "Authorization: Bearer ", "x-api-key: "  # OpenAI's way, and Anthropic's
LOOK_AGAIN_S = 5.0  # how old a credential's file may be in memory


class Credential:
    """A secret from a file or the environment; a file is read again as it changes, so that it rotates without restart."""

    def __init__(self, variable: str | None, file: str | None, header: str = BEARER):
        """Raises InputError where it is not there."""
        self.source = (variable, file, header)
        self._header, self._file = header, Path(file) if file else None
        self._secret, self._read_s = "", 0.0
        if variable:
            self._secret = os.environ.get(variable, "")
            if not self._secret:
                raise InputError(f"the environment variable {variable}, which holds an upstream's key, is not set")
        if self._file:
            self._secret = self._from_file()
        if not self._secret.isprintable() or " " in self._secret:
            raise InputError(f"the key in {variable or file} is not one line of text without blanks")

    def _from_file(self) -> str:
        assert self._file is not None
        self._read_s = time.monotonic()
        try:
            return self._file.read_text(encoding="utf-8").strip()
        except (OSError, UnicodeDecodeError) as error:
            raise InputError(f"cannot read the upstream's key file {self._file}: {type(error).__name__}") from None

    def line(self) -> bytes:
        """The header line; empty where there is no secret. What cannot be read again stays as it was."""
        if self._file and time.monotonic() - self._read_s > LOOK_AGAIN_S:
            try:
                fresh = self._from_file()
            except InputError:
                fresh = self._secret
            self._secret = fresh if fresh.isprintable() and " " not in fresh else self._secret
        return f"{self._header}{self._secret}\r\n".encode() if self._secret else b""

    def __repr__(self) -> str:
        return "Credential(…)"


class Upstream:
    """An engine, or a provider's API. ``continues``: it can go on with an answer that another one began; ``kv_tokens``: that
    its KV cache holds; ``metrics``: its Prometheus page; ``kv_events``: where it publishes KV events. ``role``: prefill or
    decode, of a service with pools, whose engines hand over KV caches by the protocol ``handover``."""

    def __init__(
        self,
        url: str,
        *,
        model: str | None = None,
        credential: Credential | None = None,
        most: int = 0,
        continuous_usage: bool = False,
        speaks: frozenset[str] = frozenset({"chat"}),
        continues: bool = False,
        kv_tokens: int = KV_TOKENS,
        metrics: str | None = None,
        kv_events: str | None = None,
        patience: Patience | None = None,
        role: str | None = None,
        handover: str = "vllm",
        bootstrap_port: int = 8998,
    ):
        self.url, self.model, self.most, self.continuous_usage = url, model, most, continuous_usage
        self.speaks = speaks
        self.continues, self.kv_tokens = continues, kv_tokens
        self.metrics, self.kv_events = metrics, kv_events
        self.role, self.handover, self.bootstrap_port = role, handover, bootstrap_port
        self._address = Address.of(url)
        self._patience = patience or Patience()
        self._credential = credential or Credential(None, None)
        self._has_secret = self._credential.source[:2] != (None, None)
        self.identity = (
            url, model, continuous_usage, speaks, continues, kv_tokens, metrics, kv_events, self._patience,
            self._credential.source, role, handover, bootstrap_port,
        )  # fmt: skip
        self.opened = False

    def open(self, sweep: Sweep, loop: asyncio.AbstractEventLoop) -> None:
        self.opened = True
        self.pool = Pool(self._address, self._patience, sweep, loop)
        self._host = f" HTTP/1.1\r\nHost: {self._address.authority}\r\n".encode()
        self._base = f"POST {self._address.base}".encode()

    @property
    def host(self) -> str:
        return self._address.host

    @property
    def keyed(self) -> bool:
        return bool(self._credential.line())

    def payload(self, path: bytes, body: bytes, more: bytes) -> bytes:
        """The request as it is sent. Of the caller's headers only those that ``more`` holds go on."""
        secret = self._credential.line() if self._has_secret else b""
        return b"%b%b%b%bContent-Type: application/json\r\nContent-Length: %d\r\n%b\r\n%b" % (
            self._base, path, self._host, secret, len(body), more, body,
        )  # fmt: skip

    def retire(self) -> None:
        """What is under way there ends as it would have."""
        self.pool.retire()

    def close(self) -> None:
        self.pool.close()
