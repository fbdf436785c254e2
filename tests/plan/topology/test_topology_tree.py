"""Counts in closed form equal those of an explicit graph and of published designs."""

from fractions import Fraction

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from network_graph import Graph

from tokenworks.errors import InputError, UnsupportedError
from tokenworks.plan.topology.tree import tree

# SuperPOD of DGX H100 (Quantum-2): scalable units, hosts, leaves, spines, links of hosts, links of spines. NVIDIA
# RA-11333-001, table "Compute fabric component count"; its cables of hosts are four more, for two UFM appliances.
H100 = [(31, 8, 4, 248, 256), (63, 16, 8, 504, 512), (95, 24, 16, 760, 768), (127, 32, 16, 1016, 1024)]
# … of DGX B200 (Quantum-2): hosts, leaves, spines, cores; as many links at every layer as GPUs.
B200 = [
    (64, 16, 8, 0),
    (128, 32, 16, 0),
    (256, 64, 32, 0),
    (512, 128, 128, 64),
    (1024, 256, 256, 128),
    (2048, 512, 512, 256),
]
# … of DGX B300 with Quantum-X800 (144 ports): hosts, leaves, spines.
B300_XDR = [(72, 8, 4), (144, 16, 8), (288, 32, 18), (576, 64, 36), (1296, 144, 72)]
# … of DGX B300 with Spectrum-4 as two planes of 128 half ports: hosts, leaves, spines of both planes.
B300_ETHERNET = [(64, 16, 8), (128, 32, 16), (256, 64, 32), (512, 128, 64), (1024, 256, 128)]
# GB300 NVL72 with Q3450 (Lambda, 2026-06): GPUs, switches.
LAMBDA = [(576, 12), (4608, 100), (10_368, 216), (41_472, 1440)]


def switches(found):
    return [level.switches for level in found.levels]


@pytest.mark.parametrize(("hosts", "leaves", "spines", "down", "up"), H100)
def test_superpod_of_dgx_h100(hosts, leaves, spines, down, up):
    found = tree(hosts, 8, 64)
    assert switches(found) == [leaves, spines]
    assert (found.levels[0].down_links, found.levels[0].up_links) == (down, up)


@pytest.mark.parametrize(("hosts", "leaves", "spines", "cores"), B200)
def test_superpod_of_dgx_b200(hosts, leaves, spines, cores):
    found = tree(hosts, 8, 64)
    assert switches(found) == [leaves, spines] + ([cores] if cores else [])
    assert {level.down_links for level in found.levels} == {hosts * 8}


@pytest.mark.parametrize(("hosts", "leaves", "spines"), B300_XDR)
def test_superpod_of_dgx_b300_at_800g(hosts, leaves, spines):
    """The printed row of 1,296 hosts says 9,216 GPUs and 10,368 cables; eight times 1,296 is the latter."""
    found = tree(hosts, 8, 144)
    assert switches(found) == [leaves, spines]
    assert [level.down_links for level in found.levels] == [8 * hosts] * 2


@pytest.mark.parametrize(("hosts", "leaves", "spines"), B300_ETHERNET)
def test_superpod_of_dgx_b300_on_two_planes(hosts, leaves, spines):
    assert [2 * n for n in switches(tree(hosts, 8, 128))] == [leaves, spines]


