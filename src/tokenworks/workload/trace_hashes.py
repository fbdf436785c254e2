"""Prefix hashes of a row: whole numbers of 64 bits, as a list or as text."""

from __future__ import annotations

import math
import re
from typing import Any

MOST = 2**64 - 1
_BETWEEN = re.compile(r"[\s,;|\[\]()\"']+")
_HASH = re.compile(r"(0x)?[0-9a-f]{1,20}", re.IGNORECASE)


def hash_ids(given: Any) -> list[str]:
    """The hashes, each as text; none where the field is empty. Raises ValueError that names the wrong one."""
    if given is None or (isinstance(given, float) and math.isnan(given)):
        return []
    if isinstance(given, str):
        return [_checked(i, text) for i, text in enumerate(filter(None, _BETWEEN.split(given)))]
    if not isinstance(given, list | tuple):
        raise ValueError(f"hash_ids is {given!r}, not a list")
    return [_checked(i, one) for i, one in enumerate(given)]


def _checked(index: int, given: Any) -> str:
    if type(given) is int and 0 <= given <= MOST:
        return str(given)
    whole = isinstance(given, float) and given.is_integer()
    text = str(int(given)) if whole else str(given).removesuffix(".")  # numpy writes 3. for a float that is whole
    if isinstance(given, bool) or not _HASH.fullmatch(text) or int(text, 10 if text.isdecimal() else 16) > MOST:
        raise ValueError(f"hash_ids[{index}] is {str(given)[:40]!r}; a hash is a whole number from 0 to 2^64 − 1")
    return text
