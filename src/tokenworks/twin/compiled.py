"""How the kernel is compiled.

``_nrt=False``: numba counts references of arrays with atomic operations wherever they are passed; the kernel passes two
dozen arrays through every event and allocates nothing, and counting took nine tenths of its time. The caller of
`kernel.run` holds all arrays alive.
``hot``: functions of the main path are merged into their callers by LLVM: a call with two dozen arrays moves kilobytes.
Functions that only the kernel calls have no wrapper for Python, which would take half of the time to compile.
"""

from __future__ import annotations

import contextlib
from pathlib import Path
from typing import Any

import tokenworks.control.compiled

njit: Any = tokenworks.control.compiled.njit  # its types know neither `_nrt` nor wrappers


def forget_stale() -> None:
    """Drop compiled functions that are older than any source of the kernel: numba looks only at a function's own file,
    but the functions and columns of other files are compiled into it."""
    here = Path(__file__).parent
    sources = [*here.glob("*.py"), *(here.parent / "control").glob("*.py")]
    newest = max(path.stat().st_mtime for path in sources)
    for index in (here / "__pycache__").glob("*.nbi"):
        with contextlib.suppress(OSError):
            if index.stat().st_mtime < newest:
                index.unlink()


forget_stale()
_options: dict[str, Any] = {"cache": True, "_nrt": False, "error_model": "numpy"}
_inner = {**_options, "no_cpython_wrapper": True, "no_cfunc_wrapper": True}
entry = njit(**_options, nogil=True)  # may be called from Python; other threads go on meanwhile
compiled = njit(**_inner)
inlined = njit(**_inner, inline="always")
hot = njit(**_inner, forceinline=True)
