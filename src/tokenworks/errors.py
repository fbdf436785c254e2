"""Every error that Tokenworks raises on purpose, in one tree.

TokenworksError
├── InputError            something the user wrote is wrong: exit code 2
│   ├── SpecError         … in the factory file (one or many problems, each with its place)
│   ├── TraceError        … in a trace or table (file and line)
│   ├── UnsupportedError  … is a combination that the model does not cover
│   ├── CapacityError     … is a model that does not fit its GPUs (needs X GB, has Y)
│   └── OutputError       … is a place that cannot be written
├── CatalogError          a fact is missing from the catalogue, or an entry is malformed
└── ConservationError     a run broke an invariant: a defect of Tokenworks, never of the input
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass


class TokenworksError(Exception):
    """Base of all errors raised on purpose."""


class InputError(TokenworksError):
    """Something that the user wrote is wrong; the command line answers with exit code 2."""


@dataclass(frozen=True)
class Problem:
    """One thing wrong in a file. ``line`` and ``column`` count from 1; 0 means unknown."""

    file: str
    line: int
    column: int
    field: str
    message: str

    def __str__(self) -> str:
        place = f"{self.file}:{self.line}:{self.column}" if self.line else self.file
        return f"{place}  {self.field}: {self.message}" if self.field else f"{place}  {self.message}"


class SpecError(InputError):
    """One or more problems in a factory file."""

    def __init__(self, problems: Sequence[Problem]):
        self.problems = tuple(problems)
        count = len(self.problems)
        tail = f"{count} error{'s' if count != 1 else ''}. Nothing was run."
        super().__init__("\n".join([*map(str, self.problems), tail]))


class TraceError(InputError):
    """A trace or table cannot be read; the message names file and line."""


class UnsupportedError(InputError):
    """A combination that the model does not cover; the message names it."""


class CatalogError(TokenworksError):
    """A fact is missing from the catalogue or an entry is malformed."""


class CapacityError(InputError):
    """A model does not fit: the message says what it needs and what there is."""


class OutputError(InputError):
    """A file cannot be written where it was asked for; the message names the place and why."""


class ConservationError(TokenworksError):
    """A run broke an invariant (tokens, blocks, joules or requests not conserved)."""
