"""Calls as the requests that a twin or an engine gets."""

from __future__ import annotations

from dataclasses import replace

import numpy as np

from tokenworks.errors import InputError
from tokenworks.events.requests import Requests
from tokenworks.workload.agents.calls import Calls
from tokenworks.workload.agents.prompts import prompt_hashes
from tokenworks.workload.agents.recording import BLOCK_TOKENS, Ints
from tokenworks.workload.agents.schedule import pauses
from tokenworks.workload.lengths import LONGEST
from tokenworks.workload.streams import at_ticks, chosen


def in_order(calls: Calls, block: int = BLOCK_TOKENS) -> Requests:
    """One request per call, in the order of the calls, not yet at any time. Its session is the run, its think time the
    pause before it. An answer has at least one token: an engine cannot make fewer. Raises InputError for a prompt that
    no request can carry."""
    longest = int((calls.input_tokens + calls.output_tokens).max(initial=0))
    if longest > LONGEST:
        raise InputError(f"an agent's call has {longest:,} tokens: at most {LONGEST:,}")
    output = np.maximum(1, calls.output_tokens).astype(np.int32)
    made = at_ticks(np.zeros(len(calls), np.int64), calls.input_tokens.astype(np.int32), output)
    start, hashes = prompt_hashes(calls, block)
    made = replace(made, session=calls.run.copy(), think=pauses(calls))
    return replace(made, block_start=start, block_hash=hashes, hash_block_tokens=block)


def at_times(made: Requests, at: Ints) -> tuple[Requests, Ints]:
    """(the requests that are ever sent, by time, and which ones they are); ``at`` is −1 where one never is."""
    order = np.argsort(at, kind="stable")
    order = order[np.searchsorted(at[order], 0) :]
    return chosen(replace(made, arrival=at), order), order
