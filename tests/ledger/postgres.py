"""The PostgreSQL server that tests use, where one answers."""

import os

SERVER = os.environ.get("TOKENWORKS_TEST_POSTGRES", "postgresql://postgres@127.0.0.1:5432/test")
NO_SERVER = (
    f"no PostgreSQL answers at {SERVER}; start one, e.g. `docker run -p 5432:5432 -e POSTGRES_HOST_AUTH_METHOD=trust"
    " -e POSTGRES_DB=test postgres:16`, or name one in TOKENWORKS_TEST_POSTGRES"
)


def answers() -> bool:
    try:
        import psycopg
    except ImportError:
        return False
    try:
        with psycopg.connect(SERVER, connect_timeout=2):
            return True
    except psycopg.OperationalError:
        return False
