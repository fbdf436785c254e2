"""Test helpers beside the tests can be imported by name."""

import sys
from pathlib import Path

for folder in ("physics", "twin"):
    sys.path.insert(0, str(Path(__file__).parent / folder))
