"""An emulated worker whose time a test moves by hand."""

from tokenworks.serve.emulate.worker import EmulatedWorker


class HandClock:
    """Ticks as a test sets them; nothing wakes by itself."""

    def __init__(self, speed=1.0):
        self.speed, self.tick = speed, 0

    def now(self):
        return self.tick

    def wait_s(self, tick):
        return 0.0

    def call_later(self, delay_s, work):
        return self

    def cancel(self): ...


def worker_by_hand(model, loaded=None, speed=1.0):
    """(worker, its clock)."""
    clock = HandClock(speed)
    return EmulatedWorker(model, clock, clock, loaded), clock
