"""Networks of clusters in closed form: tiers, parts, domains, and where the groups of a deployment go."""

from tokenworks.plan.topology.cluster import Topology, topology
from tokenworks.plan.topology.placement import Reach, paired, placed, reaches

__all__ = ["Reach", "Topology", "paired", "placed", "reaches", "topology"]
