"""YAML with places: where each field of a file stands."""

from __future__ import annotations

from dataclasses import dataclass, field
from typing import Any

import yaml

from tokenworks.errors import Problem, SpecError

_Loader: Any = getattr(yaml, "CSafeLoader", yaml.SafeLoader)
Place = tuple[Any, ...]


@dataclass
class Marks:
    """Line and column of every field of one file."""

    file: str
    at: dict[Place, tuple[int, int]] = field(default_factory=dict)
    keys: set[Any] = field(default_factory=set)

    @classmethod
    def nowhere(cls, file: str) -> Marks:
        """For values that never stood in a file."""
        return cls(file, {}, _Everything())

    def place_of(self, location: Place) -> Place:
        """The part of a validator's location that stands in the file."""
        found: Place = ()
        for part in location:
            if (*found, part) in self.at or (not self.at and (part in self.keys or isinstance(part, int))):
                found = (*found, part)
        return found

    def problem(self, place: Place, message: str) -> Problem:
        line, column = next((self.at[place[:n]] for n in range(len(place), -1, -1) if place[:n] in self.at), (0, 0))
        return Problem(self.file, line, column, dotted(place), message)


class _Everything(set[Any]):
    def __contains__(self, item: object) -> bool:
        return True


def dotted(place: Place) -> str:
    """services[0].decode.ep"""
    text = ""
    for part in place:
        text += f"[{part}]" if isinstance(part, int) else f".{part}" if text else str(part)
    return text


BEGINS = "a factory file is a mapping that starts with `factory: NAME`"


def compose(text: str, name: str, begins: str = BEGINS) -> tuple[dict[str, Any], Marks]:
    """Content and places of a YAML text. Raises SpecError for a syntax error, a duplicate key, or no mapping; ``begins`` is
    then what the file should be."""
    try:
        root = yaml.compose(text, Loader=_Loader)
    except yaml.MarkedYAMLError as error:
        mark = error.problem_mark
        line, column = (mark.line + 1, mark.column + 1) if mark else (0, 0)
        raise SpecError([Problem(name, line, column, "", f"not valid YAML: {error.problem}")]) from None
    except yaml.YAMLError as error:
        raise SpecError([Problem(name, 0, 0, "", f"not valid YAML: {error}")]) from None
    marks, problems = Marks(name), list[Problem]()
    if not isinstance(root, yaml.MappingNode):
        raise SpecError([Problem(name, 1, 1, "", begins)])
    try:
        data = _value(root, (), marks, problems)
    except RecursionError:
        raise SpecError(
            [Problem(name, 1, 1, "", "not valid YAML: nested too deep, or an alias inside itself")]
        ) from None
    except (yaml.YAMLError, ValueError) as error:
        place = list(marks.at)[-1]  # the one that was being read
        raise SpecError([marks.problem(place, f"not a valid YAML value: {_said(error)}")]) from None
    if problems:
        raise SpecError(problems)
    return data, marks


def _said(error: Exception) -> str:
    return str(error.problem) if isinstance(error, yaml.MarkedYAMLError) else str(error)


def _value(node: Any, place: Place, marks: Marks, problems: list[Problem]) -> Any:
    marks.at.setdefault(place, (node.start_mark.line + 1, node.start_mark.column + 1))
    if isinstance(node, yaml.MappingNode):
        return _mapping(node, place, marks, problems)
    if isinstance(node, yaml.SequenceNode):
        return [_value(item, (*place, i), marks, problems) for i, item in enumerate(node.value)]
    if node.tag.endswith((":int", ":float")) and ":" in node.value:
        return node.value  # a time of day: YAML 1.1 would read 17:00 as 1020, a number to the base 60
    constructor = _Loader("")
    return constructor.construct_object(node)


def _mapping(node: Any, place: Place, marks: Marks, problems: list[Problem]) -> dict[str, Any]:
    found: dict[str, Any] = {}
    for key_node, value_node in node.value:
        key = str(key_node.value)
        here = (*place, key)
        marks.keys.add(key)
        marks.at[here] = (value_node.start_mark.line + 1, value_node.start_mark.column + 1)
        if key in found:
            mark = key_node.start_mark
            problems.append(Problem(marks.file, mark.line + 1, mark.column + 1, dotted(here), "this key stands twice"))
        found[key] = _value(value_node, here, marks, problems)
    return found
