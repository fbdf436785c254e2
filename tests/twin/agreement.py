"""Do two results agree in every field, exactly?"""

from __future__ import annotations

from dataclasses import fields, is_dataclass

import numpy as np


def disagreements(a: object, b: object, path: str = "") -> list[str]:
    """Names of the fields in which two nested results differ."""
    if is_dataclass(a) and is_dataclass(b):
        return [x for f in fields(a) for x in disagreements(getattr(a, f.name), getattr(b, f.name), f"{path}.{f.name}")]
    if isinstance(a, tuple) and isinstance(b, tuple) and len(a) == len(b):
        return [x for i, (p, q) in enumerate(zip(a, b, strict=True)) for x in disagreements(p, q, f"{path}[{i}]")]
    return [] if np.array_equal(np.asarray(a), np.asarray(b)) else [f"{path}: {a!r} ≠ {b!r}"[:500]]
