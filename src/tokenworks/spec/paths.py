"""Paths to fields, as `Factory.replace` takes them: which exist."""

from __future__ import annotations

from typing import Any

from pydantic import BaseModel

from tokenworks.errors import Problem, SpecError
from tokenworks.spec.factory import Factory
from tokenworks.spec.messages import fields_of, near, part_in


def refuse_unknown(factory: Factory, path: str) -> None:
    """Whether a path leads to a field of this factory; its value is not looked at. Raises SpecError with near names."""
    here: Any = factory
    model: type[BaseModel] | None = Factory
    parts = path.split(".")
    for depth, part in enumerate(parts):
        if isinstance(here, tuple):
            here = here[_place(here, part, path)]
            model = type(here) if isinstance(here, BaseModel) else None
            continue
        if model is None:
            raise _problem(path, f"{parts[depth - 1]} is a single value, it has no fields")
        names = fields_of(model)
        if part not in names:
            raise _problem(path, f"unknown field {part!r}{near(part, list(names))}")
        here = getattr(here, names[part], None)
        model = part_in(model.model_fields[names[part]].annotation)


def _place(items: tuple[Any, ...], part: str, path: str) -> int:
    """The number of an entry of a list, which its number or its name says."""
    if part.isdigit() and int(part) < len(items):
        return int(part)
    names = [str(getattr(i, "name", None) or getattr(i, "id", None) or getattr(i, "service", "")) for i in items]
    if part in names:
        return names.index(part)
    if not items:
        raise _problem(path, f"no entry {part!r}: the list is empty")
    raise _problem(path, f"no entry {part!r}{near(part, names)}")


def _problem(path: str, message: str) -> SpecError:
    return SpecError([Problem("", 0, 0, path, message)])
