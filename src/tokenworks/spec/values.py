"""A value written as text, as it would stand in a factory file."""

from __future__ import annotations

from typing import Any

import yaml

from tokenworks.errors import InputError


def value_of(text: str) -> Any:
    """Text as it stands; nothing, null, {…} and […] as in the file. Raises InputError.

    >>> value_of("70% of sustainable"), value_of("null"), value_of("{ttft_p95: 2 s}")
    ('70% of sustainable', None, {'ttft_p95': '2 s'})
    """
    if text.strip() not in ("", "null", "~") and not text.lstrip().startswith(("{", "[")):
        return text
    try:
        return yaml.safe_load(text)
    except (yaml.YAMLError, ValueError) as error:
        raise InputError(f"{text} is not valid YAML: {getattr(error, 'problem', None) or error}") from None


def split(text: str) -> list[str]:
    """Values between commas; commas inside brackets and quotes divide nothing.

    >>> split("fp8, nvfp4"), split("[1, 2],null,{a: 1, b: 2}"), split("'1,5',2")
    (['fp8', 'nvfp4'], ['[1, 2]', 'null', '{a: 1, b: 2}'], ["'1,5'", '2'])
    """
    parts, depth, quote = [""], 0, ""
    for sign in text:
        if quote:
            quote = "" if sign == quote else quote
        elif sign in "'\"":
            quote = sign
        elif sign in "[{":
            depth += 1
        elif sign in "]}":
            depth -= 1
        if sign == "," and not depth and not quote:
            parts.append("")
        else:
            parts[-1] += sign
    return [part.strip() for part in parts]
