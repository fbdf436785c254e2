"""Reads a factory file and answers like a good compiler: every problem with file, line, column and field."""

from __future__ import annotations

import difflib
from collections.abc import Callable, Iterable, Mapping
from pathlib import Path
from typing import Any

import yaml
from pydantic import BaseModel, ValidationError

from tokenworks.errors import InputError, Problem, SpecError
from tokenworks.spec.checks import check, names_in
from tokenworks.spec.factory import Factory
from tokenworks.spec.marks import Marks, compose
from tokenworks.spec.site_checks import Finding

Check = Callable[[Factory], Iterable[Finding]]


def load(path: str | Path, also: Check = lambda _: ()) -> Factory:
    """The factory in a YAML file. Raises SpecError with every problem found, those of ``also`` (what rooms above know)
    among them."""
    try:
        text = Path(path).read_text(encoding="utf-8")
    except FileNotFoundError:
        raise InputError(f"no such file: {path}") from None
    except (UnicodeDecodeError, IsADirectoryError, PermissionError) as error:
        raise InputError(f"cannot read {path}: {error}") from None
    return loads(text, str(path), also)


def loads(text: str, name: str = "factory.yaml", also: Check = lambda _: ()) -> Factory:
    """The factory in a YAML text."""
    data, marks = compose(text, name)
    return _validated({**data, "source_file": name}, marks, also)


def _validated(data: dict[str, Any], marks: Marks, also: Check = lambda _: ()) -> Factory:
    try:
        factory = Factory.model_validate(data)
    except ValidationError as error:
        problems = [_problem(e, marks) for e in _own(error.errors())]
        places = {problem.field for problem in problems}
        names = [marks.problem(place, message) for place, message in names_in(data)]
        problems += [name for name in names if name.field not in places]
        raise SpecError(sorted(problems, key=lambda p: (p.line, p.column))) from None
    problems = [marks.problem(field, message) for field, message in (*check(factory), *also(factory))]
    if problems:
        raise SpecError(problems)
    return factory


def _own(errors: list[Any]) -> list[Any]:
    """Without echoes: a list is not "too short" because its items are wrong."""
    places = [e["loc"] for e in errors if e["type"] != "too_short"]
    return [e for e in errors if e["type"] != "too_short" or not any(p[: len(e["loc"])] == e["loc"] for p in places)]


def _problem(error: Any, marks: Marks) -> Problem:
    place = marks.place_of(error["loc"])
    kind, message = error["type"], str(error["msg"]).removeprefix("Value error, ")
    if kind == "extra_forbidden":
        return marks.problem(place, f"unknown key{_near(place, _known(place[:-1]))}")
    if kind == "missing":
        missing = error["loc"][-1]
        return marks.problem(place, f"needs {missing!r}")
    if kind == "literal_error":
        near = _near(
            (str(error["input"]),),
            [c.strip("' ") for c in message.split("be ")[-1].replace(" or ", ",").split(",")],
        )
        message = message.replace("Input should be", f"{error['input']!r} is not one of") + near
    return marks.problem(place, message)


def _near(place: tuple[Any, ...], known: list[str]) -> str:
    close = difflib.get_close_matches(str(place[-1]), known, n=3, cutoff=0.5) if place else []
    return f". Did you mean {', '.join(close)}?" if close else f"; known are {', '.join(known)}"


def _known(place: tuple[Any, ...]) -> list[str]:
    """YAML keys that are allowed at a place."""
    model: Any = Factory
    for part in place:
        if isinstance(part, int):
            continue
        field = next((f for n, f in model.model_fields.items() if part in (n, f.alias)), None)
        inner = _model_in(field.annotation) if field else None
        if inner is None:
            return []
        model = inner
    return [f.alias or n for n, f in model.model_fields.items() if n != "source_file"]


def _model_in(annotation: Any) -> Any:
    """The part type inside an annotation such as tuple[System, ...] or Pool | None."""
    if isinstance(annotation, type) and issubclass(annotation, BaseModel):
        return annotation
    for inner in getattr(annotation, "__args__", ()):
        found = _model_in(inner)
        if found is not None:
            return found
    return None


def replaced(factory: Factory, changes: Mapping[str, Any]) -> Factory:
    """See Factory.replace_all."""
    data = as_dict(factory)
    for path, value in changes.items():
        _put(data, path, value)
    where = factory.source_file or ", ".join(changes)
    return _validated({**data, "source_file": factory.source_file}, Marks.nowhere(where))


def _put(data: dict[str, Any], path: str, value: Any) -> None:
    target: Any = data
    parts = path.split(".")
    for depth, part in enumerate(parts[:-1]):
        target = _step(target, part, ".".join(parts[: depth + 1]), create=True)
    last = parts[-1]
    _need_fields(target, path)
    if isinstance(target, list):
        target[_index(target, last, path)] = value
    else:
        target[last] = value


def _need_fields(target: Any, path: str) -> None:
    if not isinstance(target, dict | list):
        raise SpecError([Problem("", 0, 0, path, f"{path.split('.')[-2]} is a single value, it has no fields")])


def _step(target: Any, part: str, path: str, create: bool) -> Any:
    _need_fields(target, path)
    if isinstance(target, list):
        return target[_index(target, part, path)]
    if part not in target and create:
        target[part] = {}
    return target[part]


def _index(items: list[Any], part: str, path: str) -> int:
    if part.isdigit() and int(part) < len(items):
        return int(part)
    names = [str(item.get("name") or item.get("id") or item.get("service")) for item in items]
    if part in names:
        return names.index(part)
    raise SpecError([Problem("", 0, 0, path, f"no entry {part!r}{_near((part,), names)}")])


def as_dict(factory: Factory) -> dict[str, Any]:
    """The file's content with YAML names, without values that are defaults."""
    data: dict[str, Any] = factory.model_dump(mode="json", by_alias=True, exclude_defaults=True)
    return data


def dumps(factory: Factory) -> str:
    return yaml.safe_dump(as_dict(factory), sort_keys=False, allow_unicode=True)
