"""An event loop whose clock stands still while there is work and jumps to the next timer when there is none: sockets are
real, waiting takes no time, and what a server does after 30 ms happens after 30 ms to the nanosecond."""

import asyncio
import selectors

IN_FLIGHT_S = 0.001  # of real time, in which bytes between two sockets of this process arrive
PATIENCE_S = 5.0  # of real time, when nothing is to come: a test that hangs


class Jumping(selectors.DefaultSelector):
    now_s = 1000.0

    def select(self, timeout=None):
        ready = super().select(0)
        if ready or timeout == 0:
            return ready
        ready = super().select(PATIENCE_S if timeout is None else IN_FLIGHT_S)
        if ready:
            return ready
        assert timeout is not None, "the loop waits for ever"
        self.now_s += timeout
        return super().select(0)


class VirtualLoop(asyncio.SelectorEventLoop):
    def __init__(self):
        self.clock = Jumping()
        super().__init__(self.clock)

    def time(self):
        return self.clock.now_s

    def busy(self, seconds):
        """Work that keeps the loop from everything else."""
        self.clock.now_s += seconds


def run(coroutine):
    with asyncio.Runner(loop_factory=VirtualLoop) as runner:
        return runner.run(coroutine)
