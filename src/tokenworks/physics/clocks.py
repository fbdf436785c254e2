"""Clock levels of an accelerator: what a slower clock does to the terms of a step."""

from __future__ import annotations

from dataclasses import dataclass, replace

from tokenworks import catalog
from tokenworks.errors import UnsupportedError
from tokenworks.physics.terms import Terms
from tokenworks.spec import clocks


@dataclass(frozen=True)
class Level:
    """One clock level: shares of the boost clock and of the full voltage, and the part of the base power, and of that of
    memory traffic, that follows neither."""

    clock: float
    voltage: float
    floor: float

    @property
    def switching(self) -> float:
        """Power of logic that switches every cycle: frequency times the square of the voltage."""
        return self.clock * self.voltage**2

    @property
    def rest(self) -> float:
        """Power of what follows the clock in part."""
        return self.floor + (1 - self.floor) * self.switching


def levels() -> tuple[Level, ...]:
    """All levels of the catalogue, fastest first."""
    entry = catalog.load("clocks", "default")
    floor = float(entry["static_floor"])
    pairs = zip(entry["clock_share"], entry["voltage_share"], strict=True)
    return tuple(Level(float(clock), float(voltage), floor) for clock, voltage in pairs)


def levels_from(clock: float) -> tuple[Level, ...]:
    """A level and those below it, fastest first. Raises UnsupportedError for a share that is no level."""
    try:
        own = clocks.level(clock)
    except ValueError as error:
        raise UnsupportedError(str(error)) from None
    return tuple(level for level in levels() if level.clock <= own)


def slowed(terms: Terms, level: Level) -> Terms:
    """Terms at a clock level, from those at full clock. Tensor throughput follows the clock, tensor energy the square of
    the voltage, the power of kernels that sample both; base power and what moves bytes on the chip both in part. Memory,
    links and host keep their own clocks."""
    return replace(
        terms,
        flop_dense=terms.flop_dense * level.clock,
        flop_experts=terms.flop_experts * level.clock,
        flop_attention=terms.flop_attention * level.clock,
        power_flop=terms.power_flop * level.voltage**2,
        power_seq=terms.power_seq * level.switching,
        power_base=terms.power_base * level.rest,
        power_memory=terms.power_memory * level.rest,
    )
