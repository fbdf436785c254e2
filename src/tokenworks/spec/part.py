"""What every part of the factory file has in common."""

from __future__ import annotations

from typing import Annotated

from pydantic import AfterValidator, BaseModel, ConfigDict, Field


def _one_line(text: str) -> str:
    if not text.strip() or not text.isprintable():
        raise ValueError("a name is one line of text that is not empty")
    return text


Name = Annotated[str, Field(min_length=1, max_length=200), AfterValidator(_one_line)]
Degree = Annotated[int, Field(ge=1, le=4096)]  # of a kind of parallelism
Port = Annotated[int, Field(ge=1, le=65_535)]
Count = Annotated[int, Field(ge=1, le=1_000_000)]  # of things that a run keeps one by one


class MisfitError(ValueError):
    """Fields that do not go together: each with its own message, so that all are said at their own places."""

    def __init__(self, *findings: tuple[str, str]):
        self.findings = findings
        super().__init__("; ".join(f"{field}: {message}" for field, message in findings))


class Part(BaseModel):
    """Base of every part: immutable, no unknown keys, YAML aliases."""

    model_config = ConfigDict(frozen=True, extra="forbid", populate_by_name=True, allow_inf_nan=False)
