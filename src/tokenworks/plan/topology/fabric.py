"""What a network is built of: switches, optics and copper from the catalogue, at the speed of a system's adapters."""

from __future__ import annotations

import math
from dataclasses import dataclass

from tokenworks import catalog
from tokenworks.catalog import Entry
from tokenworks.errors import InputError, UnsupportedError

PLUGGABLE, CPO = "pluggable", "cpo"
OPTICS = (PLUGGABLE, CPO)
DEFAULTS = ("quantum-2", "quantum-x800")  # InfiniBand, slowest first; other vendors' systems: plain Ethernet


@dataclass(frozen=True)
class Fabric:
    """One fabric at one speed of links. ``planes`` equal networks share an adapter's bandwidth."""

    entry: Entry
    switch: Entry
    optics: Entry
    copper: Entry | None  # None: the switch has no electrical ports
    link_gb_s: float  # one way
    radix: int  # links of a switch
    planes: int

    @property
    def co_packaged(self) -> bool:
        return bool(self.switch["co_packaged"])

    @property
    def idle_share(self) -> float:
        """Share of the switches' bandwidth that links slower than their ports leave unused."""
        full = float(self.switch["ports"]) * float(self.switch["port_gb_s"])
        return 1.0 - self.radix * self.link_gb_s / full


def default_fabric(system: Entry) -> str:
    """Id of the slowest InfiniBand that carries an adapter with one link, Ethernet for systems of other vendors."""
    chip = catalog.load("accelerators", system["accelerator"])
    if chip["vendor"] != "NVIDIA":
        return "ethernet"
    fast = [f for f in DEFAULTS if catalog.load("fabrics", f)["link_gb_s"] >= system["nic_gb_s"]]
    return fast[0] if fast else DEFAULTS[-1]


def with_optics(fabric_id: str, optics: str | None) -> str:
    """The fabric's sibling with co-packaged or pluggable optics, or itself. Raises InputError, UnsupportedError."""
    if optics is None:
        return fabric_id
    if optics not in OPTICS:
        raise InputError(f"optics are {' or '.join(OPTICS)}, not {optics!r}")
    entry = _switched(fabric_id)
    if bool(catalog.load("switches", entry["switch_id"])["co_packaged"]) == (optics == CPO):
        return fabric_id
    sibling = entry.get(f"with_{optics}")
    if sibling is None:
        known = [f for f in built() if catalog.load("fabrics", f).get("with_cpo")]
        raise UnsupportedError(f"{fabric_id} is not sold with {optics} optics; {', '.join(known)} are")
    return str(sibling)


def built() -> list[str]:
    """Ids of the scale-out fabrics whose switches and cables the catalogue knows."""
    entries = [catalog.load("fabrics", f) for f in catalog.ids("fabrics")]
    return [e.id for e in entries if e.get("switch_id") and "links" not in e]


def _switched(fabric_id: str) -> Entry:
    entry = catalog.load("fabrics", fabric_id)
    if entry.id not in built():
        raise UnsupportedError(f"{fabric_id} joins no servers: choose one of {', '.join(built())}")
    return entry


def fabric(fabric_id: str, nic_gb_s: float, planes: int | None = None) -> Fabric:
    """A fabric for adapters of ``nic_gb_s`` (GB/s, one way), spread over ``planes`` networks: at least as many as ports
    are slower than the adapter. Raises InputError, UnsupportedError, UnknownEntryError."""
    entry = _switched(fabric_id)
    switch = catalog.load("switches", entry["switch_id"])
    port_gb_s = float(switch["port_gb_s"])
    fewest = math.ceil(nic_gb_s / port_gb_s)
    chosen = planes or fewest
    if chosen < fewest:
        raise InputError(
            f"{chosen} planes of {port_gb_s:g} GB/s carry no adapter of {nic_gb_s:g} GB/s: at least {fewest}"
        )
    link = nic_gb_s / chosen
    pieces = min(int(switch["split"]), int(port_gb_s / link))
    split = "split_" if pieces > 1 else ""
    copper = entry.get(f"{split}copper_id")
    return Fabric(
        entry,
        switch,
        catalog.load("links", entry[f"{split}optics_id"]),
        catalog.load("links", copper) if copper else None,
        link,
        int(switch["ports"]) * pieces,
        chosen,
    )
