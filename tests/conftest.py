"""Test helpers beside the tests can be imported by name; property tests draw the same examples every time; tests that need a
PostgreSQL are named where none answers."""

import sys
from pathlib import Path

from hypothesis import settings

for folder in ("ledger", "physics", "plan", "report", "serve", "twin"):
    sys.path.insert(0, str(Path(__file__).parent / folder))
sys.path.append(str(Path(__file__).parents[1] / "benchmarks"))  # behind all else: helpers of benchmarks are tested too

settings.register_profile("repeatable", derandomize=True, deadline=None)
settings.load_profile("repeatable")


def pytest_terminal_summary(terminalreporter):
    from postgres import NO_SERVER

    skipped = terminalreporter.stats.get("skipped", [])
    names = [report.nodeid for report in skipped if NO_SERVER in str(report.longrepr)]
    if names:
        terminalreporter.section("not run on PostgreSQL")
        terminalreporter.write_line(f"{len(names)} tests: {NO_SERVER}")
        for name in names:
            terminalreporter.write_line(name)
