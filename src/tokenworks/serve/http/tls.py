"""TLS on the gateway's own port: a certificate that is read again as its files change."""

from __future__ import annotations

import ssl
from pathlib import Path

from tokenworks.errors import InputError
from tokenworks.serve.stamp import stamp


class Certificate:
    """A certificate chain and its key (PEM files), behind one context for all connections."""

    def __init__(self, chain: Path, key: Path):
        """Raises InputError where they cannot be read or do not fit together."""
        self._chain, self._key = chain, key
        self._stamp = self._failed = self._stamps()
        self.context = self._loaded()

    def _loaded(self) -> ssl.SSLContext:
        context = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)  # TLS 1.2 and 1.3
        context.set_alpn_protocols(["http/1.1"])
        for path in (self._chain, self._key):
            if not path.is_file():
                raise InputError(f"no such file: {path}; --tls-cert and --tls-key name PEM files")
        try:
            context.load_cert_chain(self._chain, self._key, password=_no_password)
        except (ssl.SSLError, OSError, ValueError) as error:
            reason = getattr(error, "reason", "") or error
            raise InputError(f"{self._chain} and {self._key} are no certificate and its key: {reason}") from None
        return context

    def refresh(self) -> str:
        """Takes over changed files for connections to come; the reason, where it could not: the old certificate then stays, and
        the next look tries again. The same files' is told once.
        A pair is tried on a context of its own first: a context that took half of a pair would fit nobody."""
        seen = self._stamps()
        if seen == self._stamp:
            return ""
        told, self._failed = seen == self._failed, seen
        try:
            self._loaded()
            self.context.load_cert_chain(self._chain, self._key)
        except (InputError, OSError) as error:
            return "" if told else str(error)
        self._stamp = seen
        return ""

    def _stamps(self) -> tuple[tuple[int, int, int], ...]:
        return tuple(stamp(path) for path in (self._chain, self._key))


def _no_password() -> str:
    raise ValueError("the key is encrypted; take its password off")
