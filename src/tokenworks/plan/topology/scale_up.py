"""The scale-up domain: GPUs that reach each other through one or two layers of NVLink switches, or wires alone."""

from __future__ import annotations

from dataclasses import dataclass

from tokenworks import catalog
from tokenworks.catalog import Entry
from tokenworks.errors import InputError, UnsupportedError
from tokenworks.plan.topology.bill import DAYS_PER_YEAR
from tokenworks.plan.topology.tree import tree


@dataclass(frozen=True)
class Domain:
    """One domain. Switch chips and links of the whole domain; what its systems do not bring along costs extra."""

    fabric: str  # id, "none" where GPUs meet over PCIe or the network alone
    gpus: int
    gb_s: float  # one way, per GPU, as collectives use it
    hops: int  # switches between the two GPUs that are farthest apart
    chips: int  # 0: a mesh of wires
    links: int  # of GPUs, and between chips
    between_systems: int  # links that leave a system: optical
    extra_w: float
    extra_usd: float
    extra_failures_per_day: float


def domain(system: Entry, gpus: int | None = None) -> Domain:
    """The domain of a system's GPUs (GPUs: that of the accelerator unless given). Raises InputError where a domain is no
    whole number of systems or larger than the links allow, UnsupportedError where its switches are not known."""
    chip = catalog.load("accelerators", system["accelerator"])
    usual = min(int(chip["scale_up_domain"]), int(system["gpus"]))
    wanted = gpus or usual
    if wanted == 1 or chip["link_kind"] in ("pcie", "none"):
        _refuse_beyond(wanted, usual, system, 1 if chip["link_kind"] in ("pcie", "none") else usual)
        return Domain("none", wanted, float(chip["pcie_gb_s"]), 0, 0, 0, 0, 0.0, 0.0, 0.0)
    known = chip["scale_up"] in catalog.ids("fabrics")
    fabric = catalog.load("fabrics", chip["scale_up"]) if known else None
    _refuse_beyond(wanted, usual, system, int(fabric["max_domain"]) if fabric else usual)
    gb_s = float(chip["scale_up_gb_s"])
    if fabric is None or "switch_id" not in fabric:
        return _as_built(chip, wanted, usual, gb_s, fabric)
    return _switched(system, fabric, wanted, gb_s)


def _refuse_beyond(wanted: int, usual: int, system: Entry, most: int) -> None:
    size = int(system["gpus"])
    if wanted < 1 or wanted > max(most, usual):
        raise InputError(f"a domain of {system.id} has 1 to {max(most, usual)} GPUs, not {wanted}")
    if wanted > size and wanted % size:
        near = max(size, round(wanted / size) * size)
        raise InputError(f"a domain is whole systems of {size} GPUs: {min(near, most // size * size)} and not {wanted}")


def _as_built(chip: Entry, wanted: int, usual: int, gb_s: float, fabric: Entry | None) -> Domain:
    """Wires from GPU to GPU, or switches that the catalogue does not know."""
    name = str(chip["scale_up"])
    if wanted != usual:
        raise UnsupportedError(f"the catalogue knows no switches of {name}: its domain has {usual} GPUs as built")
    mesh = chip["link_kind"] == "xgmi"
    wires = wanted * int(fabric["links"]) // 2 if mesh and fabric else 0
    return Domain(name, wanted, gb_s, 0 if mesh else 1, 0, wires, 0, 0.0, 0.0, 0.0)


def _switched(system: Entry, fabric: Entry, wanted: int, gb_s: float) -> Domain:
    """Every link of a GPU belongs to a plane of its own; small planes share a chip, large ones are trees of chips."""
    switch, links = catalog.load("switches", fabric["switch_id"]), int(fabric["links"])
    ports, size = int(switch["ports"]), int(system["gpus"])
    if wanted <= ports:
        chips = int(switch["built_chips"]) if switch.get("built_gpus") == wanted else -(-links // (ports // wanted))
        return Domain(fabric.id, wanted, gb_s, 1, chips, wanted * links, 0, 0.0, 0.0, 0.0)
    plane = tree(wanted, 1, ports, rail=False)
    brought = _switched(system, fabric, size, gb_s).chips * (wanted // size)
    more, optical = links * plane.switches - brought, links * plane.levels[0].up_links
    optics = catalog.load("links", fabric["optics_id"])
    modules = -(-2 * optical // int(optics["switch_end_ports"]))
    failures_per_year = more * float(switch["failures_per_year"]) + modules * float(
        optics["switch_end_failures_per_year"]
    )
    return Domain(
        fabric.id,
        wanted,
        gb_s,
        2 * len(plane.levels) - 1,
        links * plane.switches,
        links * plane.links,
        optical,
        more * float(switch["bare_w"]) + modules * float(optics["switch_end_w"]),
        more * float(switch["price_usd"])
        + modules * float(optics["switch_end_usd"])
        + optical * float(optics["cable_usd"]),
        failures_per_year / DAYS_PER_YEAR,
    )
