"""Each test that takes ``place`` runs on SQLite and on PostgreSQL, where a server answers."""

import os
import uuid
from pathlib import Path

import pytest

SERVER = os.environ.get("TOKENWORKS_TEST_POSTGRES", "postgresql://postgres@127.0.0.1:5432/test")
NO_SERVER = (
    f"no PostgreSQL answers at {SERVER}; start one, e.g. `docker run -p 5432:5432 -e POSTGRES_HOST_AUTH_METHOD=trust"
    " -e POSTGRES_DB=test postgres:16`, or name one in TOKENWORKS_TEST_POSTGRES"
)


@pytest.fixture(scope="session")
def server():
    psycopg = pytest.importorskip("psycopg")
    try:
        with psycopg.connect(SERVER, connect_timeout=2):
            return SERVER
    except psycopg.OperationalError:
        return None


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
