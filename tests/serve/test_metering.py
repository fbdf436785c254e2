"""A group of events: what must come first, and who hears of it."""

import asyncio

import pytest
from live_gateway import run

from tokenworks.ledger import Receipt
from tokenworks.ledger.ingest.buckets import Buckets
from tokenworks.serve.body.usage import Told
from tokenworks.serve.metering import Attempt, Meter, unchanged

TOLD = Told(Buckets(3, None, None, 5, None, 0), "engine", "final")


def attempt(name):
    return Attempt(name, "acme", "chat", "m", "m", "chat", 1_700_000_000_000_000)


class Commits:
    """A ledger that answers when it is told to."""

    def __init__(self, log):
        self.log, self.heard = log, []

    def tell(self, event, heard):
        self.log.append(f"ledger hears of {event.id}")
        self.heard.append(heard)

    def answer(self):
        heard, self.heard = self.heard, []
        for each in heard:
            each(Receipt("stored", 1))


def test_what_has_to_come_first_comes_before_the_ledger_hears_and_events_that_come_meanwhile_go_together():
    log = []

    async def case():
        commits = Commits(log)
        meter = Meter(commits, "test")

        def before(of, told, then):
            log.append(f"journal has {of.id}")
            return lambda durable: (log.append(f"{of.id} is settled"), then(durable))

        for name in ("a", "b", "c"):
            meter.write(attempt(name), TOLD, lambda durable, name=name: log.append(f"{name} may end"), before)
        for _ in range(2):
            commits.answer()
            await asyncio.sleep(0)

    run(case())
    each = [(f"journal has {n}", f"ledger hears of {n}") for n in "abc"]
    ends = [(f"{n} is settled", f"{n} may end") for n in "abc"]
    assert log == [line for pair in (*each, *ends) for line in pair]


def test_one_whose_end_fails_keeps_no_other_from_its_end():
    ended, troubles = [], []

    def fails(durable):
        raise RuntimeError("a defect")

    async def case():
        asyncio.get_running_loop().set_exception_handler(lambda _, context: troubles.append(str(context["exception"])))
        commits = Commits([])
        meter = Meter(commits, "test")
        meter.write(attempt("a"), lambda: TOLD, ended.append, unchanged)
        for then in (fails, ended.append):
            meter.write(attempt("b"), TOLD, then, unchanged)
        for _ in range(2):
            commits.answer()
        await meter.settle()

    run(case())
    assert (ended, troubles) == ([True, True], ["a defect"])


@pytest.mark.parametrize("where", ["in its books", "in its reading"])
def test_one_that_fails_keeps_no_other_from_the_ledger(where):
    """Where the books of budgets fail the event is stored all the same; one that is none is not, and its caller hears of it."""
    ended, troubles = [], []

    def full(*_):
        raise OSError("no space left")

    told, before = (TOLD, full) if where == "in its books" else (full, unchanged)

    async def case():
        asyncio.get_running_loop().set_exception_handler(lambda _, context: troubles.append(str(context["exception"])))
        commits = Commits([])
        meter = Meter(commits, "test")
        for name, what, first in (("a", TOLD, unchanged), ("b", told, before), ("c", TOLD, unchanged)):
            meter.write(attempt(name), what, lambda durable, name=name: ended.append((name, durable)), first)
        for _ in range(2):
            commits.answer()
            await asyncio.sleep(0)
        await meter.settle()
        return meter.lost

    stored = where == "in its books"
    assert run(case()) == 1 - stored
    assert sorted(ended) == [("a", True), ("b", stored), ("c", True)]
    assert troubles == ["no space left"]
