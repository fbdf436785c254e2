"""The same network, switch by switch and link by link, from the definition of positions and pods: the slow reference."""

from collections import Counter

import numpy as np
from scipy.sparse import csr_array
from scipy.sparse.csgraph import maximum_flow

from tokenworks.plan.topology.levels import Tree


class Graph:
    """Switches are (level, pod, position); ``links`` counts parallel links between two, ``hosts`` those to endpoints."""

    def __init__(self, tree: Tree):
        self.tree, self.links, self.hosts = tree, Counter(), Counter()
        self.endpoints = []  # the leaf of each endpoint
        levels = tree.levels
        leaf = 0
        for used in levels[0].used:
            for _ in range(used.switches):
                self.hosts[(0, leaf, 0)] = used.down
                self.endpoints += [(0, leaf, 0)] * used.down
                leaf += 1
        for i in range(1, len(levels)):
            self._join(i)

    def _join(self, i):
        """Pods of level i take their members in order; a switch's uplinks go evenly to the switches of its positions."""
        below, level = self.tree.levels[i - 1], self.tree.levels[i]
        spread = level.positions // below.positions
        member = 0
        self.pod_of = {}
        for pod, size in enumerate(self._sizes(i)):
            for _ in range(size):
                for position in range(below.positions):
                    for k in range(spread):
                        above = (i, pod, position * spread + k)
                        self.links[((i - 1, member, position), above)] += level.parallel
                self.pod_of[member] = pod
                member += 1

    def _sizes(self, i):
        """Members of each pod, largest first; all leaves of a group of rails in one pod."""
        level = self.tree.levels[i]
        sizes = []
        for used in level.used:
            sizes += [used.down // level.parallel] * (used.switches // level.positions)
        assert sum(sizes) == self.tree.levels[i - 1].pods
        return sizes

    def ports(self):
        """Ports in use of every switch."""
        count = Counter(self.hosts)
        for (a, b), n in self.links.items():
            count[a] += n
            count[b] += n
        return count

    def flow(self, first, second):
        """Most links' worth of traffic from the endpoints in ``first`` to those in ``second``."""
        nodes = sorted({n for pair in self.links for n in pair} | set(self.hosts))
        number = {node: j + 2 for j, node in enumerate(nodes)}
        edges = Counter()
        for e in first:
            edges[(0, number[self.endpoints[e]])] += 1
        for e in second:
            edges[(number[self.endpoints[e]], 1)] += 1
        for (a, b), n in self.links.items():
            edges[(number[a], number[b])] += n
            edges[(number[b], number[a])] += n
        rows, columns = zip(*edges, strict=True)
        capacity = csr_array(
            (np.array(list(edges.values()), dtype=np.int32), (rows, columns)), shape=(len(nodes) + 2,) * 2
        )
        return maximum_flow(capacity, 0, 1).flow_value
