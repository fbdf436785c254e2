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
}
HARMLESS = re.compile(
    r"services\[\d+\]\.(slo|routing|timeout|max_waiting|kv_weight)\b|workload\[\d+\]\.(tenants|priority)"
)


def without(data: dict[str, Any], error: ValidationError, marks: Marks) -> Factory | None:
    """The factory without its wrong fields; None where it is none without them."""
    left = copy.deepcopy(data)
    for one in own_errors(error):
        if one["type"] == "missing":
            return None
        for place in places_of(one, marks):
            _remove(left, place)
    try:
        return Factory.model_validate(left)
    except ValidationError:
        return None


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
