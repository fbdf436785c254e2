"""What a validator found, said as a person would: the value, what is allowed, the nearest name."""

from __future__ import annotations

import difflib
import re
from collections.abc import Iterator
from typing import Any

from pydantic import BaseModel, ValidationError

from tokenworks.errors import Problem
from tokenworks.spec.factory import Factory
from tokenworks.spec.marks import Marks, Place
from tokenworks.spec.part import MisfitError

LIMITS = {
    "greater_than": ("gt", "{value} is too small: it must be above {limit}"),
    "greater_than_equal": ("ge", "{value} is too small: at least {limit}"),
    "less_than": ("lt", "{value} is too large: it must be below {limit}"),
    "less_than_equal": ("le", "{value} is too large: at most {limit}"),
}
TYPES = {
    "int_parsing": "{value} is not a whole number",
    "int_type": "{value} is not a whole number",
    "int_from_float": "{value} is not a whole number",
    "int_parsing_size": "{value} is not a whole number of a size that is allowed",
    "float_parsing": "{value} is not a number",
    "float_type": "{value} is not a number",
    "finite_number": "{value} is not a finite number",
    "bool_parsing": "{value} is neither true nor false",
    "bool_type": "{value} is neither true nor false",
    "string_type": "{value} is not text; write it in quotes",
    "string_too_short": "a name is one line of text that is not empty",
    "string_too_long": "longer than {max_length} characters",
    "model_type": "{value} stands where fields belong: {known}",
    "tuple_type": "{value} stands where a list belongs ([…] or lines that begin with -)",
    "too_short": "the list is empty: at least {min_length}",
    "too_long": "the list has {actual_length} entries: at most {max_length}",
}


def own_errors(error: ValidationError) -> list[Any]:
    """Without echoes: a list is not "too short" because its items are wrong."""
    errors: list[Any] = error.errors()
    places = [e["loc"] for e in errors if e["type"] != "too_short"]
    return [e for e in errors if e["type"] != "too_short" or not any(p[: len(e["loc"])] == e["loc"] for p in places)]


def places_of(error: Any, marks: Marks) -> list[Place]:
    """The fields that an error is about."""
    place = marks.place_of(error["loc"])
    misfits = _misfits(error)
    return [(*place, *key.split(".")) for key, _ in misfits.findings] if misfits else [place]


def problems_of(error: Any, marks: Marks, root: type[BaseModel] = Factory) -> Iterator[Problem]:
    """One problem, or one for each field that does not go with the others. ``root``: what the file describes."""
    misfits = _misfits(error)
    if misfits is None:
        yield _problem(error, marks, root)
        return
    for place, (_, message) in zip(places_of(error, marks), misfits.findings, strict=True):
        yield marks.problem(place, message)


def _misfits(error: Any) -> MisfitError | None:
    cause = error.get("ctx", {}).get("error")
    return cause if isinstance(cause, MisfitError) else None


def _problem(error: Any, marks: Marks, root: type[BaseModel]) -> Problem:
    place = marks.place_of(error["loc"])
    kind, message = error["type"], str(error["msg"]).removeprefix("Value error, ")
    if kind == "extra_forbidden":
        return marks.problem(place, _unknown(place, root))
    if kind == "missing":
        missing = error["loc"][-1]
        return marks.problem(place, f"needs {missing!r}")
    if kind == "literal_error":
        choices = [c.strip("' ") for c in message.split("be ")[-1].replace(" or ", ",").split(",")]
        said = message.replace("Input should be", f"{_shown(error['input'])} is not one of")
        return marks.problem(place, said + near(str(error["input"]), choices))
    return marks.problem(place, _said(error, root) or message)


def _said(error: Any, root: type[BaseModel]) -> str:
    """The message in words of ours; empty for one that has none."""
    kind, given = error["type"], {**error.get("ctx", {}), "value": _shown(error["input"])}
    given["known"] = ", ".join(_known(error["loc"], root))
    if kind in LIMITS:
        key, text = LIMITS[kind]
        return text.format(value=given["value"], limit=_plain(given[key]))
    return TYPES.get(kind, "").format(**given)


def _shown(value: Any) -> str:
    text = repr(value)
    return text if len(text) <= 60 else f"{text[:57]}…"


def _plain(limit: float) -> str:
    """
    >>> _plain(1e6), _plain(0.5)
    ('1,000,000', '0.5')
    """
    return f"{int(limit):,}" if limit == int(limit) else f"{limit:g}"


def _unknown(place: Place, root: type[BaseModel]) -> str:
    key, known = str(place[-1]) if place else "", _known(place[:-1], root)
    if re.match(r"\d", key):
        return "unknown key; a comma ends a value: write a decimal point, or quotes around the value"
    homes = [name for name in known if key in _known((*place[:-1], name), root)]
    return f"unknown key; it belongs to {' or '.join(homes)}" if homes else f"unknown key{near(key, known)}"


def near(name: str, known: list[str]) -> str:
    """The end of a message about an unknown name; capitals are no difference.

    >>> near("amd", ["AMD", "Intel"])
    '. Did you mean AMD?'
    """
    plain = {one.lower(): one for one in reversed(known)}
    close = [plain[one] for one in difflib.get_close_matches(name.lower(), plain, n=3, cutoff=0.5)]
    return f". Did you mean {', '.join(close)}?" if close else f"; known are {', '.join(known)}"


def _known(place: Place, root: type[BaseModel]) -> list[str]:
    """YAML keys that are allowed at a place."""
    model: Any = root
    for part in place:
        if isinstance(part, int):
            continue
        field = next((f for n, f in model.model_fields.items() if part in (n, f.alias)), None)
        inner = part_in(field.annotation) if field else None
        if inner is None:
            return []
        model = inner
    return list(fields_of(model))


def fields_of(model: type[BaseModel]) -> dict[str, str]:
    """YAML key → attribute of a part."""
    return {f.alias or n: n for n, f in model.model_fields.items() if n != "source_file"}


def part_in(annotation: Any) -> Any:
    """The part type inside an annotation such as tuple[System, ...] or Pool | None."""
    if isinstance(annotation, type) and issubclass(annotation, BaseModel):
        return annotation
    for inner in getattr(annotation, "__args__", ()):
        found = part_in(inner)
        if found is not None:
            return found
    return None
