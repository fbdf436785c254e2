"""What engines that serve one replica a command leave unsaid, whatever the engine."""

from __future__ import annotations

from tokenworks.plan.export.record import Record
from tokenworks.plan.export.text import comments
from tokenworks.plan.export.units import Unit


def single_head(unit: Unit, record: Record, title: str, engine: str) -> list[str]:
    """Ends the unit's record; the head of its files: what they are, and each setting that they do not say."""
    record.lacks(unit, "workers", f"a command starts one replica: start it {unit.count} times")
    record.lacks(unit, "routing", f"{engine} serves one replica; a router stands before its replicas")
    record.finish(unit, engine)
    said = f"{title}: {unit.name}, {unit.count} of these, {unit.deployment.gpus} GPUs each."
    return comments(said, record.of_unit(unit))
