"""What the full-size proofs of the gateway share: their options, their section of docs/serve-proof.md, processes under test."""

import argparse
import contextlib
import dataclasses
import datetime as dt
import json
import os
import platform
import shutil
import subprocess
import sys
import tempfile
import time
import urllib.request
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

from gateway import free_port
from pages import section

ROOT = Path(__file__).parents[1]
PAGE = "serve-proof.md"
PACE = ("--emulate", "--speed", "10", "--streams", "4")  # of emulated workers that answer soon
Found = dict[str, Any]


def options(said: str) -> argparse.ArgumentParser:
    parser = argparse.ArgumentParser(description=said, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--json", action="store_true", help="print the figures as JSON, nothing else")
    size = parser.add_mutually_exclusive_group()
    size.add_argument("--quick", action="store_true", help="a small one, to see that it works: never on the page")
    size.add_argument("--page", action="store_true", help=f"write the section of docs/{PAGE}")
    return parser


def tell(name: str, args: argparse.Namespace, found: Found, lines: Callable[[Found], list[str]]) -> None:
    """Prints, writes the section of a full one, and ends with 1 where what had to hold did not."""
    text = "\n".join(lines(found))
    if args.page:
        machine = f"{os.cpu_count()} cores, {platform.machine()}, Python {platform.python_version()}"
        section(PAGE, name, f"Made on {dt.date.today()}: {machine}.\n\n{text}")
    print(json.dumps(found) if args.json else text)
    for broken in found["broken"]:
        print(f"{name}: {broken}", file=sys.stderr)
    sys.exit(1 if found["broken"] else 0)


@contextlib.contextmanager
def folder(name: str) -> Iterator[Path]:
    made = Path(tempfile.mkdtemp(prefix=f"gateway-{name}-"))
    try:
        yield made
    finally:
        shutil.rmtree(made, ignore_errors=True)


def greeted(process: subprocess.Popen[bytes], port: int, log: Path, limit_s: float) -> None:
    end_s = time.monotonic() + limit_s
    while process.poll() is None and time.monotonic() < end_s:
        with contextlib.suppress(OSError):
            urllib.request.urlopen(f"http://127.0.0.1:{port}/v1/health/live", timeout=1).read()
            return
        time.sleep(0.05)
    raise SystemExit(f"tokenworks serve does not answer at port {port}: {log.read_text()[-2000:]}")


@contextlib.contextmanager
def serving(file: Path, *more: str, limit_s: float = 120.0) -> Iterator[tuple[subprocess.Popen[bytes], int]]:
    """`tokenworks serve FILE` in the file's folder, with its ledger there; what it says goes to ``serve.log``."""
    port = free_port()
    command = [sys.executable, "-m", "tokenworks", "serve", file.name, "--port", str(port), "--ledger", "ledger.db"]
    with open(file.parent / "serve.log", "wb") as log:
        process = subprocess.Popen(
            [*command, *more], cwd=file.parent, stdout=log, stderr=log, env={**os.environ, "TOKENWORKS_KEYS": ""}
        )
    try:
        greeted(process, port, file.parent / "serve.log", limit_s)
        yield process, port
    finally:
        if process.poll() is None:
            process.terminate()
        process.wait(60)


@dataclasses.dataclass
class Emulating:
    """A gateway over emulated workers; ``broken`` is filled at its end."""

    process: subprocess.Popen[bytes]
    port: int
    broken: list[str] = dataclasses.field(default_factory=list)


@contextlib.contextmanager
def emulating(name: str) -> Iterator[Emulating]:
    """In one process; it must end well and have logged no error."""
    with folder(name) as place:
        (place / "laptop.yaml").write_text((ROOT / "examples" / "laptop.yaml").read_text())
        with serving(place / "laptop.yaml", *PACE) as (process, port):
            gate = Emulating(process, port)
            yield gate
        said = (place / "serve.log").read_text()
    if process.returncode != 0:
        gate.broken.append(f"the gateway ended with {process.returncode}")
    if "Traceback" in said or "ERROR" in said:
        gate.broken.append(f"the gateway's log: {said[-1500:]}")


def by_status(statuses: dict[int, int]) -> str:
    return ", ".join(f"{status}: {count:,}" for status, count in statuses.items())
