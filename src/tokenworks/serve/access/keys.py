"""API keys: made once, shown once, stored hashed. A key says whose the tokens are and what it may ask for.

A key reads ``tw-ID-SECRET``; the file holds SHA-256 of the whole key, whose 256 random bits no dictionary can guess.
"""

from __future__ import annotations

import fcntl
import os
import secrets
import tempfile
import time
from collections.abc import Iterator
from contextlib import contextmanager
from hashlib import sha256
from hmac import compare_digest
from pathlib import Path
from typing import TypeAlias

import msgspec

from tokenworks.errors import InputError, OutputError
from tokenworks.serve.access import audit
from tokenworks.serve.stamp import stamp

SCOPES = ("infer", "metrics", "admin")


class Key(msgspec.Struct, frozen=True, omit_defaults=True):
    """One key as it is stored. Times are seconds since 1970 UTC; 0: never."""

    id: str
    sha256: str
    tenant: str
    name: str = ""
    scopes: tuple[str, ...] = ("infer",)
    services: tuple[str, ...] = ()  # that it may ask; empty: all
    created_s: int = 0
    expires_s: int = 0
    revoked_s: int = 0
    rpm: int = 0  # requests per minute; 0: no limit of its own
    tpm: int = 0  # tokens per minute
    concurrency: int = 0  # calls at a time

    def state(self, now_s: float) -> str:
        if self.revoked_s:
            return "revoked"
        return "expired" if self.expires_s and now_s >= self.expires_s else "valid"


class _File(msgspec.Struct):
    keys: list[Key]


def load(path: Path) -> list[Key]:
    """The keys of a file. Raises InputError where it cannot be read."""
    try:
        return msgspec.json.decode(path.read_bytes(), type=_File).keys
    except FileNotFoundError:
        raise InputError(f"no such key file: {path}; `tokenworks keys add` makes one") from None
    except OSError as error:
        raise InputError(f"cannot read the key file {path}: {error.strerror}") from None
    except msgspec.MsgspecError as error:
        raise InputError(f"{path} is no key file: {error}") from None


def add(
    path: Path, tenant: str, *, name: str = "", scopes: tuple[str, ...] = ("infer",), services: tuple[str, ...] = (),
    lives_s: float = 0.0, rpm: int = 0, tpm: int = 0, concurrency: int = 0,
) -> tuple[Key, str]:  # fmt: skip
    """Makes a key and stores its hash; returns it with its text, which is kept nowhere. Raises InputError."""
    if not tenant.strip() or not tenant.isprintable():
        raise InputError("a tenant is one line of text that is not empty")
    for scope in scopes:
        if scope not in SCOPES:
            raise InputError(f"no scope {scope!r}; known are {', '.join(SCOPES)}")
    if min(rpm, tpm, concurrency) < 0:
        raise InputError("a limit is at least 1; 0: none")
    now = int(time.time())
    number = secrets.token_hex(6)
    text = f"tw-{number}-{secrets.token_urlsafe(32)}"
    key = Key(
        number,
        sha256(text.encode()).hexdigest(),
        tenant,
        name,
        scopes,
        services,
        now,
        int(now + lives_s) if lives_s else 0,
        rpm=rpm,
        tpm=tpm,
        concurrency=concurrency,
    )
    with _changing(path) as keys:
        keys.append(key)
        audit.record(audit.beside(path), audit.user(), "keys.add", number, tenant=tenant, scopes=list(scopes))
    return key, text


def revoke(path: Path, number: str) -> Key:
    """Raises InputError where no such key is stored."""
    load(path)
    with _changing(path) as keys:
        for place, key in enumerate(keys):
            if key.id == number:
                audit.record(audit.beside(path), audit.user(), "keys.revoke", number, tenant=key.tenant)
                keys[place] = key if key.revoked_s else msgspec.structs.replace(key, revoked_s=int(time.time()))
                return keys[place]
        raise InputError(f"no key {number!r} in {path}; known are {', '.join(key.id for key in keys) or 'none'}")


@contextmanager
def _changing(path: Path) -> Iterator[list[Key]]:
    """The keys, written back whole where nothing is raised; one process at a time."""
    try:
        with open(path.with_name(path.name + ".lock"), "w") as lock:
            fcntl.flock(lock, fcntl.LOCK_EX)
            keys = load(path) if path.exists() else []
            yield keys
            _write(path, msgspec.json.format(msgspec.json.encode(_File(keys))))
    except OSError as error:
        raise OutputError(f"cannot write the key file {path}: {error.strerror}") from error


def _write(path: Path, data: bytes) -> None:
    """For this user's eyes only, whole or not at all."""
    handle, draft = tempfile.mkstemp(dir=path.parent, prefix=path.name)  # mode 0600
    try:
        with os.fdopen(handle, "wb") as file:
            file.write(data)
            file.flush()
            os.fsync(file.fileno())
        os.replace(draft, path)
    except OSError:
        Path(draft).unlink(missing_ok=True)
        raise


Keys: TypeAlias = dict[bytes, tuple[Key, bytes]]  # by id, with their hashes


class KeyRing:
    """The keys in force, read again when their file changes: they are then another ``in_force``."""

    def __init__(self, path: Path):
        """Raises InputError."""
        self.path = path
        self._stamp = self._failed = stamp(path)
        self._take(load(path))

    @property
    def keys(self) -> list[Key]:
        return [key for key, _ in self.in_force.values()]

    def _take(self, keys: list[Key]) -> None:
        self.in_force: Keys = {key.id.encode(): (key, bytes.fromhex(key.sha256)) for key in keys}

    def refresh(self) -> str:
        """Takes over a changed file; the reason, where it could not: the old keys then stay in force, and the next look tries
        again, for the reason may be this process's. The same file's is told once."""
        seen = stamp(self.path)
        if seen == self._stamp:
            return ""
        told, self._failed = seen == self._failed, seen
        try:
            self._take(load(self.path))
        except (InputError, ValueError) as error:
            return "" if told else str(error)
        self._stamp = seen
        return ""

    def find(self, text: bytes, now_s: float) -> Key | None:
        """The valid key that this text is. One comparison in constant time, whether or not there is such an id."""
        parts = text.split(b"-", 2)
        key, stored = self.in_force.get(parts[1] if len(parts) == 3 else b"", (None, NOBODY))
        same = compare_digest(sha256(text).digest(), stored)
        if key is None or not same or key.state(now_s) != "valid":
            return None
        return key


NOBODY = bytes(32)
