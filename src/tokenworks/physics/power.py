"""Board power of an accelerator above what it draws whatever it computes, as energy over TDP: seconds.

Operators run one after the other, so each has a power of its own, by how hard it drives memory and tensor cores:

    board / TDP = base + memory·u_mem^bend + flop·u_flop^bend

with bends below 1: the first half of the bandwidth costs more than the second. Energy is homogeneous of degree one in
an operator's time and work, so that tables of it add up. One operator may draw more than TDP for its microseconds, a
table's entry, all that a step does for so many tokens, may not. Between the operators of a step the board does not fall back
to its base: the kernels that sample a token of each sequence run in what counts as the host's time per sequence.
"""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np

from tokenworks.physics.operators import Array, Cost
from tokenworks.physics.terms import Terms


@dataclass(frozen=True)
class PowerLaw:
    terms: Terms
    tdp_w: float

    def dynamic_s(self, cost: Cost) -> Array:
        """Energy of an operator above the base, over TDP, in seconds."""
        t = self.terms
        run = cost.busy_s / t.speed
        memory = t.power_memory * cost.byte_s**t.memory_bend * run ** (1.0 - t.memory_bend)
        tensor = t.power_flop * cost.flop_s**t.flop_bend * run ** (1.0 - t.flop_bend)
        return np.asarray(memory + tensor)

    def most_s(self, seconds: Array) -> Array:
        """The most energy above the base that a board at its limit draws in this time."""
        return (1.0 - self.terms.power_base) * seconds

    def sampling_s(self, sequences: Array) -> Array:
        """… of the host's time per sequence."""
        return self.terms.power_seq * self.terms.seq_s * sequences

    def limit_s(self, dynamic_s: Array) -> Array:
        """The shortest time in which the board may draw this energy above the base."""
        return dynamic_s / (1.0 - self.terms.power_base)

    def joules(self, dynamic_s: Array, gpus: int) -> Array:
        return dynamic_s * self.tdp_w * gpus


@dataclass(frozen=True)
class Work:
    """Device seconds and, in seconds over TDP, energy above the base: arrays over token counts, or context classes."""

    seconds: Array
    dynamic_s: Array

    def __add__(self, other: Work) -> Work:
        return Work(self.seconds + other.seconds, self.dynamic_s + other.dynamic_s)


def work(cost: Cost, law: PowerLaw) -> Work:
    return Work(cost.seconds / law.terms.speed, law.dynamic_s(cost))


def rate(cost: Cost, law: PowerLaw) -> Work:
    """Of a cost per pair or key, which knows no step: at most TDP on its own."""
    most = law.most_s(cost.busy_s / law.terms.speed)
    return Work(cost.seconds / law.terms.speed, np.minimum(law.dynamic_s(cost), most))


def capped(of: Work, spare_s: Array | float, law: PowerLaw) -> Work:
    """A table of steps that draw at most TDP over their own time and ``spare_s`` of the host's.

    The shares of peak that operators reach were measured on boards that throttle: at the limit a step is no slower.
    """
    return Work(of.seconds, np.minimum(of.dynamic_s, law.most_s(of.seconds + spare_s)))


def nothing(entries: int) -> Work:
    return Work(np.zeros(entries), np.zeros(entries))


def total(costs: dict[str, Cost], like: Array, law: PowerLaw) -> Work:
    """All operators one after the other."""
    return sum((work(cost, law) for cost in costs.values()), nothing(len(like)))


def scaled(of: Work, factor: float | Array) -> Work:
    return Work(of.seconds * factor, of.dynamic_s * factor)


def interpolated(of: Work, at: Array, every: Array) -> Work:
    """Linear between grid points; exact on them."""
    if len(at) == len(every):
        return of
    return Work(np.interp(every, at, of.seconds), np.interp(every, at, of.dynamic_s))
