"""Replicas as processes of this machine: started from a command, asked for their health, stopped by SIGTERM, then SIGKILL."""

from __future__ import annotations

import asyncio
import contextlib
import signal
from collections.abc import Mapping
from dataclasses import dataclass

from tokenworks.serve.steer.fleet import FleetError

ASK_S = 0.2  # between two questions for health
ANSWER_S = 2.0  # for an answer
MOST_HEAD_BYTES = 1024


@dataclass(frozen=True)
class Command:
    """Of one pool. In ``words`` {port}, {replica} and {bootstrap_port} are filled in."""

    words: tuple[str, ...]
    first_port: int
    health: str  # path that answers 200 when the replica takes requests
    patience_s: float  # for a start
    stop_s: float  # between SIGTERM and SIGKILL
    first_bootstrap_port: int = 8998

    def filled(self, place: int) -> list[str]:
        """The words of one replica."""
        bootstrap_port = self.first_bootstrap_port + place
        return [w.format(port=self.port(place), replica=place, bootstrap_port=bootstrap_port) for w in self.words]

    def port(self, place: int) -> int:
        return self.first_port + place


class ProcessStarter:
    """Each replica leads a process group of its own, so that what it started ends with it."""

    def __init__(self, commands: Mapping[str, Command]):
        self._commands = commands
        self._running: dict[tuple[str, int], asyncio.subprocess.Process] = {}

    async def start(self, pool: str, place: int) -> None:
        command = self._commands[pool]
        words = command.filled(place)
        try:
            process = await asyncio.create_subprocess_exec(*words, start_new_session=True)
        except OSError as error:
            raise FleetError(f"{words[0]}: {error.strerror}") from None
        self._running[pool, place] = process
        try:
            async with asyncio.timeout(command.patience_s):
                while not await healthy(command.port(place), command.health):
                    if process.returncode is not None:
                        raise FleetError(f"{words[0]} ended with {process.returncode} before it was healthy")
                    await asyncio.sleep(ASK_S)
        except TimeoutError:
            await self.stop(pool, place)
            raise FleetError(f"{words[0]} was not healthy within {command.patience_s:g} s") from None
        except BaseException:
            await self.stop(pool, place)
            raise

    async def stop(self, pool: str, place: int) -> None:
        process = self._running.pop((pool, place), None)
        if process is None:
            return
        for number, patience_s in ((signal.SIGTERM, self._commands[pool].stop_s), (signal.SIGKILL, None)):
            if process.returncode is None:
                with contextlib.suppress(ProcessLookupError):
                    process.send_signal(number)
            with contextlib.suppress(TimeoutError):
                async with asyncio.timeout(patience_s):
                    await process.wait()
                    break
        self._end_group(process.pid)

    @staticmethod
    def _end_group(leader: int) -> None:
        """What the replica left running."""
        import os

        with contextlib.suppress(ProcessLookupError):
            os.killpg(leader, signal.SIGKILL)

    def alive(self, pool: str, place: int) -> bool:
        process = self._running.get((pool, place))
        return process is not None and process.returncode is None


async def healthy(port: int, path: str) -> bool:
    """Whether the replica answers 200."""
    writer = None
    try:
        async with asyncio.timeout(ANSWER_S):
            reader, writer = await asyncio.open_connection("127.0.0.1", port)
            writer.write(f"GET {path} HTTP/1.1\r\nHost: 127.0.0.1\r\nConnection: close\r\n\r\n".encode())
            status = await reader.readline()
    except (OSError, TimeoutError):
        return False
    finally:
        if writer is not None:
            writer.close()
    return status.split(b" ")[1:2] == [b"200"]
