"""Names of attempts: UUIDs of version 7 (RFC 9562), in order of time, so that keys come to stand side by side."""

from __future__ import annotations

import os
import time
from collections.abc import Iterator

NOISE_DIGITS, RANDOM_BYTES = 20, 5120
VARIANTS = "89ab"
_chances: list[str] = []


def uuid7() -> str:
    if not _chances:
        _chances.extend(_of_chance())
    ms = hex(time.time_ns() // 1_000_000)  # 0x and eleven digits, until the year 2527
    return f"0{ms[2:9]}-{ms[9:]}-7{_chances.pop()}"


def _of_chance() -> Iterator[str]:
    """What follows the version: 74 bits of chance, and the variant; some hundred at a time."""
    digits = os.urandom(RANDOM_BYTES).hex()
    for at in range(0, len(digits), NOISE_DIGITS):
        variant = VARIANTS[int(digits[at], 16) & 3]
        yield f"{digits[at + 1 : at + 4]}-{variant}{digits[at + 4 : at + 7]}-{digits[at + 7 : at + 19]}"
