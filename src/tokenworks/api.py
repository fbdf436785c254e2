"""What notebooks use: load, run, estimate."""

from __future__ import annotations

from importlib import resources
from pathlib import Path
from typing import TYPE_CHECKING

from tokenworks.errors import InputError
from tokenworks.spec import Factory
from tokenworks.spec import load as load_file

if TYPE_CHECKING:
    import pyarrow as pa

    from tokenworks.events.results import RunResult


def examples() -> dict[str, Path]:
    """Shipped example factories by name."""
    installed = Path(str(resources.files("tokenworks"))) / "examples"
    folder = installed if installed.is_dir() else Path(__file__).parents[2] / "examples"
    return {path.stem: path for path in sorted(folder.glob("*.yaml"))}


def load(path: str | Path) -> Factory:
    """A factory from a file, or a shipped example by name."""
    from tokenworks.workload.trace_names import trace_findings

    known = examples()
    shipped = str(path) in known and not Path(path).exists()
    if not shipped and not Path(path).exists():
        raise InputError(f"no such file: {path}. Shipped examples: {', '.join(known)}")
    return load_file(known[str(path)] if shipped else path, trace_findings)


def run(factory: Factory) -> RunResult:
    """Rehearse a factory on the virtual clock."""
    from tokenworks.rehearsal import run_factory

    return run_factory(factory)


def requests(factory: Factory) -> tuple[RunResult, pa.Table]:
    """Rehearse a factory and keep every request, as an Arrow table."""
    from tokenworks.rehearsal import rehearse
    from tokenworks.report.tables import requests_table

    done = rehearse(factory.replace("run.record_requests", True))
    assert done.log is not None
    return done.result, requests_table(done.requests, done.log, done.services)
