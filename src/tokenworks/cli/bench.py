"""`tokenworks bench URL`: load for an OpenAI-compatible server, and what it made of it."""

from __future__ import annotations

import argparse
import sys
from pathlib import Path
from typing import TYPE_CHECKING, Any

from tokenworks.cli.arguments import at_least

if TYPE_CHECKING:
    from tokenworks.serve.bench.bench import BenchResult, Settings

FILES = ("profile_export_aiperf.json", "requests.csv", "bench.html")
STOPPING = "stopping: the report covers what was answered so far (Ctrl-C again: at once)"
LOADS = """\
Load, one of: --rate (open loop), --clients (closed loop), --trace, --agents, or --factory with the workload of a file.
  tokenworks bench http://127.0.0.1:8000 --rate 5 --input 1024 --output 256 --duration "60 s"
  tokenworks bench http://127.0.0.1:8000 --clients 16 --requests 200 --chars-per-token 4
  tokenworks bench http://127.0.0.1:8000 --agents deep-research --runs "2 per minute" --duration "5 min"
"""


def register(verbs: Any) -> None:
    parser = verbs.add_parser(
        "bench",
        help="load an OpenAI-compatible server and measure its answers",
        epilog=LOADS,
        formatter_class=argparse.RawDescriptionHelpFormatter,
    )
    parser.add_argument("url", metavar="URL", help="of the server, e.g. http://127.0.0.1:8000")
    _load_arguments(parser)
    _server_arguments(parser)
    _measure_arguments(parser)
    parser.set_defaults(run=run)


def _load_arguments(parser: argparse.ArgumentParser) -> None:
    load = parser.add_argument_group("load")
    load.add_argument("--rate", metavar="PER_S", help="requests per second of an open loop")
    load.add_argument("--arrivals", choices=("poisson", "gamma", "constant"), help="of an open loop (default: poisson)")
    load.add_argument("--cv", help="coefficient of variation of the gaps, for gamma")
    load.add_argument("--clients", metavar="N", help="callers of a closed loop")
    load.add_argument("--think", metavar="TIME", help="mean pause of a client before a request, e.g. '2 s'")
    load.add_argument("--trace", metavar="NAME", help="recorded trace: a shipped one, .csv, .jsonl or .parquet")
    load.add_argument("--agents", metavar="NAME", help="agent of the catalogue, or coding-sessions; needs --runs")
    load.add_argument("--runs", metavar="RATE", help="runs of agents that begin, e.g. '2 per minute'")
    load.add_argument("--scale", help="of a trace's rate: 2x or '12 req/s'")
    load.add_argument("--offset", metavar="TIME", help="in the trace, at which it begins")
    load.add_argument("--factory", metavar="FILE", help="play a workload of this factory file as it is written there")
    load.add_argument("--service", help="with --factory: whose workload (default: the only one)")
    load.add_argument("--input", metavar="TOKENS", help="prompts: 1024, 100:2000 (uniform) or {kind: lognormal, …}")
    load.add_argument("--output", metavar="TOKENS", help="answers, likewise (default of both: 1024)")
    load.add_argument("--duration", default="60 s", metavar="TIME", help="in which requests begin (default: 60 s)")
    load.add_argument("--requests", type=at_least(1), metavar="N", help="at most; of a closed loop the number")
    load.add_argument("--seed", type=at_least(0), default=0)


def _server_arguments(parser: argparse.ArgumentParser) -> None:
    server = parser.add_argument_group("server")
    server.add_argument("--api", choices=("chat", "completions"), help="default: chat, or what the URL says")
    server.add_argument("--model", default="", help="default: the first of /v1/models")
    server.add_argument(
        "--chars-per-token", metavar="N", help="length of prompts (default: counted by the server's /tokenize)"
    )
    server.add_argument("--ignore-eos", action="store_true", help="answers of exactly the asked length, where it can")
    server.add_argument("--extra", metavar="JSON", help="more fields of every request")
    server.add_argument(
        "--key-env", default="OPENAI_API_KEY", metavar="NAME", help="variable with the API key (default: %(default)s)"
    )
    server.add_argument("--ca", metavar="FILE", help="certificates to trust besides those of the system")
    server.add_argument("--timeout", default="10 min", metavar="TIME", help="of a request (default: 10 min)")


def _measure_arguments(parser: argparse.ArgumentParser) -> None:
    measure = parser.add_argument_group("what is measured")
    measure.add_argument("--warmup", default="0 s", metavar="TIME", help="requests before it count for nothing")
    measure.add_argument(
        "--slo", action="append", default=[], metavar="NAME=TIME", help="for goodput: ttft=500ms, tpot=50ms, e2e=10s"
    )
    measure.add_argument(
        "--most-late",
        default="20 ms",
        metavar="TIME",
        help="of the generator, p99; beyond it no report (default: 20 ms)",
    )
    measure.add_argument("--out", metavar="FOLDER", help=f"also write {', '.join(FILES)}")
    measure.add_argument("--json", action="store_true", help="print the JSON, nothing else")


def run(args: argparse.Namespace) -> int:
    from tokenworks.cli.bench_load import settings_of
    from tokenworks.cli.interrupt import asked_to_stop
    from tokenworks.report.bench_files import bench_json
    from tokenworks.report.bench_text import bench_text
    from tokenworks.report.files import refuse_unwritable
    from tokenworks.report.progress import progress
    from tokenworks.serve.bench.bench import bench

    settings: Settings = settings_of(args)
    if args.out:
        refuse_unwritable(Path(args.out))
    with progress(quiet=args.json) as say, asked_to_stop(STOPPING) as stop:
        result = bench(settings, say, stop)
    if args.out:
        _write(Path(args.out), result)
    if args.json:
        print(bench_json(result))
    else:
        sys.stdout.write(bench_text(result))
        if args.out:
            print(f"wrote {', '.join(FILES)} into {args.out}")
    return 130 if result.interrupted else 0


def _write(folder: Path, result: BenchResult) -> None:
    from tokenworks.report.bench_files import bench_csv, bench_json
    from tokenworks.report.bench_page import bench_page
    from tokenworks.report.files import write_together

    texts = (bench_json(result), bench_csv(result), bench_page(result))
    write_together({folder / name: text.encode() for name, text in zip(FILES, texts, strict=True)})
