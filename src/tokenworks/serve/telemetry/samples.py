"""A Prometheus text page as numbers by name and labels."""

from __future__ import annotations

import re
from collections.abc import Iterator
from dataclasses import dataclass, field

from tokenworks.serve.telemetry.prometheus import lines

Labels = frozenset[tuple[str, str]]
LABEL = re.compile(r'(?<![a-zA-Z0-9_])([a-zA-Z_][a-zA-Z0-9_]*+)="((?:[^"\\]|\\.)*+)"')  # in linear time, as `LINE`
ESCAPES = {"\\\\": "\\", '\\"': '"', "\\n": "\n"}


@dataclass(frozen=True)
class Samples:
    """All samples of one page; what is no finite number is left out."""

    of: dict[str, dict[Labels, float]] = field(default_factory=dict)

    def total(self, name: str, **labels: str) -> float | None:
        """Sum over all samples with these labels; None where there is none."""
        found = [value for _, value in self.having(name, **labels)]
        return sum(found) if found else None

    def having(self, name: str, **labels: str) -> Iterator[tuple[dict[str, str], float]]:
        wanted = set(labels.items())
        for key, value in self.of.get(name, {}).items():
            if wanted <= key:
                yield dict(key), value

    def values(self, name: str, label: str) -> list[str]:
        """Distinct values of a label, in the order of the page."""
        return list(dict.fromkeys(found[label] for found, _ in self.having(name) if label in found))


def samples(page: str) -> Samples:
    """
    >>> samples('up{at="a"} 1\\nup{at="b"} NaN\\n# HELP x y\\nfree 2.5').of
    {'up': {frozenset({('at', 'a')}): 1.0}, 'free': {frozenset(): 2.5}}
    """
    found: dict[str, dict[Labels, float]] = {}
    for name, labels, value in lines(page):
        key = frozenset((label, _plain(said)) for label, said in LABEL.findall(labels))
        found.setdefault(name, {})[key] = value
    return Samples(found)


def _plain(said: str) -> str:
    return re.sub(r'\\[\\"n]', lambda m: ESCAPES[m.group()], said)
