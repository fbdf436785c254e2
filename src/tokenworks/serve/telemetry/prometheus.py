"""Lines of a page in Prometheus' text format, or OpenMetrics'."""

from __future__ import annotations

import re

# Nothing but the end of a line is tried twice (possessive quantifiers): the time is linear, whatever a page holds.
LINE = re.compile(
    r"^([a-zA-Z_:][a-zA-Z0-9_:]*+)(?:\{((?:[^\"}\n]|\"(?:[^\"\\\n]|\\.)*+\")*+)\})?[ \t]++(\S++)(?:[ \t]++-?\d++)?[ \t]*+$",
    re.M,
)


def lines(page: str) -> list[tuple[str, str, float]]:
    """(name, labels as they are written, value); what is no finite number is left out.

    >>> lines('up{at="a"} 1\\nup{at="b"} NaN\\n# HELP x y\\nfree 2.5 1700000000')
    [('up', 'at="a"', 1.0), ('free', '', 2.5)]
    """
    found = []
    for name, labels, text in LINE.findall(page):
        try:
            value = float(text)
        except ValueError:
            continue
        if abs(value) < float("inf"):
            found.append((name, labels, value))
    return found
