"""A wrong factory file without its wrong fields, so that the rest is checked too and all is said at once."""

from __future__ import annotations

import copy
import re
from collections.abc import Set
from typing import Any

from pydantic import ValidationError

from tokenworks.spec.factory import Factory
from tokenworks.spec.marks import Marks, Place, dotted
from tokenworks.spec.messages import own_errors, places_of

# What findings of a part rest on, beside the part's own entry.
RESTS_ON = {
    "site": ("site",),
    "systems": ("site",),
    "services": ("systems",),
    "workload": (),
    "run": ("run", "site", "systems", "services", "workload"),
    "serve": ("services", "serve"),
}
# An entry that is surely right, and what of the wrong one it keeps: what others name it by.
PLAIN: dict[Any, dict[str, Any]] = {
    "workload": {"arrivals": {"kind": "poisson", "rate": 1}},
    "services": {"model": "", "workers": 1},
}
KEPT = {"workload": ("service",), "services": ("name",)}
HARMLESS = re.compile(
    r"services\[\d+\]\.(slo|routing|timeout|max_waiting|kv_weight)\b|workload\[\d+\]\.(tenants|priority)"
)


def without(data: dict[str, Any], error: ValidationError, marks: Marks) -> Factory | None:
    """The factory without its wrong fields, or with plain entries in place of those that are wrong without them too;
    None where that is no factory either."""
    left = copy.deepcopy(data)
    for one in own_errors(error):
        for place in places_of(one, marks) if one["type"] != "missing" else ():
            _remove(left, place)
    try:
        return Factory.model_validate(left)
    except ValidationError as again:
        _make_plain(left, again)
    try:
        return Factory.model_validate(left)
    except ValidationError:
        return None


def _make_plain(left: dict[str, Any], error: ValidationError) -> None:
    for one in own_errors(error):
        part, number = one["loc"][0], one["loc"][1] if len(one["loc"]) > 1 else None
        if part in PLAIN and isinstance(number, int) and isinstance(left[part][number], dict):
            kept = {key: left[part][number].get(key, "") for key in KEPT[part]}
            left[part][number] = {**kept, **PLAIN[part]}


def _remove(data: Any, place: Place) -> None:
    """Fields only: without an entry of a list, the others would move."""
    *way, last = place or (None,)
    for part in way:
        data = data[part] if isinstance(data, list) or part in data else {}
    if isinstance(data, dict):
        data.pop(last, None)


def believed(place: Place, broken: Set[str]) -> bool:
    """Whether a finding of the repaired file holds for the file: nothing it rests on was taken out."""
    part, item = place[0], dotted(place[:2])
    counts = part == "services" and place[2:] in ((), ("workers",))  # of GPUs: all services share them
    for field in broken:
        root = re.split(r"[.\[]", field)[0]
        if HARMLESS.match(field):
            continue
        if root in RESTS_ON[part] or field.startswith(item) or (counts and root == "services"):
            return False
        if part == "workload" and field.endswith(".name"):
            return False
    return True
