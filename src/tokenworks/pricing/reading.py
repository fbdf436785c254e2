"""Reads YAML and TOML files of this room: numbers stay exact, every problem has file, line, column and field."""

from __future__ import annotations

import tomllib
from decimal import Decimal, InvalidOperation
from pathlib import Path
from typing import Any, TypeVar

import yaml
from pydantic import BaseModel, ValidationError

from tokenworks.errors import InputError, Problem, SpecError
from tokenworks.spec.marks import Marks, compose
from tokenworks.spec.messages import LIMITS, TYPES, near, own_errors
from tokenworks.spec.part import MisfitError

Shape = TypeVar("Shape", bound=BaseModel)


class _Exact(yaml.SafeLoader):
    """Numbers with a point become decimals of the very digits that the file shows."""


def _number(loader: yaml.SafeLoader, node: yaml.ScalarNode) -> Decimal | str:
    """What is no plain decimal (.inf, 1:30) stays text and is refused where a number is wanted."""
    try:
        return Decimal(str(node.value).replace("_", ""))
    except InvalidOperation:
        return str(node.value)


_Exact.add_constructor("tag:yaml.org,2002:float", _number)


def read(path: str | Path, shape: type[Shape]) -> Shape:
    """The file as ``shape``. Raises InputError, SpecError with every problem found."""
    try:
        text = Path(path).read_text(encoding="utf-8")
    except (OSError, UnicodeDecodeError) as error:
        raise InputError(f"cannot read {path}: {error}") from None
    return parsed(text, shape, str(path))


def parsed(text: str, shape: type[Shape], name: str = "plan.yaml") -> Shape:
    """The text as ``shape``; TOML where the name ends so, else YAML."""
    data, marks = _toml(text, name) if name.endswith(".toml") else _yaml(text, name)
    return checked(data, shape, marks)


def checked(data: Any, shape: type[Shape], marks: Marks) -> Shape:
    try:
        return shape.model_validate(data)
    except ValidationError as error:
        problems = [p for one in own_errors(error) for p in _problems(one, shape, marks)]
        raise SpecError(sorted(dict.fromkeys(problems), key=lambda p: (p.line, p.column))) from None


def _yaml(text: str, name: str) -> tuple[Any, Marks]:
    try:
        root = yaml.compose(text, Loader=yaml.SafeLoader)
    except (yaml.YAMLError, RecursionError):
        root = None  # compose says what is wrong, and where
    if root is not None and not isinstance(root, yaml.MappingNode):
        raise SpecError([Problem(name, 1, 1, "", "the file is a mapping of keys to values")])
    _, marks = compose(text, name)
    return yaml.load(text, Loader=_Exact), marks


def _toml(text: str, name: str) -> tuple[Any, Marks]:
    try:
        return tomllib.loads(text, parse_float=Decimal), Marks.nowhere(name)
    except tomllib.TOMLDecodeError as error:
        raise SpecError([Problem(name, 0, 0, "", f"not valid TOML: {error}")]) from None


def _problems(error: Any, shape: type[BaseModel], marks: Marks) -> list[Problem]:
    cause = error.get("ctx", {}).get("error")
    place = marks.place_of(error["loc"])
    if isinstance(cause, MisfitError):
        return [marks.problem((*place, *_parts(key)), text) for key, text in cause.findings]
    return [marks.problem(place, _said(error, shape))]


def _parts(key: str) -> list[int | str]:
    return [int(part) if part.isdigit() else part for part in key.split(".")]


def _said(error: Any, shape: type[BaseModel]) -> str:
    kind, message = error["type"], str(error["msg"]).removeprefix("Value error, ")
    shown = repr(error["input"])[:60]
    if kind == "extra_forbidden":
        return f"unknown key{near(str(error['loc'][-1]), keys_at(shape, error['loc'][:-1]))}"
    if kind == "missing":
        return f"needs {error['loc'][-1]!r}"
    if kind == "literal_error":
        choices = [c.strip("' ") for c in message.split("be ")[-1].replace(" or ", ",").split(",")]
        return f"{shown} is not one of {', '.join(choices)}{near(str(error['input']), choices)}"
    if kind in LIMITS:
        key, text = LIMITS[kind]
        return text.format(value=shown, limit=error["ctx"][key])
    known = ", ".join(keys_at(shape, error["loc"]))
    return TYPES.get(kind, "").format(**{**error.get("ctx", {}), "value": shown, "known": known}) or message


def keys_at(shape: Any, place: tuple[Any, ...]) -> list[str]:
    """Keys that a file may have at a place."""
    for part in place:
        if isinstance(part, int):
            continue
        field = next((f for n, f in shape.model_fields.items() if part in (n, f.alias)), None)
        shape = _inner(field.annotation) if field else None
        if shape is None:
            return []
    return [f.alias or n for n, f in shape.model_fields.items()]


def _inner(annotation: Any) -> Any:
    if isinstance(annotation, type) and issubclass(annotation, BaseModel):
        return annotation
    return next((found for a in getattr(annotation, "__args__", ()) if (found := _inner(a))), None)
