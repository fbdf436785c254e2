"""Every field with its default, as comments under a new factory file."""

from __future__ import annotations

from typing import Annotated, Any

from pydantic import TypeAdapter

from tokenworks.spec.agents import Answers
from tokenworks.spec.demand import Arrivals, Lengths, Scale, Sessions, Workload
from tokenworks.spec.factory import Network, Own, Rent, Run, System
from tokenworks.spec.fleet import FleetOf, Kubernetes, Processes
from tokenworks.spec.limits import Bound, Budget, Rate
from tokenworks.spec.part import Part
from tokenworks.spec.pue import PueTable
from tokenworks.spec.scaling import Scaling
from tokenworks.spec.service import Lora, Pool, Service, Slo, Speculative, Tier
from tokenworks.spec.serving import Serving, Upstream
from tokenworks.spec.site import Curtailment, Hall, Power, Site, Stage
from tokenworks.spec.telemetry import Telemetry
from tokenworks.spec.traffic import Hedging, Queue, Split

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
    ("systems[].network", Network),
    ("services[]", Service),
    ("services[].slo", Slo),
    ("services[].prefill, .decode", Pool),
    ("services[].scaling", Scaling),
    ("services[].kv_tiers[]", Tier),
    ("services[].speculative", Speculative),
    ("services[].lora", Lora),
    ("workload[]", Workload),
    ("workload[].arrivals", Arrivals),
    ("workload[].sessions", Sessions),
    ("workload[].answers", Answers),
    ("workload[].input, .output", Lengths),
    ("run", Run),
    ("serve", Serving),
    ("serve.splits.NAME", Split),
    ("serve.queue", Queue),
    ("serve.hedge", Hedging),
    ("serve.upstreams[]", Upstream),
    ("serve.telemetry", Telemetry),
    ("serve.fleets[]", FleetOf),
    ("serve.fleets[].processes", Processes),
    ("serve.fleets[].kubernetes", Kubernetes),
    ("serve.limits[]", Rate),
    ("serve.budgets[]", Budget),
    ("serve.bounds[]", Bound),
)


def defaults() -> str:
    """Comment lines: field, default, description."""
    lines = ["", "# Everything that may be written, with its default:"]
    for place, part in PARTS:
        lines.append(f"# {place}")
        schema = part.model_json_schema(by_alias=True)
        properties = schema.get("properties") or schema["anyOf"][1]["properties"]
        for name, info in part.model_fields.items():
            lines.append(f"#   {_field(name, info)}{bounds(properties[info.alias or name])}")
    return "\n".join(lines) + "\n"


def bounds(schema: Any) -> str:
    """What a field may be, where both ends are known."""
    one: Any = next((s for s in (schema, *schema.get("anyOf", ())) if "$comment" in s or "maximum" in s), {})
    if "$comment" in one:
        return f"  [{one['$comment']}]"
    if "maximum" not in one:
        return ""
    above = "above " if "exclusiveMinimum" in one else ""
    return f"  [{above}{one.get('exclusiveMinimum', one.get('minimum', 0)):,g} to {_plain(one['maximum'])}]"


def _plain(value: float) -> str:
    return f"{value:,.0f}" if value >= 1 else f"{value:g}"


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
