"""`tokenworks calibrate`: fit the performance model on measurements; with ``--with``, fit one site's own deployments."""

from __future__ import annotations

import argparse
from typing import TYPE_CHECKING, Any

from tokenworks.cli.arguments import at_least
from tokenworks.cli.calibrate_watch import FILE, TIMES, watched_by

if TYPE_CHECKING:
    from tokenworks.accuracy.site_facts import Measured

DEPLOYMENT = ("accelerator", "model", "engine", "engine_version", "weights", "kv", "tp", "pp", "dp", "ep", "workers")
SITE_FILE = "site-calibration.json"
SITE = """\
Site calibration: --with takes results of vllm bench serve, SGLang bench_serving, AIPerf, GenAI-Perf, InferenceX, or a CSV
of measurements, and writes a file that --site, TOKENWORKS_SITE or `calibration:` in a factory file then name:
  tokenworks calibrate --with results/ --accelerator h100-sxm --model llama-3.1-8b --engine vllm --weights bf16 --tp 1
  tokenworks calibrate --with results/ --factory factory.yaml --service chat
--watch takes what engines say of themselves while they work for others (vLLM, SGLang, TensorRT-LLM: their metrics pages):
  tokenworks calibrate --watch http://10.0.0.7:8000 --for "30 min" --factory factory.yaml --service chat"""


def register(verbs: Any) -> None:
    parser = verbs.add_parser(
        "calibrate",
        help="fit the performance model on measurements, or one deployment on your own",
        epilog=SITE,
        formatter_class=argparse.RawDescriptionHelpFormatter,
    )
    parser.add_argument("table", nargs="?", help="CSV of measurements (default: those shipped)")
    parser.add_argument(
        "--out",
        metavar="PLACE",
        help=f"folder of effects.json and intervals.json (default: the package's own); with --with the file of the site "
        f"calibration (default: {SITE_FILE})",
    )
    parser.add_argument(
        "--rounds", type=at_least(0), default=5, help="linearisations for the pooled effects (default: 5)"
    )
    parser.add_argument(
        "--every", type=at_least(1), default=1, help="use every N-th experiment, for a quick look (default: 1)"
    )
    parser.add_argument("--start", metavar="JSON", help="effects to start from (default: none)")
    parser.add_argument("--processes", type=at_least(1), default=2)
    _register_site(parser)
    parser.set_defaults(run=run)


def _register_site(parser: argparse.ArgumentParser) -> None:
    site = parser.add_argument_group("site calibration: what was measured")
    site.add_argument("--with", dest="results", metavar="RESULTS", nargs="+", help="files and folders of measurements")
    site.add_argument(
        "--watch", metavar="URL", nargs="*",
        help="engines that are at work, each one replica (no URL: the metrics pages that the factory's upstreams name)",
    )  # fmt: skip
    for name, said in {"for": "watch so long", "window": "a point for each", "look": "between two looks"}.items():
        site.add_argument(
            f"--{name}", dest=f"{name}_", metavar="TIME", help=f"--watch: {said} (default: {TIMES[name]})"
        )
    site.add_argument(
        "--readings", metavar="FILE", help=f"--watch: appends its windows here, and fits all in it (default: {FILE})"
    )
    site.add_argument("--factory", metavar="FILE", help="factory file whose service was measured")
    site.add_argument("--service", metavar="NAME", help="which service of it (default: its only one)")
    for name, said in {
        "accelerator": "catalogue id, e.g. h100-sxm",
        "model": "catalogue id, e.g. llama-3.1-8b",
        "engine": "catalogue id, e.g. vllm",
        "engine-version": "e.g. 0.11.0 (default: the newest that is known)",
        "weights": "precision of the weights, e.g. fp8",
    }.items():
        site.add_argument(f"--{name}", help=said)
    site.add_argument("--kv", choices=("bf16", "fp8"), help="precision of the KV cache (default: the engine's)")
    for name, said in {
        "tp": "tensor-parallel degree",
        "pp": "pipeline stages (default: 1)",
        "dp": "attention data-parallel ranks (default: 1)",
        "ep": "expert-parallel ranks (default: 1)",
        "workers": "replicas behind the measured address (default: 1)",
    }.items():
        site.add_argument(f"--{name}", type=at_least(1), help=said)


