"""Same seed, same bytes: over processes, and over fresh interpreters with other hash seeds."""

import hashlib
import os
import subprocess
import sys
from dataclasses import fields, is_dataclass
from functools import partial
from pathlib import Path

import numpy as np
import pytest
from feature_cases import feature_case

from tokenworks.twin.processes import simulate_cells

SEEDS = (3, 5, 9, 11)


def digest(value: object) -> str:
    """SHA-256 over every field of a nested result: types, shapes, bytes."""
    if is_dataclass(value):
        text = "".join(digest(getattr(value, f.name)) for f in fields(value))
    elif isinstance(value, tuple):
        text = "".join(digest(x) for x in value)
    else:
        array = np.asarray(value)
        text = f"{array.dtype}{array.shape}{array.tobytes().hex() if value is not None else None}"
    return hashlib.sha256(text.encode()).hexdigest()


def stream(seed: int):
    return feature_case(seed)[1]


def run(processes: int) -> str:
    cells = [feature_case(s)[0] for s in SEEDS]
    return digest(simulate_cells(cells, [partial(stream, s) for s in SEEDS], feature_case(SEEDS[0])[2], processes))


def fresh(hash_seed: str) -> str:
    """The digest from an interpreter of its own."""
    here = Path(__file__).parent
    environment = {**os.environ, "PYTHONHASHSEED": hash_seed}
    code = f"import sys; sys.path.insert(0, {str(here)!r}); import test_determinism as t; print(t.run(1))"
    return subprocess.run(
        [sys.executable, "-c", code], env=environment, capture_output=True, text=True, check=True
    ).stdout.strip()


@pytest.mark.parametrize("processes", [2, 3])
def test_processes_leave_every_byte(processes):
    assert run(processes) == run(1)


def test_fresh_interpreters_give_the_same_bytes():
    assert fresh("1") == fresh("2") == run(1)


def test_the_digest_sees_a_change():
    assert digest(simulate_cells([feature_case(3)[0]], [partial(stream, 3)], feature_case(3)[2])) != run(1)
    assert digest((1, np.array([2, 3]))) != digest((1, np.array([2, 4])))
