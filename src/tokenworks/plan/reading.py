"""Reads a demand file: every problem with file, line, column, field and the nearest valid value."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path
from typing import Any

from pydantic import ValidationError

from tokenworks import catalog
from tokenworks.catalog import UnknownEntryError
from tokenworks.errors import InputError, SpecError
from tokenworks.physics.site import read_site
from tokenworks.plan.demand import Demand, Load
from tokenworks.plan.systems import chosen_systems
from tokenworks.spec.demand import COUNTED
from tokenworks.spec.marks import Marks, compose
from tokenworks.spec.messages import near, own_errors, problems_of
from tokenworks.spec.site_checks import Finding

BEGINS = "a demand file is a mapping that starts with `demand: NAME`"


def load(path: str | Path) -> Demand:
    """The demand in a YAML file, or a shipped example by name. Raises SpecError with every problem found."""
    _, text = found(path, examples(), "demands")
    return loads(text, str(path))


def found(path: str | Path, shipped: dict[str, Path], what: str) -> tuple[Path, str]:
    """(place, text) of a file, or of a shipped example by name. Raises InputError."""
    place = shipped[str(path)] if str(path) in shipped and not Path(path).exists() else Path(path)
    try:
        return place, place.read_text(encoding="utf-8")
    except FileNotFoundError:
        raise InputError(f"no such file: {path}. Shipped {what}: {', '.join(shipped)}") from None
    except (UnicodeDecodeError, IsADirectoryError, PermissionError) as error:
        raise InputError(f"cannot read {path}: {error}") from None


def examples() -> dict[str, Path]:
    """Shipped demands by name."""
    from importlib import resources

    installed = Path(str(resources.files("tokenworks"))) / "examples" / "demands"
    folder = installed if installed.is_dir() else Path(__file__).parents[3] / "examples" / "demands"
    return {path.stem: path for path in sorted(folder.glob("*.yaml"))}


def loads(text: str, name: str = "demand.yaml") -> Demand:
    """The demand in a YAML text."""
    data, marks = compose(text, name, BEGINS)
    if "factory" in data and "demand" not in data:
        raise SpecError(
            [marks.problem(("factory",), "this is a factory file: `run` takes it; a demand begins with `demand: NAME`")]
        )
    try:
        demand = Demand.model_validate({**data, "source_file": name})
    except ValidationError as error:
        problems = [p for one in own_errors(error) for p in problems_of(one, marks, Demand)]
        found = {p.field for p in problems}
        names = [marks.problem(place, said) for place, said in names_in(data)]
        problems += [p for p in names if p.field not in found]
        raise SpecError(sorted(problems, key=lambda p: (p.line, p.column))) from None
    return _checked(demand, marks)


def _checked(demand: Demand, marks: Marks) -> Demand:
    findings = [*names_in(demand.model_dump(mode="json", by_alias=True)), *check(demand)]
    if findings:
        raise SpecError([marks.problem(place, said) for place, said in dict.fromkeys(findings)])
    return demand


def names_in(data: dict[str, Any]) -> Iterator[Finding]:
    """Names that the catalogue does not have."""
    site, use = _dict(data.get("site")), _dict(data.get("may_use"))
    if isinstance(site.get("region"), str):
        yield from _lookup("tariffs", site["region"], ("site", "region"))
    for kind in ("systems", "accelerators"):
        for i, name in enumerate(_list(use.get(kind))):
            yield from _lookup(kind, name, ("may_use", kind, i))
    vendors = _vendors()
    for i, name in enumerate(_list(use.get("vendors"))):
        if name not in vendors:
            yield ("may_use", "vendors", i), f"no vendor {name!r}{near(str(name), sorted(vendors))}"
    for i, one in enumerate(_list(data.get("existing"))):
        yield from _lookup("systems", _dict(one).get("system"), ("existing", i, "system"))
    for i, service in enumerate(_list(data.get("services"))):
        yield from _lookup("models", _dict(service).get("model"), ("services", i, "model"))
        for field, kind in (("engines", "engines"), ("precisions", "precisions")):
            for k, name in enumerate(_list(_dict(service).get(field))):
                yield from _lookup(kind, name, ("services", i, field, k))


def _dict(value: Any) -> dict[str, Any]:
    return value if isinstance(value, dict) else {}


def _list(value: Any) -> list[Any]:
    return list(value) if isinstance(value, list | tuple) else []


def _vendors() -> set[str]:
    return {str(catalog.load("accelerators", name)["vendor"]) for name in catalog.ids("accelerators")}


def _lookup(kind: str, wanted: Any, place: tuple[Any, ...]) -> Iterator[Finding]:
    if not isinstance(wanted, str):
        return
    try:
        catalog.load(kind, wanted)
    except UnknownEntryError as error:
        hint = f" Did you mean {', '.join(error.nearest)}?" if error.nearest else ""
        yield place, f'no {kind.removesuffix("s")} "{wanted}".{hint}'


def check(demand: Demand) -> Iterator[Finding]:
    """What the types cannot say."""
    from tokenworks.workload.trace_names import trace_findings

    names = [s.name for s in demand.services]
    misnamed = any(load_.service not in names for load_ in demand.workload)
    for i, name in enumerate(names):
        if name in names[:i]:
            yield ("services", i, "name"), f"{name!r} stands twice"
        if not demand.loads_of(name) and not misnamed:
            yield ("services", i, "name"), f"{name!r} has no workload: zero demand needs no plan"
    for i, load_ in enumerate(demand.workload):
        yield from _load(load_, i, names)
    yield from trace_findings(demand)
    yield from _goodput(demand)
    yield from _calibration(demand)
    if not list(_unknown(demand)) and not chosen_systems(demand):
        yield ("may_use",), "no system of the catalogue is left: accelerators, vendors and systems exclude each other"


def _unknown(demand: Demand) -> Iterator[Finding]:
    yield from names_in(demand.model_dump(mode="json", by_alias=True))


def _load(load_: Load, number: int, names: list[str]) -> Iterator[Finding]:
    place = ("workload", number)
    if load_.service not in names:
        yield (*place, "service"), f"no service {load_.service!r}{near(load_.service, names)}"
    if load_.agents is not None:
        yield (
            (*place, "agents"),
            "agents ask by their answers: rehearse them with `run`; plan with a trace, a mix or arrivals",
        )
    elif load_.arrivals and load_.arrivals.kind in COUNTED:
        said = f"{load_.arrivals.kind} has no rate: a plan needs arrivals with one (rate: 40/s)"
        yield (*place, "arrivals", "kind"), said
    elif load_.scale.kind == "sustainable":
        yield (*place, "scale"), "nothing is sustained yet: write an absolute rate, for example rate: 40/s"


def _goodput(demand: Demand) -> Iterator[Finding]:
    if "goodput" not in demand.objectives:
        return
    limits = demand.limits
    power_w = demand.planned_site.power.budget_w
    if not (power_w or limits.gpus or limits.systems or limits.capex_usd or limits.usd_h):
        yield (
            ("objective",),
            "goodput grows with the factory: set a limit (power, gpus, systems, capex or usd_per_hour)",
        )
    if len(demand.services) > 1:
        yield ("objective",), "goodput is planned for one service at a time"


def _calibration(demand: Demand) -> Iterator[Finding]:
    if demand.calibration is None:
        return
    try:
        read_site(Path(demand.calibration))
    except InputError as error:
        yield ("calibration",), str(error)