@pytest.mark.parametrize(("gpus", "count"), LAMBDA)
def test_clusters_of_gb300_with_co_packaged_switches(gpus, count):
    assert tree(gpus // 4, 4, 144).switches == count


def test_modules_of_a_large_cluster_as_published():
    """131,072 GPUs in three tiers have five ends at switches each: the "roughly 655,000" modules of Lambda's post."""
    found = tree(131_072 // 4, 4, 144)
    assert len(found.levels) == 3
    ends = 2 * found.links - found.endpoints
    assert ends == pytest.approx(655_000, rel=0.03)


@st.composite
def networks(draw):
    radix = draw(st.integers(4, 12))
    rails = draw(st.integers(1, max(1, radix // 4)))
    hosts = draw(st.integers(1, 260 // rails))
    ratios = draw(st.lists(st.sampled_from([Fraction(1), Fraction(3, 2), Fraction(2), Fraction(3)]), max_size=2))
    return hosts, rails, radix, ratios, draw(st.booleans())


@settings(deadline=None, max_examples=150)
@given(networks())
def test_closed_form_equals_the_graph(made):
    try:
        found = tree(*made[:4], rail=made[4])
    except UnsupportedError:
        return
    hosts, rails, radix, _, _ = made
    graph = Graph(found)
    ports = graph.ports()
    assert max(ports.values()) <= radix  # no port twice
    assert len(ports) == found.switches
    assert len(graph.endpoints) == hosts * rails
    assert sum(graph.links.values()) + hosts * rails == found.links
    for i, level in enumerate(found.levels):
        counted = sorted(n for switch, n in ports.items() if switch[0] == i)
        assert counted == sorted(u.down + u.up for u in level.used for _ in range(u.switches))
        if i:
            assert level.down_links == found.levels[i - 1].up_links


@settings(deadline=None, max_examples=60)
@given(networks(), st.randoms(use_true_random=False))
def test_any_half_reaches_the_other_with_the_stated_bandwidth(made, random):
    """Maximum flow between halves of the endpoints, drawn at random or cut along the leaves."""
    try:
        found = tree(*made[:4], rail=made[4])
    except UnsupportedError:
        return
    graph = Graph(found)
    order = list(range(found.endpoints))
    half = found.endpoints // 2
    along = graph.flow(order[:half], order[half:]) if half else 0
    random.shuffle(order)
    mixed = graph.flow(order[:half], order[half:]) if half else 0
    assert along >= int(found.bisection_links) - 1
    assert mixed >= int(found.bisection_links) - 1
    assert max(along, mixed) <= half


@pytest.mark.parametrize(
    ("made", "levels", "links"),
    [
        ((64, 1, 8, ()), 3, 32),  # full, not oversubscribed: half of the endpoints
        ((32, 1, 8, ()), 2, 16),
        ((48, 1, 8, (Fraction(3),)), 2, 8),  # leaves of 6 down and 2 up: a third of 24
        ((96, 1, 8, (Fraction(1), Fraction(3))), 3, 16),
    ],
)
def test_bisection_of_full_trees_is_exact(made, levels, links):
    found = tree(*made)
    graph = Graph(found)
    assert len(found.levels) == levels
    assert found.bisection_links == pytest.approx(links)
    order = list(range(found.endpoints))
    half = found.endpoints // 2
    assert graph.flow(order[:half], order[half:]) == links


def test_a_million_endpoints_are_counted_and_not_listed():
    """By hand: leaves 1,000,000 / 8 hosts / 72 → 1,737 groups of 8; pods of ⌊72 / 8⌋ = 9 groups: 193; and so on."""
    found = tree(125_000, 8, 144)
    assert [level.pods for level in found.levels] == [13_896, 193, 3, 1]
    assert found.levels[0].down_links == 1_000_000
    assert found.bisection_links >= 500_000 * 0.99


def test_rails_of_a_group_meet_in_one_hop():
    """The endpoints of a leaf are one rail: leaf i of a group has as many endpoints as the group has hosts."""
    found = tree(100, 4, 64)
    assert [(u.switches, u.down) for u in found.levels[0].used] == [(12, 32), (4, 4)]


@pytest.mark.parametrize(
    ("made", "error", "said"),
    [
        ((0, 8, 64), InputError, "needs hosts"),
        ((4, 8, 64, (Fraction(1, 2),)), InputError, "oversubscription is 1 or more"),
        ((100, 8, 4), UnsupportedError, "8 rails do not fit"),
        ((10**9, 1, 8), UnsupportedError, "more than 6 levels"),
    ],
)
def test_what_cannot_be_wired_is_refused(made, error, said):
    with pytest.raises(error, match=said):
        tree(*made)
