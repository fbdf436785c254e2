"""One process under the supervisor, as the supervisor sees it."""

from __future__ import annotations

import asyncio
import sys
from asyncio.subprocess import PIPE, Process

from tokenworks.errors import InputError
from tokenworks.serve.processes.settings import LONGEST_LINE, Again, Failed, Ready, Settings, from_child, to_line

COMMAND = (sys.executable, "-m", "tokenworks.serve.processes.roles")  # and a name, for who lists processes


class Child:
    """It is told what to do on its standard input, and asked to stop by closing it: a supervisor that dies asks by dying."""

    def __init__(self, process: Process, ready: Ready):
        self._process, self.ready = process, ready

    @classmethod
    async def start(cls, name: str, settings: Settings) -> Child:
        """Returns when it is ready. Raises InputError with its reason where it cannot begin."""
        # a session of its own: Ctrl-C is for the supervisor, who asks the others to stop one after the other
        process = await asyncio.create_subprocess_exec(
            *COMMAND,
            name,
            stdin=PIPE,
            stdout=PIPE,
            pass_fds=(settings.door,),
            start_new_session=True,
            limit=LONGEST_LINE,
        )
        try:
            _tell(process, settings)
            assert process.stdout is not None
            line = await process.stdout.readline()
            said = from_child(line) if line else Failed("it ended before it was ready")
            if isinstance(said, Failed):
                await process.wait()
                raise InputError(said.why)
        except BaseException:
            if process.returncode is None:
                process.kill()
                await process.wait()
            raise
        return cls(process, said)

    @property
    def pid(self) -> int:
        return self._process.pid

    async def ended(self) -> int:
        """Its exit code; negative: the signal that ended it."""
        return await self._process.wait()

    def take_over(self, again: Again) -> None:
        _tell(self._process, again)

    async def stop(self, patience_s: float) -> None:
        """Asks it to stop, and makes it stop where it does not."""
        assert self._process.stdin is not None
        self._process.stdin.close()
        try:
            async with asyncio.timeout(patience_s):
                await self._process.wait()
        except TimeoutError:
            self._process.kill()
            await self._process.wait()


def _tell(process: Process, what: Settings | Again) -> None:
    assert process.stdin is not None
    process.stdin.write(to_line(what) + b"\n")
