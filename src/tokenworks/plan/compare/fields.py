"""Fields of factory files that differ."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from typing import Any

from tokenworks.spec.factory import Factory

NOT_THERE = "–"


@dataclass(frozen=True)
class Difference:
    """A field, as `Factory.replace` names it, and what each factory has there ("–": no such field)."""

    path: str
    values: tuple[str, ...]


def differences(factories: Sequence[Factory]) -> list[Difference]:
    """In the order of the file; the factories' names are no difference."""
    trees = [f.model_dump(mode="json", by_alias=True) for f in factories]
    for tree in trees:
        tree.pop("factory")
    return [Difference(path, values) for path, values in _leaves(trees) if len(set(values)) > 1]


def _leaves(trees: Sequence[Any], path: str = "") -> Iterator[tuple[str, tuple[str, ...]]]:
    """(path, what stands there in each tree). A part that only some have is one leaf."""
    if all(isinstance(tree, dict) for tree in trees):
        for key in dict.fromkeys(key for tree in trees for key in tree):
            yield from _leaves([tree.get(key, NOT_THERE) for tree in trees], f"{path}.{key}" if path else key)
    elif all(_entries(tree) for tree in trees):
        yield from _leaves(_named(trees), path)
    else:
        yield path, tuple(written(tree) for tree in trees)


def _entries(tree: Any) -> bool:
    return isinstance(tree, list) and bool(tree) and all(isinstance(item, dict) for item in tree)


def _named(trees: Sequence[list[Any]]) -> list[dict[str, Any]]:
    """Entries of lists by their names, where every tree names its own apart and some name is shared; else by number."""
    names = [[str(i.get("name") or i.get("id") or i.get("service") or "") for i in tree] for tree in trees]
    apart = all(len(set(mine)) == len(mine) and "" not in mine for mine in names)
    if not (apart and set.intersection(*(set(mine) for mine in names))):
        names = [[str(i) for i in range(len(tree))] for tree in trees]
    return [dict(zip(mine, tree, strict=True)) for mine, tree in zip(names, trees, strict=True)]


def written(value: Any) -> str:
    """
    >>> written(None), written(True), written({"tp": 4, "workers": 2}), written([1, 2])
    ('none', 'true', '{tp: 4, workers: 2}', '[1, 2]')
    """
    if value is None:
        return "none"
    if isinstance(value, bool):
        return str(value).lower()
    if isinstance(value, dict):
        return "{" + ", ".join(f"{k}: {written(v)}" for k, v in value.items() if v is not None) + "}"
    if isinstance(value, list):
        return "[" + ", ".join(map(written, value)) + "]"
    return str(value)
