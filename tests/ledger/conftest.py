"""Each test that takes ``place`` runs on SQLite and on PostgreSQL, where a server answers."""

import uuid
from pathlib import Path

import pytest
from postgres import NO_SERVER, SERVER, answers


@pytest.fixture(scope="session")
def server():
    return SERVER if answers() else None


@pytest.fixture(params=["sqlite", "postgresql"])
def place(request, tmp_path: Path):
    """Where a fresh ledger lies: a path, or a URL with a schema of its own."""
    if request.param == "sqlite":
        yield str(tmp_path / "ledger.db")
        return
    server = request.getfixturevalue("server")
    if server is None:
        pytest.skip(NO_SERVER)
    import psycopg

    schema = f"test_{uuid.uuid4().hex}"
    yield f"{server}?schema={schema}"
    with psycopg.connect(server, autocommit=True) as base:
        base.execute(f'DROP SCHEMA IF EXISTS "{schema}" CASCADE')


@pytest.fixture
def opened(place, tmp_path):
    """A function that opens the test's ledger."""
    from tokenworks.ledger import Ledger

    def again(**options):
        return Ledger.open(place, segments=tmp_path / "segments", **options)

    return again
