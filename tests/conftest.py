"""Test helpers beside the tests can be imported by name; property tests draw the same examples every time."""

import sys
from pathlib import Path

from hypothesis import settings

for folder in ("ledger", "physics", "report", "serve", "twin"):
    sys.path.insert(0, str(Path(__file__).parent / folder))

settings.register_profile("repeatable", derandomize=True, deadline=None)
settings.load_profile("repeatable")
