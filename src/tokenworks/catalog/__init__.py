"""Facts as data files: accelerators, systems, fabrics, models, engines, harnesses, prices, tariffs."""

from tokenworks.catalog.facts import Entry, Fact
from tokenworks.catalog.loader import UnknownEntryError, ids, kinds, load, load_file, nearest, reload, sources

__all__ = ["Entry", "Fact", "UnknownEntryError", "ids", "kinds", "load", "load_file", "nearest", "reload", "sources"]
