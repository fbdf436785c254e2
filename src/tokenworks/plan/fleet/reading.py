"""Reads a roadmap file and the demand that it names: every problem with file, line, column, field and the nearest value."""

from __future__ import annotations

import datetime as dt
from collections.abc import Iterator
from pathlib import Path

from pydantic import ValidationError

from tokenworks import catalog
from tokenworks.catalog import UnknownEntryError
from tokenworks.errors import InputError, SpecError
from tokenworks.plan import reading
from tokenworks.plan.demand import Demand
from tokenworks.plan.fleet.file import MONTHS_A_YEAR, Roadmap, month_text
from tokenworks.spec.marks import Marks, compose
from tokenworks.spec.messages import near, own_errors, problems_of
from tokenworks.spec.site_checks import Finding

BEGINS = "a roadmap file is a mapping that starts with `roadmap: NAME`"


def load(path: str | Path, today: dt.date | None = None) -> tuple[Roadmap, Demand]:
    """The roadmap in a YAML file (or a shipped one) and its demand. Raises SpecError with every problem found."""
    known = examples()
    shipped = str(path) in known and not Path(path).exists()
    place = known[str(path)] if shipped else Path(path)
    try:
        text = place.read_text(encoding="utf-8")
    except FileNotFoundError:
        raise InputError(f"no such file: {path}. Shipped roadmaps: {', '.join(known)}") from None
    except (UnicodeDecodeError, IsADirectoryError, PermissionError) as error:
        raise InputError(f"cannot read {path}: {error}") from None
    return loads(text, str(path), place.parent, today or dt.date.today())


def examples() -> dict[str, Path]:
    """Shipped roadmaps by name."""
    folder = next(iter(reading.examples().values())).parent.parent / "roadmaps"
    return {path.stem: path for path in sorted(folder.glob("*.yaml"))}


def loads(text: str, name: str, folder: Path, today: dt.date) -> tuple[Roadmap, Demand]:
    """The roadmap in a YAML text; its demand file is looked for in ``folder``."""
    data, marks = compose(text, name, BEGINS)
    try:
        roadmap = begun(Roadmap.model_validate({**data, "source_file": name}), today)
    except ValidationError as error:
        problems = [p for one in own_errors(error) for p in problems_of(one, marks, Roadmap)]
        raise SpecError(sorted(problems, key=lambda p: (p.line, p.column))) from None
    demand = _demand(roadmap, folder, marks)
    findings = list(check(roadmap, demand, today))
    if findings:
        raise SpecError([marks.problem(place, said) for place, said in findings])
    use = demand.may_use
    return roadmap, demand.model_copy(update={"may_use": use.model_copy(update={"pay": roadmap.pay or use.pay})})


def begun(roadmap: Roadmap, today: dt.date) -> Roadmap:
    """With its first month: that of today where the file names none."""
    now = today.year * MONTHS_A_YEAR + today.month - 1
    return roadmap.model_copy(update={"first_month": now if roadmap.given_start is None else roadmap.given_start})


def _demand(roadmap: Roadmap, folder: Path, marks: Marks) -> Demand:
    place = folder / roadmap.demand
    if not place.exists() and roadmap.demand not in reading.examples():
        said = f"no such demand file: {place}. Shipped demands: {', '.join(reading.examples())}"
        raise SpecError([marks.problem(("demand",), said)])
    return reading.load(place if place.exists() else roadmap.demand)


def check(roadmap: Roadmap, demand: Demand, today: dt.date) -> Iterator[Finding]:
    """What the types cannot say."""
    now = today.year * MONTHS_A_YEAR + today.month - 1
    if roadmap.first_month < now:
        yield ("start",), f"{month_text(roadmap.first_month)} is in the past: a plan begins in {month_text(now)} or later"
    names = [s.name for s in demand.services]
    for name in roadmap.growth:
        if name not in names:
            yield ("growth", name), f"the demand has no service {name!r}{near(name, names)}"
    for name in names:
        given = roadmap.growth.get(name, 0.0)
        if isinstance(given, tuple) and not any(given):
            yield ("growth", name), "zero demand in every period needs no plan"
    for name in roadmap.systems:
        try:
            catalog.load("systems", name)
        except UnknownEntryError as error:
            hint = f" Did you mean {', '.join(error.nearest)}?" if error.nearest else ""
            yield ("systems", name), f'no system "{name}".{hint}'
            continue
        if demand.may_use.systems and name not in {catalog.load("systems", s).id for s in demand.may_use.systems}:
            yield ("systems", name), f"the demand may not use it: add it to may_use.systems of {roadmap.demand}"
