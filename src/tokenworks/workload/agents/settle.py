"""Agents whose calls wait for the answers of a factory: a slower factory slows its agents.

The factory is anything that says when each of some requests with fixed arrivals has its answer. How long answers take
is guessed, arrivals follow, the factory is asked how long they take then, and so on until arrivals stay the same. Then
every call was sent exactly when what it waits for had ended and its pause was over: what an executor that releases
calls one by one would have done, since what a factory does up to a time depends on nothing later. Each round makes at
least the earliest wrong arrival right, and all those whose answers take as long as in the round before.
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass

import numpy as np

from tokenworks.errors import InputError
from tokenworks.events.requests import Requests
from tokenworks.workload.agents.as_requests import at_times, in_order
from tokenworks.workload.agents.calls import Calls
from tokenworks.workload.agents.recording import BLOCK_TOKENS, Ints
from tokenworks.workload.agents.schedule import NEVER, Pace, answer_ticks, sent

Factory = Callable[[Requests], Ints]  # ends in ticks, in the order of the requests; NEVER: no answer
ROUNDS = 1000


@dataclass(frozen=True)
class Settled:
    """A run of agents on a factory that is consistent with itself."""

    requests: Requests  # those that were sent, by arrival
    call: Ints  # which call each of them is
    sent: Ints  # by call, in ticks; NEVER: an earlier call had no answer
    ends: Ints  # by call; NEVER: no answer
    rounds: int


def settled(
    calls: Calls,
    begins: Ints,
    factory: Factory,
    block: int = BLOCK_TOKENS,
    rounds: int = ROUNDS,
    pace: Pace | None = None,
) -> Settled:
    """Calls of runs that begin at these ticks (one per call) on a factory. Raises InputError where arrivals have not
    settled after so many rounds."""
    plain = in_order(calls, block)
    takes = answer_ticks(calls, pace or Pace())
    at = sent(calls, begins, takes)
    for number in range(1, rounds + 1):
        requests, call = at_times(plain, at)
        ends = np.full(len(calls), NEVER)
        ends[call] = factory(requests)
        takes = np.where(at == NEVER, takes, np.where(ends == NEVER, NEVER, ends - at))
        following = sent(calls, begins, takes)
        if np.array_equal(following, at):
            return Settled(requests, call, at, ends, number)
        at = following
    raise InputError(
        f"the calls of {len(np.unique(calls.run))} runs have not settled after {rounds} rounds: play fewer runs at once, or "
        "allow more rounds"
    )
