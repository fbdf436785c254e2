"""What a process under the supervisor runs: `python -m tokenworks.serve.processes.roles NAME`, told the rest on its standard
input. Each role imports what it needs: a ledger process that was killed is back before callers lose their patience."""

from __future__ import annotations

import asyncio
import logging
import os
import signal
import sys

from tokenworks.errors import InputError
from tokenworks.serve.http.loop import run_loop
from tokenworks.serve.processes.orders import Orders, say
from tokenworks.serve.processes.settings import EngineSettings, Failed, GatewaySettings, LedgerSettings


async def main() -> int:
    orders = await Orders.open()
    asyncio.get_running_loop().add_signal_handler(signal.SIGTERM, orders.stop.set)
    settings = await orders.first()
    try:
        if isinstance(settings, LedgerSettings):
            from tokenworks.serve.processes.role_ledger import own_ledger

            return await own_ledger(settings, orders)
        if isinstance(settings, EngineSettings):
            from tokenworks.serve.processes.role_engines import emulate_engines

            return await emulate_engines(settings, orders)
        if isinstance(settings, GatewaySettings):
            from tokenworks.serve.processes.role_gateway import be_gateway

            return await be_gateway(settings, orders)
        raise InputError("the first line says what this process is")
    except InputError as error:
        say(Failed(str(error)))
        return 2


def run() -> None:
    logging.basicConfig(format=f"%(levelname)s %(message)s (process {os.getpid()})", level=logging.WARNING)
    sys.exit(run_loop(main()))


if __name__ == "__main__":
    run()
