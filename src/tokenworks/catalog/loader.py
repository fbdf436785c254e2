"""Reads catalogue entries lazily: one TOML file per entity, only those that are asked for."""

from __future__ import annotations

import difflib
import os
import tomllib
from collections.abc import Mapping
from functools import lru_cache
from pathlib import Path
from typing import Any

from tokenworks.catalog.facts import STATUSES, Entry, Fact
from tokenworks.errors import CatalogError, InputError

DATA = Path(__file__).parent / "data"
USER_FOLDERS = "TOKENWORKS_CATALOG"  # environment variable: folders of the user's own entries, as in PATH
_HEADER = ("id", "name", "source", "date", "status", "facts", "aliases", "missing")
_NOT_KINDS = ("calibration", "notices")


class UnknownEntryError(InputError):
    """No such entry; the message names the nearest ones."""

    def __init__(self, kind: str, wanted: str):
        self.kind, self.wanted, self.nearest = kind, wanted, nearest(kind, wanted)
        near = f" Did you mean {', '.join(self.nearest)}?" if self.nearest else ""
        super().__init__(f'no {kind.removesuffix("s")} "{wanted}" in the catalogue.{near}')


@lru_cache(maxsize=1)
def folders() -> tuple[Path, ...]:
    """The shipped data, then the user's own folders. The variable is read once, at the first use."""
    own = tuple(Path(part) for part in os.environ.get(USER_FOLDERS, "").split(os.pathsep) if part)
    for folder in own:
        if not folder.is_dir():
            raise InputError(f"{USER_FOLDERS} names {folder}, which is no folder")
        strange = sorted(p.name for p in folder.iterdir() if p.is_dir() and p.name not in kinds())
        if strange:
            raise InputError(f"{folder}/{strange[0]} is no kind of entry; there are {', '.join(kinds())}")
    return (DATA, *own)


def reload() -> None:
    """Forget what was read: after the variable or a file of one's own has changed, in a notebook or a test."""
    for cached in (folders, _files, load, _aliases, sources):
        cached.cache_clear()


def ids(kind: str) -> tuple[str, ...]:
    """All ids of a kind, sorted."""
    return tuple(sorted(_files(kind)))


@lru_cache(maxsize=32)
def _files(kind: str) -> Mapping[str, Path]:
    """Id → file. A user's entry may not replace another one: the calibration was made with the shipped facts."""
    if kind not in kinds():
        raise CatalogError(f"the catalogue has no kind {kind!r}; it has {', '.join(kinds())}")
    found: dict[str, Path] = {}
    for place in folders():
        for path in sorted((place / kind).glob("*.toml")):
            if path.stem.startswith("_"):
                continue
            if path.stem in found:
                raise InputError(f'{path}: the catalogue has an entry "{path.stem}" already: choose another id')
            found[path.stem] = path
    return found


def kinds() -> tuple[str, ...]:
    """The kinds of entries: accelerators, systems, models …"""
    return tuple(sorted(p.name for p in DATA.iterdir() if p.is_dir() and p.name not in _NOT_KINDS))


def nearest(kind: str, wanted: str, count: int = 3) -> tuple[str, ...]:
    """The ids closest to a mistyped one; an id that the wanted one extends or abbreviates comes first."""
    key = wanted.lower()
    known = ids(kind)
    starts = [i for i in known if i.startswith(key) or (key.startswith(i) and len(i) > 0.6 * len(key))]
    close = difflib.get_close_matches(key, known, n=count, cutoff=0.5)
    return tuple(dict.fromkeys([*starts, *close]))[:count]


@lru_cache(maxsize=1024)
def load(kind: str, wanted: str) -> Entry:
    """The entry with this id (or alias)."""
    files = _files(kind)
    known = wanted if wanted in files else _aliases(kind).get(wanted.lower())
    if known is None:
        raise UnknownEntryError(kind, wanted)
    entry = load_file(files[known], kind)
    if entry.id != known:
        raise CatalogError(f"{files[known]}: its id is {entry.id!r}, not that of the file, {known!r}")
    return entry


def path_of(kind: str, entry_id: str) -> Path:
    """The file of an entry."""
    return _files(kind)[entry_id]


@lru_cache(maxsize=32)
def _aliases(kind: str) -> Mapping[str, str]:
    """Alias → id. Read only when an id is unknown, since it opens every file of the kind."""
    found: dict[str, str] = {}
    for known, path in _files(kind).items():
        found[known.lower()] = known
        for alias in _read(path).get("aliases", ()):
            found[str(alias).lower()] = known
    return found


def load_file(path: Path, kind: str) -> Entry:
    """An entry from a TOML file, for instance a user's own."""
    table = _read(path)
    try:
        default = {key: table[key] for key in ("source", "date", "status")}
        facts = {key: _fact(path, key, raw, default) for key, raw in table["facts"].items()}
        entry_id, name = str(table["id"]), str(table["name"])
    except KeyError as missing:
        raise CatalogError(f"{path.name}: no {missing} at the top of the file") from missing
    extra = {key: value for key, value in table.items() if key not in _HEADER}
    aliases = tuple(str(alias) for alias in table.get("aliases", ()))
    return Entry(kind, entry_id, name, facts, extra, table.get("missing", {}), aliases)


def _read(path: Path) -> dict[str, Any]:
    try:
        return tomllib.loads(path.read_text(encoding="utf-8"))
    except FileNotFoundError:
        raise InputError(f"no such file: {path}") from None
    except tomllib.TOMLDecodeError as error:
        raise CatalogError(f"{path}: {error}") from error


def _fact(path: Path, key: str, raw: Mapping[str, Any], default: Mapping[str, Any]) -> Fact:
    if not isinstance(raw, Mapping) or "value" not in raw or "unit" not in raw:
        raise CatalogError(f"{path.name}: {key} needs a value and a unit")
    merged = {**default, **raw}
    if merged["status"] not in STATUSES:
        raise CatalogError(f"{path.name}: {key} has status {merged['status']!r}, not one of {STATUSES}")
    other = tuple(merged.get("other", ()))
    note = str(merged.get("note", ""))
    return Fact(merged["value"], raw["unit"], merged["source"], str(merged["date"]), merged["status"], note, other)


@lru_cache(maxsize=1)
def sources() -> dict[str, dict[str, str]]:
    """Every source by its key: title, publisher, place and terms."""
    found: dict[str, dict[str, str]] = {}
    for place in folders():
        for path in sorted(place.glob("sources*.toml")):
            found.update(_read(path))
    return found
