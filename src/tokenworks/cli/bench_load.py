"""From the words of `bench` to what is played. Each raises InputError that names the option."""

from __future__ import annotations

import argparse
import json
import math
import ssl
from pathlib import Path
from typing import Any

from pydantic import ValidationError

from tokenworks.cli.arguments import value_of
from tokenworks.errors import InputError
from tokenworks.serve.bench.address import address_of
from tokenworks.serve.bench.asking import Wanted, key_of
from tokenworks.serve.bench.bench import Settings
from tokenworks.serve.bench.demand import Demand, demand_of
from tokenworks.serve.bench.measures import Objectives
from tokenworks.spec.demand import COUNTED, Workload
from tokenworks.spec.quantities import SECONDS, parse

SOURCES = ("rate", "clients", "trace", "agents", "factory")
MADE_UP = ("rate", "clients")
BELONGS = {
    "arrivals": ("rate",), "cv": ("rate",), "think": ("clients",), "runs": ("agents",), "scale": ("trace",),
    "offset": ("trace",), "service": ("factory",), "requests": (*MADE_UP, "trace", "factory"), "input": MADE_UP,
    "output": MADE_UP,
}  # fmt: skip


def settings_of(args: argparse.Namespace) -> Settings:
    wanted = Wanted(
        address_of(args.url, args.api),
        args.model,
        key_of(args.key_env),
        _number("--chars-per-token", args.chars_per_token, 0.1, 100.0),
        args.ignore_eos,
        _extra(args.extra),
        args.seed,
    )
    return Settings(
        wanted,
        demand(args),
        seconds("--warmup", args.warmup),
        seconds("--timeout", args.timeout),
        seconds("--most-late", args.most_late),
        objectives(args.slo),
        _trust(args.ca),
    )


def demand(args: argparse.Namespace) -> Demand:
    """The requests that are asked for."""
    given = [name for name in SOURCES if getattr(args, name) is not None]
    if len(given) != 1:
        raise InputError(
            f"say one load: {', '.join(f'--{name}' for name in SOURCES)}; given: {', '.join(given) or 'none'}"
        )
    for name, owners in BELONGS.items():
        if getattr(args, name) is not None and given[0] not in owners:
            raise InputError(f"--{name} belongs to {' or '.join(f'--{o}' for o in owners)}, not to --{given[0]}")
    duration_s = seconds("--duration", args.duration)
    if duration_s <= 0:
        raise InputError("--duration must be above 0 s")
    load, rate_s = _of_factory(args) if args.factory else _stated(args, given[0])
    if load.arrivals is not None and load.arrivals.kind in COUNTED:
        rate_s, duration_s = 0.0, math.inf
    return demand_of(load, rate_s, duration_s, args.seed, args.requests, args.arrivals == "constant")


def _stated(args: argparse.Namespace, source: str) -> tuple[Workload, float]:
    from tokenworks.rehearsal.demand import rate_of

    load = _workload({"service": "bench", **_source(args, source), **_lengths(args)})
    if load.scale.kind == "sustainable":
        raise InputError("--scale: what a server sustains is not known here; write 2x or '12 req/s'")
    return load, rate_of(load, 0.0)


def _source(args: argparse.Namespace, source: str) -> dict[str, Any]:
    if source == "rate":
        kind = "gamma" if args.arrivals == "gamma" else "poisson"
        return {"arrivals": {"kind": kind, "rate": args.rate, **_given(cv=args.cv)}}
    if source == "clients":
        return {
            "arrivals": {
                "kind": "closed-loop",
                "clients": args.clients,
                **_given(think=args.think, requests=args.requests),
            }
        }
    if source == "trace":
        return {"trace": args.trace, **_given(scale=args.scale, offset=args.offset)}
    return {"agents": args.agents, **_given(runs=args.runs)}


def _given(**values: Any) -> dict[str, Any]:
    return {name: value for name, value in values.items() if value is not None}


def _lengths(args: argparse.Namespace) -> dict[str, Any]:
    return {name: lengths(f"--{name}", getattr(args, name)) for name in ("input", "output") if getattr(args, name)}


