"""The targets by name, and the export itself."""

from __future__ import annotations

from dataclasses import dataclass

from tokenworks.errors import InputError
from tokenworks.plan.export import compose, dynamo, kserve, kubernetes, llm_d, nim, sglang, tensorrt_llm, vllm
from tokenworks.plan.export.memory_share import sizes
from tokenworks.plan.export.record import Record, Setting
from tokenworks.plan.export.units import Options, units
from tokenworks.spec.factory import Factory

TARGETS = {
    "vllm": vllm.files,
    "sglang": sglang.files,
    "tensorrt-llm": tensorrt_llm.files,
    "dynamo": dynamo.files,
    "llm-d": llm_d.files,
    "kserve": kserve.files,
    "nim": nim.files,
    "compose": compose.files,
    "kubernetes": kubernetes.files,
}


@dataclass(frozen=True)
class Export:
    """Files by name, and what became of every setting."""

    target: str
    files: dict[str, bytes]
    settings: tuple[Setting, ...]

    @property
    def not_said(self) -> tuple[Setting, ...]:
        return tuple(s for s in self.settings if s.why)


def export(factory: Factory, target: str, service: str | None = None, options: Options = Options()) -> Export:  # noqa: B008
    """Files that run the factory's services, or one of them, on a real system; the same bytes for the same factory.
    Raises InputError for an unknown name, UnsupportedError for what the target cannot run and CapacityError for a model
    that does not fit."""
    import difflib

    if target not in TARGETS:
        near = difflib.get_close_matches(target, TARGETS, n=1)
        hint = f" Did you mean {near[0]}?" if near else ""
        raise InputError(f"no target {target!r}; there are {', '.join(TARGETS)}.{hint}")
    record, found = Record(), units(factory, service, options)
    for unit in found:
        sizes(unit)
    made = TARGETS[target](found, record, f"{target} for the factory {factory.name}")
    return Export(target, made, tuple(record.told.values()))
