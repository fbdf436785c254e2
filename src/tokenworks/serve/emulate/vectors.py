"""Vectors of an emulated embedding model: of length 1, a function of their text alone.

The coordinates are the text's SHAKE-256, so different texts have nothing in common, and fewer dimensions are the first of
more, as with Matryoshka embeddings.
"""

from __future__ import annotations

from base64 import b64encode
from hashlib import shake_256

import numpy as np
from numpy.typing import NDArray

BYTES = 4  # of the hash, for each coordinate


def vector(text: bytes, dimensions: int) -> NDArray[np.float32]:
    """A point drawn evenly from a cube around the origin, and moved to the sphere."""
    drawn = np.frombuffer(shake_256(text).digest(BYTES * dimensions), "<u4").astype(np.float64)
    centred = drawn + 0.5 - 2.0**31  # never 0
    return np.asarray(centred / np.linalg.norm(centred), np.float32)


def as_base64(of: NDArray[np.float32]) -> str:
    """Little-endian floats of 32 bits, as OpenAI writes them."""
    return b64encode(of.astype("<f4").tobytes()).decode()
