"""What budgets and ledgers say that gateways of several processes keep together, and an engine that uses what it draws."""

import asyncio
import json
import random
import uuid
from contextlib import contextmanager

import pytest
from live_gateway import ANSWER, Engine
from postgres import NO_SERVER, SERVER, answers

from tokenworks.ledger import Ledger
from tokenworks.serve.limits.store import BudgetStore, SqliteBase

BUCKETS = ("input_fresh", "cache_read", "cache_write", "output_visible", "output_reasoning", "output_tool")


class Drawn(Engine):
    """Uses a share of what it may, drawn per call: all of it as often as hardly any. ``forever`` in the text: no answer."""

    def __init__(self):
        super().__init__(self.draw)
        self.random = random.Random(1)

    async def draw(self, request, connection):
        body = json.loads(request.body)
        if b"forever" in request.body:
            return
        await asyncio.sleep(0.002)
        prompt = self.random.randrange(1, len(request.body))
        made = self.random.choice([body["max_tokens"], self.random.randrange(1, body["max_tokens"] + 1)])
        usage = {"prompt_tokens": prompt, "completion_tokens": made, "total_tokens": prompt + made}
        connection.respond(200, json.dumps({**ANSWER, "usage": usage}).encode())


def ask(text, most):
    return {"model": "chat", "messages": [{"role": "user", "content": text}], "max_tokens": most}


def tokens_of(ledger):
    """(input, output) of all events."""
    rows = ledger.usage_table().to_pylist()
    return tuple(sum(row[name] or 0 for row in rows for name in half) for half in (BUCKETS[:3], BUCKETS[3:]))


@contextmanager
def places(kind, tmp_path):
    """(ledger, budgets) of two gateways: with SQLite a ledger each and one file of budgets, else one schema for everything."""
    if kind == "sqlite":
        yield [(str(tmp_path / f"{i}.db"), str(tmp_path / "budgets")) for i in range(2)]
        return
    with schema() as url:
        yield [(url, url)] * 2


@contextmanager
def schema():
    """The address of an empty schema of the server, for as long as the block lasts."""
    if not answers():
        pytest.skip(NO_SERVER)
    import psycopg

    name = f"budgets_{uuid.uuid4().hex}"
    try:
        yield f"{SERVER}?schema={name}"
    finally:
        with psycopg.connect(SERVER, autocommit=True) as base:
            base.execute(f"DROP SCHEMA IF EXISTS {name} CASCADE")


def booked(places):
    """What the store says was spent, leased; and what the ledgers say was used."""
    base = places[0][1]
    if base.startswith("postgresql"):
        from tokenworks.serve.limits.postgres import PostgresBase

        opened = PostgresBase(base)
    else:
        opened = SqliteBase(base)
    store = BudgetStore(opened)
    with opened.transaction():
        leased = {a: int(n) for a, n in opened.run("SELECT account, leased FROM budget_accounts")}
    spent = store.spent()
    store.close()
    halves = []
    for place in dict.fromkeys(ledger for ledger, _ in places):
        with Ledger.open(place, read_only=True) as ledger:
            halves.append(tokens_of(ledger))
    return spent, leased, tuple(map(sum, zip(*halves, strict=True)))
