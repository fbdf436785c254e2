"""Where traces and client mixes are: those shipped with the package, by id, and files. Imports nothing heavy: `check`
uses it."""

from __future__ import annotations

import difflib
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import TYPE_CHECKING, Any

from tokenworks.errors import TraceError

if TYPE_CHECKING:
    from tokenworks.spec.demand import Workload
    from tokenworks.spec.factory import Factory

FOLDER = Path(__file__).parent / "traces"
MIX = "servegen-"


def trace_ids() -> tuple[str, ...]:
    return tuple(sorted(path.stem for path in FOLDER.glob("*.npz") if not path.stem.startswith(MIX)))


def mix_ids() -> tuple[str, ...]:
    return tuple(sorted(path.stem for path in FOLDER.glob(f"{MIX}*.npz")))


def trace_place(name: str) -> Path | None:
    """The file of a trace, None for a shipped one. Raises TraceError."""
    if name in trace_ids():
        return None
    if not Path(name).is_file():
        close = difflib.get_close_matches(name, trace_ids(), n=2, cutoff=0.4) or trace_ids()
        hint = " Client mixes stand under mix." if name in mix_ids() or Path(name).is_dir() else ""
        raise TraceError(f"no trace or file {name!r}. Did you mean {', '.join(close)}?{hint}")
    return Path(name)


def mix_place(name: str) -> Path | None:
    """The folder of a client mix, None for a shipped one. Raises TraceError."""
    if name in mix_ids():
        return None
    if not Path(name).is_dir():
        close = difflib.get_close_matches(name, mix_ids(), n=2, cutoff=0.4) or mix_ids()
        raise TraceError(f"no client mix or folder {name!r}. Did you mean {', '.join(close)}?")
    return Path(name)


def trace_findings(factory: Factory) -> Iterator[tuple[tuple[Any, ...], str]]:
    """(place in the factory file, message) of every trace and mix that does not exist."""
    for number, load in enumerate(factory.workload):
        for key, find, name in _named(load):
            try:
                find(name)
            except TraceError as error:
                yield ("workload", number, *key), str(error)


def _named(load: Workload) -> Iterator[tuple[tuple[str, ...], Callable[[str], Path | None], str]]:
    """(field, what finds its place, name) of every trace and mix that a workload names."""
    if load.trace is not None:
        yield ("trace",), trace_place, load.trace
    if load.mix is not None:
        yield ("mix",), mix_place, load.mix
    for key, lengths in (("input", load.input_lengths), ("output", load.output_lengths)):
        if lengths is not None and lengths.trace is not None:
            yield (key, "trace"), trace_place, lengths.trace
