"""Which database a place means."""

from __future__ import annotations

from pathlib import Path

from tokenworks.ledger.store import Store


def open_store(place: str, read_only: bool) -> tuple[Store, Path | None]:
    """The store of a path or URL, and where its segments lie by default."""
    if place.startswith(("postgresql://", "postgres://")):
        from tokenworks.ledger.postgres_store import PostgresStore

        return PostgresStore(place, read_only=read_only), None
    from tokenworks.ledger.sqlite_store import SqliteStore

    path = Path(place)
    return SqliteStore(path, read_only=read_only), path.with_name(path.name + ".segments")