def run(args: argparse.Namespace) -> int:
    from tokenworks.errors import InputError

    times = [f"{name}_" for name in TIMES]
    if args.watch is None and (given := _given(args, *times, "readings")):
        raise InputError(f"{given[0]} belongs to --watch")
    if args.results or args.watch is not None:
        return _site(args)
    if given := _given(args, *DEPLOYMENT, "factory", "service"):
        raise InputError(
            f"{given[0]} belongs to a site calibration: name the results with --with, or engines with --watch"
        )
    return _shipped(args)


def _given(args: argparse.Namespace, *names: str) -> list[str]:
    """Flags that were given."""
    return [f"--{name.rstrip('_').replace('_', '-')}" for name in names if getattr(args, name) is not None]


def _shipped(args: argparse.Namespace) -> int:
    from pathlib import Path

    from tokenworks.accuracy.calibrate import calibrate
    from tokenworks.accuracy.packed import load_measurements
    from tokenworks.accuracy.rows import read_csv
    from tokenworks.errors import InputError
    from tokenworks.physics.terms import CALIBRATION
    from tokenworks.report.files import refuse_unwritable

    folder = Path(args.out) if args.out else CALIBRATION
    refuse_unwritable(folder)
    if args.start and not Path(args.start).is_file():
        raise InputError(f"no such file: {args.start}")
    measured = read_csv(Path(args.table)) if args.table else load_measurements()
    calibrate(
        measured,
        folder,
        args.rounds,
        args.every,
        args.processes,
        print,
        Path(args.start) if args.start else None,
    )
    return 0


def _site(args: argparse.Namespace) -> int:
    from pathlib import Path

    from tokenworks.accuracy.bench_formats.read import read_results
    from tokenworks.accuracy.site_make import calibrated, refuse_to_overwrite, said, site_file
    from tokenworks.accuracy.site_points import points_of
    from tokenworks.errors import InputError
    from tokenworks.report.files import refuse_unwritable, write_whole
    from tokenworks.report.progress import progress

    if args.table:
        raise InputError(f"{args.table} stands before {'--with' if args.results else '--watch'}: name all behind it")
    out = Path(args.out or SITE_FILE)
    refuse_unwritable(out.parent)
    refuse_to_overwrite(out)
    measured = _measured(args)
    watched = [] if args.watch is None else [watched_by(args, measured)]
    sources = read_results([*(args.results or ()), *watched])
    points, unused = points_of(sources, measured)
    if not points:
        raise InputError("\n".join(["nothing to calibrate with:", *(f"  {its.place}: {its.reason}" for its in unused)]))
    with progress(quiet=False) as say:
        found = calibrated(points, say)
    write_whole(out, site_file(found, sources, unused))
    print(said(found, unused))
    print(f"wrote {out}; next: tokenworks run FACTORY --site {out}")
    return 0


def _measured(args: argparse.Namespace) -> Measured:
    """What the flags, or a factory's service, say of the deployment."""
    from tokenworks.accuracy.site_facts import of_flags, of_service
    from tokenworks.api import load
    from tokenworks.errors import InputError
    from tokenworks.physics.fleet import fleet

    given = {name: getattr(args, name) for name in DEPLOYMENT}
    workers = given["workers"] if args.watch is None else 1
    if args.factory is None:
        if args.service:
            raise InputError(f"--service {args.service} needs --factory: the file that describes it")
        return of_flags(given)
    flags = [name for name, value in given.items() if value is not None and name != "workers"]
    if flags:
        raise InputError(f"--{flags[0].replace('_', '-')} and --factory: the factory file says it; leave one out")
    replicas = fleet(load(args.factory).model_copy(update={"calibration": None}))
    names = [r.service.name for r in replicas]
    if args.service not in (None, *names):
        raise InputError(f"no service {args.service!r} in {args.factory}; there are {', '.join(names)}")
    if args.service is None and len(names) > 1:
        raise InputError(
            f"{args.factory} has several services: name the measured one with --service, {' or '.join(names)}"
        )
    return of_service(replicas[names.index(args.service) if args.service else 0], workers)
