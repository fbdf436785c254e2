"""`tokenworks calibrate --watch`: engines at work, looked at for a while."""

from __future__ import annotations

import argparse
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from tokenworks.accuracy.site_facts import Measured

FILE = "engine-windows.jsonl"
TIMES = {"for": "10 min", "window": "1 min", "look": "1 s"}


def watched_by(args: argparse.Namespace, measured: Measured) -> str:
    """Watches engines; the file that has their windows."""
    from pathlib import Path

    from tokenworks.accuracy.bench_formats.bench import Stated
    from tokenworks.accuracy.site_facts import completed
    from tokenworks.cli.bench_load import seconds
    from tokenworks.errors import InputError, OutputError
    from tokenworks.report.progress import progress
    from tokenworks.serve.watch.page import page_url
    from tokenworks.serve.watch.watch import Schedule, engine_at, watch

    if args.workers not in (None, 1):
        raise InputError(f"--workers {args.workers}: a watched engine is one replica; name each with a URL of its own")
    schedule = Schedule(*(seconds(f"--{name}", getattr(args, f"{name}_") or TIMES[name]) for name in TIMES))
    urls = list(dict.fromkeys(page_url(url) for url in args.watch or _pages_of(args)))
    for url in urls:  # what nobody says is asked for now, and not when the time is over
        engine, model = engine_at(url)
        completed(
            measured,
            {"engine": Stated("engine", engine)} | ({"model": Stated("model_name", model)} if model else {}),
            url,
        )
    place = Path(args.readings or FILE)
    try:
        with place.open("a", encoding="utf-8") as out, progress(quiet=False) as say:
            found = watch(urls, schedule, out, say)
    except OSError as error:
        raise OutputError(f"cannot write {place}: {error.strerror}") from error
    if not place.stat().st_size:
        raise InputError(f"no window to fit: {', '.join(urls)} began anew in each")
    windows, engines = (
        f"{n} {what}{'' if n == 1 else 's'}" for n, what in ((len(found), "window"), (len(urls), "engine"))
    )
    print(f"{windows} of {engines} in {place}")
    return str(place)


def _pages_of(args: argparse.Namespace) -> list[str]:
    """Of the upstreams of the measured service."""
    from tokenworks.api import load
    from tokenworks.errors import InputError

    if args.factory is None:
        raise InputError("--watch needs an engine's URL, or --factory with upstreams that name their metrics pages")
    factory = load(args.factory)
    service = args.service or factory.services[0].name
    found = [one.metrics for one in factory.serve.upstreams if one.service == service and one.metrics]
    if not found:
        raise InputError(f"{args.factory}: no upstream of {service} names its metrics page (serve.upstreams: metrics)")
    return found
