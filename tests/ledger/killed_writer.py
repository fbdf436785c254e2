"""A child process that ingests until it is killed: `killed_writer.py PLACE SEGMENTS FIRST COUNT ACKNOWLEDGED_FILE`.

64 producers share one group commit; each writes the number of an event to the file once it is acknowledged.
"""

import asyncio
import os
import sys
from pathlib import Path

from ledger_samples import usage

from tokenworks.ledger import GroupCommit, Ledger

PRODUCERS = 64


async def ingest(ledger: Ledger, first: int, count: int, out: int) -> None:
    async with GroupCommit(ledger) as group:

        async def produce(start: int) -> None:
            for number in range(start, first + count, PRODUCERS):
                receipt = await group.submit(usage(number))
                if receipt.durable:
                    os.write(out, f"{number}\n".encode())

        await asyncio.gather(*(produce(first + place) for place in range(PRODUCERS)))


if __name__ == "__main__":
    place, segments, first, count, acknowledged = sys.argv[1:]
    out = os.open(acknowledged, os.O_WRONLY | os.O_CREAT | os.O_APPEND)
    with Ledger.open(place, segments=Path(segments)) as ledger:
        os.write(out, b"open\n")
        asyncio.run(ingest(ledger, int(first), int(count), out))
