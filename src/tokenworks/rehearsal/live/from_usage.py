"""Live traffic from usage events, of a ledger or its export."""

from __future__ import annotations

import difflib
from collections.abc import Sequence
from typing import TYPE_CHECKING, Any

import numpy as np
from numpy.typing import NDArray

from tokenworks.errors import InputError
from tokenworks.events.ledger_events import INPUT, MICRO, OUTPUT
from tokenworks.rehearsal.live.recorded import Live, Recorded, by_arrival
from tokenworks.spec.factory import Factory

if TYPE_CHECKING:
    import pyarrow as pa

TWIN = "twin/"  # how sources of rehearsals begin
Bools = NDArray[np.bool_]


def from_usage(usage: pa.Table, factory: Factory, place: str) -> Live:
    """Attempts at calls of the factory's services. What was taken back is left out with what took it back.

    Raises InputError where nothing can be replayed."""
    usage, reversed_rows = _netted(usage)
    service = _services(usage, factory)
    if usage.num_rows and not (service >= 0).any():
        raise InputError(_strangers(usage, factory, place))
    made, why = recorded(usage, service), list[tuple[str, int]]()
    kept = np.ones(len(made), bool)
    for reason, wrong in (
        ("of other services", made.service < 0),
        ("without a duration (not ended, or nobody measured it)", np.isnan(made.e2e_s)),
        ("whose tokens nobody knows", (made.input_tokens < 0) | (made.output_tokens < 0)),
        ("refused or given up before their first token", made.output_tokens == 0),
        ("whose prompt has no tokens", made.input_tokens == 0),
    ):
        if found := int((kept & wrong).sum()):
            why.append((reason, found))
        kept &= ~wrong
    if not kept.any():
        said = "; ".join(f"{count:,} {reason}" for reason, count in why) or "no events"
        raise InputError(f"{place}: nothing to replay: {said}")
    if reversed_rows:
        why.append(("taken back", reversed_rows))
    requests, first_s = by_arrival(made.rows(kept))
    inside = all(str(source).startswith(TWIN) for source in usage["source"].unique().to_pylist())
    return Live(
        requests, place, round(first_s * MICRO), tuple(why), inside, timed=bool((~np.isnan(requests.ttft_s)).any())
    )


def _netted(usage: pa.Table) -> tuple[pa.Table, int]:
    """Without events that were reversed."""
    import pyarrow as pa
    import pyarrow.compute as pc

    gone = usage.filter(pc.less(usage["sign"], 0))
    if not gone.num_rows:
        return usage, 0
    key = lambda t: pc.binary_join_element_wise(t["source"], t["id"], "\x1f")  # noqa: E731
    kept = usage.filter(pc.invert(pc.is_in(key(usage), pa.array(key(gone).to_pylist()))))
    return kept, gone.num_rows


def _services(usage: pa.Table, factory: Factory) -> NDArray[np.int64]:
    """By the event's service, else by its model where one service alone has it; −1: none of them."""
    names = [s.name for s in factory.services]
    models = [s.model for s in factory.services]
    place = {name: i for i, name in enumerate(names)}
    alone = {model: i for i, model in enumerate(models) if models.count(model) == 1}
    pairs = zip(usage["service"].to_pylist(), usage["model"].to_pylist(), strict=True)
    known = {pair: place.get(pair[0] or "", -1 if pair[0] else alone.get(pair[1] or "", -1)) for pair in set(pairs)}
    pairs = zip(usage["service"].to_pylist(), usage["model"].to_pylist(), strict=True)
    return np.array([known[pair] for pair in pairs], np.int64)


def _strangers(usage: pa.Table, factory: Factory, place: str) -> str:
    names = [s.name for s in factory.services]
    found = sorted({name or f"(model {model})" for name, model in _distinct(usage)})
    close = next((c for name in found for c in difflib.get_close_matches(name, names, n=1, cutoff=0.4)), "")
    hint = f"; is {close} meant?" if close else ""
    return f"{place}: its events are of {', '.join(found[:5])}, the factory has {', '.join(names)}{hint}"


def _distinct(usage: pa.Table) -> set[tuple[str, str]]:
    return set(zip(usage["service"].to_pylist(), usage["model"].to_pylist(), strict=True))


def recorded(usage: pa.Table, service: NDArray[np.int64]) -> Recorded:
    """Events as columns, in their order."""
    duration_s = _numbers(usage, "duration_us") / MICRO
    stamp_s = _numbers(usage, "time_us") / MICRO
    began_s = stamp_s - np.nan_to_num(duration_s)  # an event is timed at its end
    return Recorded(
        arrival_s=began_s,
        ttft_s=_numbers(usage, "ttft_us") / MICRO,
        e2e_s=duration_s,
        input_tokens=_sum(usage, INPUT),
        cached_tokens=_whole(_numbers(usage, "cache_read")),
        output_tokens=_sum(usage, OUTPUT),
        service=service,
        session=sessions(usage["root_run"].to_pylist()),
        usd=_numbers(usage, "cost_micro_usd") / MICRO,
        joules=_numbers(usage, "energy_uj") / MICRO,
        finished=_finished(usage),
    )


def _finished(usage: pa.Table) -> Bools:
    """Ended with all its tokens; a failed call of an agent whose answer came is one that nobody used."""
    import pyarrow.compute as pc

    whole = pc.equal(usage["usage_status"], "final")
    return np.asarray(pc.fill_null(whole, False).to_numpy(zero_copy_only=False), bool)


def _numbers(usage: pa.Table, name: str) -> NDArray[np.float64]:
    """NaN for null. Microseconds since 1970 are below 2⁵³: exact."""
    return np.asarray(usage[name].cast("float64").to_numpy(zero_copy_only=False), np.float64)


def _sum(usage: pa.Table, buckets: Sequence[str]) -> NDArray[np.int64]:
    """−1 where nobody knows. An engine that does not say how its tokens divide has them all in the first bucket."""
    first, *others = (_numbers(usage, bucket) for bucket in buckets)
    total = first + sum((np.nan_to_num(values) for values in others), np.zeros(usage.num_rows))
    return _whole(total)


def _whole(values: NDArray[np.float64]) -> NDArray[np.int64]:
    """−1 for what is not known."""
    return np.where(np.isnan(values), -1, np.nan_to_num(values)).astype(np.int64)


def sessions(names: Sequence[Any]) -> NDArray[np.int64]:
    """Numbers of names that occur more than once; −1 for all others."""
    counts, numbers = dict[Any, int](), dict[Any, int]()
    for name in names:
        counts[name] = counts.get(name, 0) + 1
    return np.array(
        [numbers.setdefault(name, len(numbers)) if name and counts[name] > 1 else -1 for name in names], np.int64
    )
