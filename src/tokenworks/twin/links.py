"""Requests that follow others: who waits for how many, and who follows whom."""

from __future__ import annotations

from typing import NamedTuple

import numpy as np

from tokenworks.errors import InputError, UnsupportedError
from tokenworks.events.requests import Requests
from tokenworks.twin.layout import Ints


class Links(NamedTuple):
    """Followers of request i are ``link[start[i]:start[i + 1]]``; empty arrays where nobody follows anybody."""

    start: Ints  # (n + 1,)
    link: Ints
    missing: Ints  # (n,) predecessors of each


def links_of(requests: Requests | object, clients: int) -> Links:
    """Raises InputError for predecessors that are no earlier requests, UnsupportedError for links in a closed loop."""
    if not isinstance(requests, Requests) or not len(requests.after_start):
        return Links(np.zeros(1, np.int64), np.zeros(0, np.int64), np.zeros(0, np.int64))
    if clients:
        raise UnsupportedError(
            "requests that follow others cannot be sent by closed-loop clients: they have a pace of their own"
        )
    n, missing = len(requests), np.diff(requests.after_start)
    owner = np.repeat(np.arange(n), missing) if len(missing) == n and (missing >= 0).all() else None
    if owner is None or len(requests.after) != len(owner):
        raise InputError(
            "after_start must rise from 0 to the number of links, with one entry more than there are requests"
        )
    if ((requests.after < 0) | (requests.after >= owner)).any():
        wrong = int(owner[(requests.after < 0) | (requests.after >= owner)][0])
        raise InputError(f"request {wrong} follows one that is not before it")
    order = np.argsort(requests.after, kind="stable")
    start = np.searchsorted(requests.after[order], np.arange(n + 1))
    return Links(start.astype(np.int64), owner[order], missing.astype(np.int64))
