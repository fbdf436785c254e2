"""Where traces are: those shipped with the package, by id, and files. Imports nothing heavy: `check` uses it."""

from __future__ import annotations

import difflib
from pathlib import Path

from tokenworks.errors import TraceError

FOLDER = Path(__file__).parent / "traces"


def trace_ids() -> tuple[str, ...]:
    return tuple(sorted(path.stem for path in FOLDER.glob("*.npz")))


def trace_place(name: str, field: str = "") -> Path | None:
    """The file of a trace, None for a shipped one. Raises TraceError, its message begins with ``field``."""
    if name in trace_ids():
        return None
    if not Path(name).is_file():
        close = difflib.get_close_matches(name, trace_ids(), n=2, cutoff=0.4) or trace_ids()
        raise TraceError(f"{field}no trace or file {name!r}. Did you mean {', '.join(close)}?")
    return Path(name)
