"""The floor of a plan: racks of its systems from the front, and those of the network that would join them."""

from __future__ import annotations

from html import escape

from tokenworks.errors import CapacityError, TokenworksError
from tokenworks.plan.floor import stands as floor
from tokenworks.plan.result import Option, Systems
from tokenworks.plan.topology import topology
from tokenworks.report.page_charts import figure
from tokenworks.report.plan_floor import floor_svg
from tokenworks.report.topology_racks import racks_svg


def stands(best: Option) -> str:
    """Where workers stand, and the racks of every kind of system with those of the network that would join them."""
    lines = "".join(f"<li><b>{escape(s.service)}</b>: {escape(s.placement)}</li>" for s in best.setups if s.placement)
    return f'<ul class="each">{lines}</ul>' + _front(best) + "".join(racks(s) for s in best.systems)


def _front(best: Option) -> str:
    try:
        return figure("Racks from the front; point at a GPU to see its worker", floor_svg(best, floor(best)))
    except CapacityError as error:
        return f'<p class="note">No layout in which every worker stands inside its systems was found ({escape(str(error))}).</p>'


def racks(of: Systems) -> str:
    """A figure; of systems whose network the catalogue does not know a sentence that says so."""
    try:
        found = topology(of.system, of.gpus)
    except TokenworksError as error:
        return f'<p class="note">{escape(of.system)}: no layout ({escape(str(error))})</p>'
    title = (
        f"{of.count:,} × {of.system} in {found.compute_racks:,} racks, joined by {found.fabric.entry.name} "
        f"({found.tree.switches * found.fabric.planes:,} switches)"
    )
    return figure(title, racks_svg(found))
