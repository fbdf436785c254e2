"""From a factory to files that real orchestrators run, one module per target."""

from tokenworks.plan.export.record import Setting
from tokenworks.plan.export.targets import TARGETS, Export, export
from tokenworks.plan.export.units import Options

__all__ = ["TARGETS", "Export", "Options", "Setting", "export"]
