"""Descent over several services: within 1% of every combination where there are few, from starts that share systems."""

import numpy as np
import pytest
from test_choose import market, plain

from tokenworks.plan import choose
from tokenworks.plan.choose import search


@pytest.mark.parametrize("seed", range(12))
def test_three_services_are_within_one_percent_of_every_combination(seed, monkeypatch):
    m = market(300 + seed, 3, 14)
    value, count = plain(m)
    monkeypatch.setattr(choose, "EXACT", 0)
    found = search(m)
    assert not found.exact or count == 0
    assert found.feasible == (count > 0)
    if count:
        assert value * (1 - 1e-12) <= found.picks.columns["usd_per_mtok"][0] <= value * 1.01


def test_services_move_together_where_none_would_move_alone(monkeypatch):
    """Two services, each a little cheaper on a server of its own, together on one half-empty server of another kind."""
    m = market(1, 2, 2)
    shares, kinds = np.array([1.0, 0.5]), [np.array([0, 2]), np.array([1, 2])]
    tables = tuple(_table(t, k, shares) for t, k in zip(m.tables, kinds, strict=True))
    m = _priced(m, tables)
    monkeypatch.setattr(choose, "EXACT", 0)
    found = search(m)
    assert found.picks.rows[0].tolist() == [1, 1]
    assert found.picks.columns["systems"][0] == 1.0


def _table(t, kind, share):
    from dataclasses import replace

    same = np.ones(2)
    return replace(
        t, kind=kind, share=share, gpus=share * 8, ttft_s=same * 0.1, tpot_s=same * 0.01, kv_share=same * 0.1, board_w=share * 1e3,
        busy=same * 0.5,
    )  # fmt: skip


def _priced(m, tables):
    """No power budget, nothing that is there already, and systems of the third kind 1.5 times the price of the others."""
    from dataclasses import replace

    from tokenworks.plan.cost import changed

    site = m.demand.site.model_copy(update={"power": m.demand.site.power.model_copy(update={"budget_w": 0.0})})
    first = replace(m.prices[0], kind=replace(m.prices[0].kind, have=0))
    prices = tuple(replace(first, kind=replace(of.kind, have=0)) for of in m.prices)
    prices = (*prices[:2], changed(prices[2], hardware=1.5))
    return replace(m, demand=m.demand.model_copy(update={"site": site}), tables=tables, prices=prices)
