"""Reads a factory file and answers like a good compiler: every problem with file, line, column and field."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Mapping
from pathlib import Path
from typing import Any

import yaml
from pydantic import ValidationError

from tokenworks.errors import InputError, Problem, SpecError
from tokenworks.spec.checks import check, names_in
from tokenworks.spec.factory import Factory
from tokenworks.spec.marks import Marks, compose, dotted
from tokenworks.spec.messages import near, own_errors, problems_of
from tokenworks.spec.repair import believed, without
from tokenworks.spec.run_checks import run_findings
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
        raise SpecError(_all_problems(data, error, marks, also)) from None
    problems = [
        marks.problem(field, message) for field, message in (*check(factory), *run_findings(factory), *also(factory))
    ]
    if problems:
        raise SpecError(problems)
    return factory


def _all_problems(data: dict[str, Any], error: ValidationError, marks: Marks, also: Check) -> list[Problem]:
    """What the types do not allow, names that the catalogue lacks, and what else is wrong in the parts that are right."""
    problems = [problem for one in own_errors(error) for problem in problems_of(one, marks)]
    broken = {problem.field for problem in problems}
    rest = without(data, error, marks)
    findings = (
        [] if rest is None else [f for f in (*check(rest), *run_findings(rest), *also(rest)) if believed(f[0], broken)]
    )
    findings += [f for f in names_in(data) if dotted(f[0]) not in broken]
    problems += [marks.problem(place, message) for place, message in dict.fromkeys(findings)]
    return sorted(problems, key=lambda p: (p.line, p.column))


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
    raise SpecError([Problem("", 0, 0, path, f"no entry {part!r}{near(part, names)}")])


def as_dict(factory: Factory) -> dict[str, Any]:
    """The file's content with YAML names, without values that are defaults."""
    data: dict[str, Any] = factory.model_dump(mode="json", by_alias=True, exclude_defaults=True)
    return data


def dumps(factory: Factory) -> str:
    return yaml.safe_dump(as_dict(factory), sort_keys=False, allow_unicode=True)
