"""`profile_export_aiperf.json` and `profile_export_genai_perf.json`: one object per metric, each with its unit."""

from __future__ import annotations

from collections.abc import Iterator
from typing import Any

from tokenworks.accuracy.bench_formats.bench import Bench, Fields, Stated, Unused, lost
from tokenworks.errors import InputError

SECONDS = {"s": 1.0, "sec": 1.0, "seconds": 1.0, "ms": 1e-3, "milliseconds": 1e-3, "us": 1e-6, "ns": 1e-9}


def is_aiperf(table: dict[str, Any]) -> bool:
    return "input_config" in table and isinstance(table.get("request_throughput"), dict)


def read_aiperf(place: str, table: dict[str, Any]) -> Bench | Unused:
    """One profile. Raises InputError naming file and key."""
    if table.get("was_cancelled") is True:
        return Unused(place, "the run was cancelled")
    metrics = Metrics(place, table)
    done, failed = metrics.value("request_count"), metrics.value("error_request_count") or 0.0
    unfit = lost(int(done), int(done + failed)) if done else ""
    unfit = unfit or _shared_prefix(table["input_config"]) or _unsteady(table)
    if unfit:
        return Unused(place, unfit)
    clients, rate = (_load(place, table["input_config"], key) for key in ("concurrency", "request_rate"))
    if clients is None and rate is None:
        raise InputError(f"{place}: input_config names neither concurrency nor request_rate; --concurrency says it")
    return Bench(
        place,
        "AIPerf or GenAI-Perf",
        _facts(table["input_config"]),
        str(table.get("start_time") or "")[:10],
        int(clients) if clients else None,
        rate,
        int(done) if done else None,
        metrics.needed("input_sequence_length"),
        metrics.needed("output_sequence_length"),
        None,
        metrics.value("request_throughput"),
        metrics.needed("output_token_throughput"),
        None,
        metrics.seconds("inter_token_latency", "avg"),
        metrics.seconds("inter_token_latency", "p50"),
        metrics.seconds("time_to_first_token", "avg"),
        metrics.seconds("time_to_first_token", "p50"),
    )


class Metrics:
    """Statistics of the metrics, by their units."""

    def __init__(self, place: str, table: dict[str, Any]):
        self._place, self._table = place, table

    def value(self, name: str, statistic: str = "avg") -> float | None:
        found = self._table.get(name)
        return Fields(f"{self._place}: {name}", found).number(statistic) if isinstance(found, dict) else None

    def needed(self, name: str) -> float:
        found = self.value(name)
        if found is None:
            raise InputError(f"{self._place}: no {name}.avg in it")
        return found

    def seconds(self, name: str, statistic: str) -> float | None:
        found = self.value(name, statistic)
        if found is None:
            return None
        unit = str(self._table[name].get("unit"))
        if unit not in SECONDS:
            raise InputError(f"{self._place}: {name}.unit is {unit!r}, none of {', '.join(SECONDS)}")
        return found * SECONDS[unit]


def _load(place: str, config: Any, key: str) -> float | None:
    """The one value of a key of the load, wherever the version at hand keeps it; warm-up phases do not count."""
    values = sorted({float(v) for v in _values(config, key) if isinstance(v, int | float) and v})
    if len(values) > 1:
        said = ", ".join(f"{value:g}" for value in values)
        raise InputError(f"{place}: input_config.{key} is {said}: one run has one load; give the file of each run")
    return values[0] if values else None


def _values(config: Any, key: str) -> Iterator[Any]:
    if isinstance(config, list):
        for part in config:
            yield from _values(part, key)
    elif isinstance(config, dict) and "warmup" not in (config.get("name"), config.get("phase")):
        for name, part in config.items():
            if name == key:
                yield part
            elif "warmup" not in str(name) and not (key == "concurrency" and "prefill" in str(name)):
                yield from _values(part, key)


def _shared_prefix(config: Any) -> str:
    """Why prompts that share a prefix are not used: how much of them the server's cache knew is not in the file."""
    prefixes = [v for prefix in _values(config, "prefix_prompt") for v in _values(prefix, "length")]
    if any(isinstance(length, int | float) and length > 0 for length in prefixes):
        return "its prompts share a prefix (input_config: prefix_prompt.length): the file does not say what was cached"
    return ""


def _unsteady(table: dict[str, Any]) -> str:
    """Why a replayed trace or agents of `tokenworks bench` are not used: no one rate and no one length describes them."""
    own = table.get("tokenworks")
    if isinstance(own, dict) and own.get("steady") is False:
        return f"no steady load: {own.get('load')}"
    return ""


def _facts(config: Any) -> dict[str, Stated]:
    names = [
        name for value in _values(config, "model_names") for name in (value if isinstance(value, list) else [value])
    ]
    return {"model": Stated("model_names", str(names[0]))} if len(names) == 1 else {}