def lengths(option: str, text: str) -> Any:
    """
    >>> lengths("--input", "1024"), lengths("--input", "100:2000")
    ({'mean': '1024'}, {'kind': 'uniform', 'low': '100', 'high': '2000'})
    """
    if text.strip().startswith("{"):
        return value_of(text)
    low, between, high = text.partition(":")
    if not low.strip().isdecimal() or (between and not high.strip().isdecimal()):
        raise InputError(
            f"{option} {text}: write tokens as 1024, 100:2000 or {{kind: lognormal, mean: 1000, sigma: 0.8}}"
        )
    return {"kind": "uniform", "low": low.strip(), "high": high.strip()} if between else {"mean": low.strip()}


def _workload(fields: dict[str, Any]) -> Workload:
    try:
        return Workload.model_validate(fields)
    except ValidationError as error:
        first = error.errors()[0]
        said = first["msg"].removeprefix("Value error, ")
        place = "-".join(str(part) for part in first["loc"] if part != "arrivals")
        raise InputError(f"--{place}: {said}" if place else f"--{said}") from None


def _of_factory(args: argparse.Namespace) -> tuple[Workload, float]:
    """The workload that a factory file has for a service, at the rate at which a rehearsal would play it."""
    from tokenworks.api import load
    from tokenworks.rehearsal.demand import rate_of, sustainable_rate_s
    from tokenworks.rehearsal.plant import plant

    factory = load(args.factory)
    names = [s.name for s in factory.services]
    if args.service not in (None, *names):
        raise InputError(f"--service {args.service}: no such service in {args.factory}; there are {', '.join(names)}")
    loads = [w for w in factory.workload if args.service in (None, w.service)]
    if len(loads) != 1:
        said = ", ".join(f"{w.service} ({w.source})" for w in loads)
        raise InputError(
            f"{args.factory}: a bench plays one workload, and there are {len(loads)}: {said}; see --service"
        )
    known = loads[0].scale.kind != "sustainable"
    sustains = 0.0 if known else sustainable_rate_s(plant(factory), names.index(loads[0].service), loads[0])
    return loads[0], rate_of(loads[0], sustains)


def seconds(option: str, text: str) -> float:
    try:
        return parse(text, SECONDS, "60 s")
    except ValueError as error:
        raise InputError(f"{option}: {error}") from None


def objectives(texts: list[str]) -> Objectives:
    """
    >>> objectives(["ttft=500ms", "tpot=50 ms"])
    Objectives(ttft_s=0.5, tpot_s=0.05, e2e_s=None)
    """
    found = dict[str, float]()
    for text in texts:
        name, _, value = text.partition("=")
        if name.strip() not in ("ttft", "tpot", "e2e"):
            raise InputError(f"--slo {text}: write ttft=500ms, tpot=50ms or e2e=10s")
        found[f"{name.strip()}_s"] = seconds(f"--slo {name}", value.strip())
    return Objectives(**found)


def _number(option: str, text: str | None, low: float, high: float) -> float | None:
    if text is None:
        return None
    try:
        value = float(text)
    except ValueError:
        value = math.nan
    if not low <= value <= high:
        raise InputError(f"{option} {text}: write a number from {low:g} to {high:g}")
    return value


def _extra(text: str | None) -> dict[str, Any]:
    if text is None:
        return {}
    try:
        found = json.loads(text)
    except ValueError as error:
        raise InputError(f"--extra is not JSON: {error}") from None
    if not isinstance(found, dict):
        raise InputError('--extra must be a JSON object, for example {"temperature": 0}')
    return found


def _trust(path: str | None) -> ssl.SSLContext | None:
    if path is None:
        return None
    if not Path(path).is_file():
        raise InputError(f"--ca: no such file: {path}")
    context = ssl.create_default_context()
    try:
        context.load_verify_locations(path)
    except ssl.SSLError as error:
        raise InputError(f"--ca {path}: {error.reason or error}") from None
    return context
