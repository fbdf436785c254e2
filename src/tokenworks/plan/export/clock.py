"""The clock of a plan on its hosts: engines have no setting for it, drivers do."""

from __future__ import annotations

from tokenworks import catalog
from tokenworks.plan.export.units import Unit

COMMANDS = {"NVIDIA": "nvidia-smi -lgc {mhz}", "AMD": "amd-smi set --gpu all --perf-determinism {mhz}"}


def host_setting(unit: Unit) -> str:
    """What to do on every host before the engine starts, with the megahertz."""
    chip = catalog.load("accelerators", unit.deployment.accelerator)
    mhz = round(float(chip["boost_clock_ghz"]) * 1e3 * unit.deployment.clock)
    command = COMMANDS.get(unit.vendor)
    said = f": {command.format(mhz=mhz)}" if command else ""
    return f"a setting of the host, not of the engine{said} ({mhz:,} MHz)"
