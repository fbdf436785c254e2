"""What an autoscaler sees at a look: the same figures on the virtual clock and on the wall clock."""

from __future__ import annotations

from typing import NamedTuple


class Seen(NamedTuple):
    """Of one pool of replicas and its service; counts are those since the look before."""

    now_s: float  # since the beginning
    arrived: int  # requests
    finished: int
    input_tokens: int  # of the finished
    output_tokens: int
    outstanding: int  # requests at the pool now, waiting or running
    held: int  # requests that wait for a first replica now
    ready: int  # replicas that take requests now
    loading: int
