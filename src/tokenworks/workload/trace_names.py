"""Where traces and client mixes are: those shipped with the package, by id, and files. Imports nothing heavy: `check`
uses it."""

from __future__ import annotations

import difflib
from collections.abc import Iterator, Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Any, Protocol

from tokenworks.errors import TraceError

if TYPE_CHECKING:
    from tokenworks.spec.demand import Workload


class Asking(Protocol):
    """A file that says who asks: a factory's, a demand's."""

    @property
    def workload(self) -> Sequence[Workload]: ...


Place = tuple[Any, ...]
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


def trace_findings(asking: Asking) -> Iterator[tuple[Place, str]]:
    """(place in the file, message) of every trace and mix that does not exist."""
    for place, kind, name in sources(asking):
        try:
            (mix_place if kind == "mix" else trace_place)(name)
        except TraceError as error:
            yield place, str(error)


def sources(asking: Asking) -> Iterator[tuple[Place, str, str]]:
    """(place in the file, "trace" or "mix", name) of everything that requests are read from."""
    for number, load in enumerate(asking.workload):
        place: Place = ("workload", number)
        if load.trace is not None:
            yield (*place, "trace"), "trace", load.trace
        if load.mix is not None:
            yield (*place, "mix"), "mix", load.mix
        for key, lengths in (("input", load.input_lengths), ("output", load.output_lengths)):
            if lengths is not None and lengths.trace is not None:
                yield (*place, key, "trace"), "trace", lengths.trace
