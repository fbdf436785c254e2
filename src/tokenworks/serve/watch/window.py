"""What happened at an engine between the first and the last of some looks at its page."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

import msgspec

from tokenworks.errors import InputError
from tokenworks.serve.telemetry.samples import Samples
from tokenworks.serve.watch.names import JOULES, SPEED, Names, names_of

FORMAT = "tokenworks engine window 1"  # accuracy/bench_formats/window.py reads it
MILLIJOULES_PER_J = 1000


class Window(msgspec.Struct, kw_only=True):
    """Of one engine. Times are its own: an emulated one's may run faster than ours. Means are None where nothing was counted
    that they could be of."""

    format: str = FORMAT
    url: str
    engine: str
    model: str  # as the page calls it; "" where it does not
    date: str  # UTC, ISO
    seconds: float
    running: float  # requests that it worked on, mean of the looks
    waiting: float  # that waited there
    in_flight_first_half: float  # running and waiting
    in_flight_second_half: float
    idle_looks: int  # that found nothing in flight
    looks: int
    requests: int  # that ended
    first_tokens: int
    input_tokens: int
    cached_tokens: int  # of these, found in its prefix cache
    output_tokens: int
    ttft_s_mean: float | None
    tpot_s_mean: float | None
    joules: float | None  # of its GPUs; None: the page does not tell
    gpus: int  # that it tells of


@dataclass(frozen=True)
class Look:
    """A page and the second, by one clock, at which it came."""

    at_s: float
    page: Samples


def known(url: str, page: Samples) -> Names:
    """Raises InputError for a page that is no known engine's."""
    names = names_of(page)
    if names is None:
        raise InputError(
            f"{url} answers, but not with the metrics page of vLLM, SGLang, TensorRT-LLM or an emulated worker"
        )
    return names


def model_on(page: Samples, names: Names) -> str:
    """As the engine calls it; "" where its page does not say, or names several."""
    models = page.values(names.running, "model_name")
    return models[0] if len(models) == 1 else ""


def window_of(url: str, date: str, looks: Sequence[Look]) -> Window | None:
    """Of two looks or more, in order; None where the engine began anew between them."""
    first, last = looks[0], looks[-1]
    names = known(url, last.page)
    counted = Counted(first.page, last.page)
    flights = [_total(look.page, names.running) + _total(look.page, names.waiting) for look in looks]
    half = (len(flights) + 1) // 2
    boards = list(last.page.having(JOULES))
    found = Window(
        url=url,
        engine=names.engine,
        model=model_on(last.page, names),
        date=date,
        seconds=(last.at_s - first.at_s) * (last.page.total(SPEED) or 1.0),
        running=_mean([_total(look.page, names.running) for look in looks]),
        waiting=_mean([_total(look.page, names.waiting) for look in looks]),
        in_flight_first_half=_mean(flights[:half]),
        in_flight_second_half=_mean(flights[-half:]),
        idle_looks=flights.count(0.0),
        looks=len(looks),
        requests=round(counted.grown(f"{names.e2e}_count")),
        first_tokens=round(counted.grown(f"{names.ttft}_count")),
        input_tokens=round(counted.grown(names.read)),
        cached_tokens=round(counted.grown(*names.cached)),
        output_tokens=round(counted.grown(names.made)),
        ttft_s_mean=counted.mean(names.ttft),
        tpot_s_mean=next((mean for tpot in names.tpot if (mean := counted.mean(tpot)) is not None), None),
        joules=counted.grown(JOULES) / MILLIJOULES_PER_J if boards else None,
        gpus=len(boards),
    )
    return None if counted.anew else found


class Counted:
    """Counters between two pages of an engine."""

    def __init__(self, before: Samples, after: Samples):
        self._before, self._after = before, after
        self.anew = False  # one went back

    def grown(self, *metrics: str) -> float:
        """Of the first of them that the page has."""
        metric = next((m for m in metrics if m in self._after.of), metrics[0])
        grown = _total(self._after, metric) - _total(self._before, metric)
        self.anew |= grown < 0
        return grown

    def mean(self, histogram: str) -> float | None:
        """Of what a histogram took in."""
        count = self.grown(f"{histogram}_count")
        return self.grown(f"{histogram}_sum") / count if count > 0 else None


def _total(page: Samples, metric: str) -> float:
    return page.total(metric) or 0.0


def _mean(values: Sequence[float]) -> float:
    return sum(values) / len(values)
