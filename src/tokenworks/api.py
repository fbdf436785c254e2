"""What notebooks use: load a factory, run it, look at the summary and at Arrow tables."""

from __future__ import annotations

import os
from dataclasses import dataclass
from importlib import resources
from pathlib import Path
from typing import TYPE_CHECKING

from tokenworks.errors import InputError
from tokenworks.spec import Factory
from tokenworks.spec import load as load_file
from tokenworks.spec.loading import Check

if TYPE_CHECKING:
    import pyarrow as pa

    from tokenworks.events.results import RunResult
    from tokenworks.rehearsal import Rehearsal
    from tokenworks.report.summary import Summary

SITE_VARIABLE = "TOKENWORKS_SITE"  # environment variable: a site calibration for factories that name none


def examples() -> dict[str, Path]:
    """Shipped example factories by name."""
    installed = Path(str(resources.files("tokenworks"))) / "examples"
    folder = installed if installed.is_dir() else Path(__file__).parents[2] / "examples"
    return {path.stem: path for path in sorted(folder.glob("*.yaml"))}


def load(path: str | Path, also: Check = lambda _: (), site: str | Path | None = None) -> Factory:
    """A factory from a file, or a shipped example by name. Raises SpecError with all that is wrong, what ``also`` finds
    among it. ``site``: file of a site calibration, before the factory's own and that of TOKENWORKS_SITE."""
    made = _load(path, also)
    chosen = site or made.calibration or os.environ.get(SITE_VARIABLE)
    return made.model_copy(update={"calibration": str(chosen)}) if chosen else made


def _load(path: str | Path, also: Check) -> Factory:
    from tokenworks.workload.trace_names import trace_findings

    known = examples()
    shipped = str(path) in known and not Path(path).exists()
    if not shipped and not Path(path).exists():
        raise InputError(f"no such file: {path}. Shipped examples: {', '.join(known)}")
    return load_file(known[str(path)] if shipped else path, lambda made: (*trace_findings(made), *also(made)))


@dataclass(frozen=True, repr=False)
class Run:
    """A rehearsed factory. Shown, it is the terminal report; ``result`` holds everything as dataclasses."""

    factory: Factory
    result: RunResult
    rehearsal: Rehearsal

    @property
    def summary(self) -> Summary:
        """Headline figures with their intervals; prints as the terminal report."""
        from tokenworks.report.summary import summary

        return summary(self.result)

    def requests(self) -> pa.Table:
        """One row per request: latencies, tokens, joules, dollars. Where the run did not record them, it is rehearsed
        again with the same seed, which gives the same requests."""
        from tokenworks.rehearsal import rehearse
        from tokenworks.report.tables import requests_table

        done = self.rehearsal
        if done.log is None:
            done = rehearse(self.factory.replace("run.record_requests", True))
        assert done.log is not None
        return requests_table(done.requests, done.log, self.result)

    def timeline(self) -> pa.Table:
        """One row per service and bucket: load, queue, KV use, watts."""
        from tokenworks.report.tables import timeline_table

        return timeline_table(self.result)

    def save(self, path: str | Path) -> None:
        """Write the HTML report."""
        from tokenworks.report.html import write_html

        write_html(self.result, Path(path))

    def __repr__(self) -> str:
        return self.summary.report


def run(factory: Factory, *, advice: bool = False, quiet: bool = False) -> Run:
    """Rehearse a factory on the virtual clock, with a progress bar where it takes over a second; ``advice`` also tries
    changes that may help."""
    from tokenworks.rehearsal import rehearse
    from tokenworks.rehearsal.advice import advise
    from tokenworks.report.progress import progress

    with progress(quiet) as say:
        done = rehearse(factory, say)
        return Run(factory, advise(done, say) if advice else done.result, done)
