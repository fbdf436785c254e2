"""Windows of `tokenworks calibrate --watch`: what an engine's own metrics said while it worked for others."""

from __future__ import annotations

import math
from typing import Any

from tokenworks.accuracy.bench_formats.bench import Bench, Fields, Stated, Unused

FORMAT = "tokenworks engine window 1"  # serve/watch/window.py writes it
LEAST_REQUESTS = 20  # that ended in it: fewer say little of a mean
CACHED = 0.05  # share of the prompts that a prefix cache may have known
DRIFT = 0.25  # by which the requests in flight may differ between the halves, beside what chance makes of few
QUEUED = 0.5  # requests that wait at a look, in the mean, from which on the engine is full
ROOM = 20  # requests for each in flight: begin and end of the rehearsal then weigh little


def is_window(table: dict[str, Any]) -> bool:
    return table.get("format") == FORMAT


def read_window(place: str, table: dict[str, Any]) -> Bench | Unused:
    """One window. An engine at which requests wait is full: it is rehearsed with as many clients as it had requests, any other
    with requests that come at its rate, and what it made in the time is then no measure of it. Raises InputError naming file
    and key."""
    fields = Fields(place, table)
    requests, seconds = int(fields.number("requests") or 0), fields.needed("seconds")
    flight = (fields.number("running") or 0.0) + (fields.number("waiting") or 0.0)
    unfit = _unfit(fields, requests, flight)
    if unfit:
        return Unused(place, unfit)
    full = (fields.number("waiting") or 0.0) >= QUEUED
    output, joules = fields.needed("output_tokens"), fields.number("joules")
    busy = not fields.number("idle_looks")  # what it drew for nobody is nobody's
    return Bench(
        place,
        "engine's metrics",
        _facts(fields),
        fields.text("date")[:10],
        max(1, round(flight)) if full else None,
        None if full else requests / seconds,
        max(requests, round(ROOM * flight)),
        fields.needed("input_tokens") / fields.needed("first_tokens"),
        output / requests,
        None,
        requests / seconds,
        output / seconds if full else None,
        None,
        fields.number("tpot_s_mean"),
        None,
        fields.number("ttft_s_mean"),
        None,
        joules / output if joules and busy else None,
        fields.whole("gpus"),
    )


def _unfit(fields: Fields, requests: int, flight: float) -> str:
    """Why a window says nothing; "" where it does."""
    if requests < max(LEAST_REQUESTS, flight):
        return f"only {requests} requests ended in it, with {flight:.3g} in flight: take a longer --window"
    if not fields.number("output_tokens") or not fields.number("input_tokens"):
        return "its engine counts no tokens"
    halves = [fields.number(f"in_flight_{half}_half") or 0.0 for half in ("first", "second")]
    if abs(halves[0] - halves[1]) > max(1.0, math.sqrt(flight), DRIFT * flight):
        return f"no steady load: {halves[0]:.3g} requests in flight, then {halves[1]:.3g}"
    cached = (fields.number("cached_tokens") or 0.0) / fields.needed("input_tokens")
    if cached > CACHED:
        return f"{cached:.0%} of its prompts' tokens came from the prefix cache"
    return ""


def _facts(fields: Fields) -> dict[str, Stated]:
    found = {"engine": Stated("engine", fields.text("engine"))}
    model = fields.text("model")
    return found | ({"model": Stated("model", model)} if model else {})
