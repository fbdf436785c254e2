"""Every field with its default, as comments under a new factory file."""

from __future__ import annotations

from typing import Annotated, Any

from pydantic import TypeAdapter

from tokenworks.spec.demand import Arrivals, Lengths, Scale, Sessions, Workload
from tokenworks.spec.factory import Own, Rent, Run, System
from tokenworks.spec.part import Part
from tokenworks.spec.pue import PueTable
from tokenworks.spec.service import Lora, Pool, Service, Slo, Speculative, Tier
from tokenworks.spec.site import Curtailment, Hall, Power, Site, Stage

PARTS: tuple[tuple[str, type[Part]], ...] = (
    ("site", Site),
    ("site.power", Power),
    ("site.curtailment[]", Curtailment),
    ("site.path[]", Stage),
    ("site.halls[]", Hall),
    ("site.pue", PueTable),
    ("systems[]", System),
    ("systems[].own", Own),
    ("systems[].rent", Rent),
    ("services[]", Service),
    ("services[].slo", Slo),
    ("services[].prefill, .decode", Pool),
    ("services[].kv_tiers[]", Tier),
    ("services[].speculative", Speculative),
    ("services[].lora", Lora),
    ("workload[]", Workload),
    ("workload[].arrivals", Arrivals),
    ("workload[].sessions", Sessions),
    ("workload[].input, .output", Lengths),
    ("run", Run),
)


def defaults() -> str:
    """Comment lines: field, default, description."""
    lines = ["", "# Everything that may be written, with its default:"]
    for place, part in PARTS:
        lines.append(f"# {place}")
        lines += [f"#   {_field(name, info)}" for name, info in part.model_fields.items()]
    return "\n".join(lines) + "\n"


def _field(name: str, info: Any) -> str:
    default = "required" if info.is_required() else _shown(info)
    said = f"  ({info.description})" if info.description else ""
    return f"{info.alias or name}: {default}{said}"


def _shown(info: Any) -> str:
    """The default as one would write it, with its unit."""
    value = info.default
    if value is None:
        return "none"
    if isinstance(value, Part) and not isinstance(value, Scale):
        return "see below"
    written = TypeAdapter(Annotated[info.annotation, None, *info.metadata]).dump_python(value, mode="json")
    return str(written).lower() if isinstance(written, bool) else f"{written}"
