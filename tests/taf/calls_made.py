"""Short ways to make calls of runs and their table."""

from msgspec.structs import replace

from tokenworks.events.ledger_events import Reversal, UsageEvent
from tokenworks.events.tables import table

HOUR_US = 3_600_000_000


def call(number, run="r", *, fresh=0, read=0, write=0, shown=0, reasoning=0, tool=0, **more):
    """One call of run ``r``; its number is its id and its time in microseconds."""
    more = {"tenant": "a", "root_run": run, "run": run, "model": "m", "source": "s", "agent": "lead", **more}
    return UsageEvent(
        id=str(number),
        time_us=more.pop("time_us", number),
        input_fresh=fresh,
        cache_read=read,
        cache_write=write,
        output_visible=shown,
        output_reasoning=reasoning,
        output_tool=tool,
        **more,
    )


def reversal(number, of, time_us=None):
    return Reversal(
        source="s",
        id=str(number),
        time_us=number if time_us is None else time_us,
        tenant="a",
        of_source="s",
        of_id=str(of),
        reason="wrong",
    )


def agent():
    """A run by hand: 4,820 tokens processed, 100 of them visible.

    1 plans and calls a tool; 2 reads its result; 3 is a sub-agent's; 4 fails; 5 answers.
    """
    return [
        call(1, fresh=1000, shown=50, reasoning=100, tool=20),  # 1,170
        call(2, fresh=300, read=1000, tool=30, reasoning=10),  # 1,340; seen before: 1,000 + 50 + 20 = 1,070
        sub(3, fresh=400, shown=60),  # 460
        call(4, fresh=100, failed=True),  # 100
        call(
            5, fresh=150, read=1300, write=50, shown=100, reasoning=150, final=True
        ),  # 1,750; seen: 1,300 + 30 = 1,330
    ]


def sub(number, **more):
    """A call of a sub-agent of run ``r``."""
    return replace(call(number, **more), run="r/sub", parent_run="r", agent="sub")


def usage(*events):
    return table(events)
