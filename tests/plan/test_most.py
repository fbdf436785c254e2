"""The most within limits: equal to a plain look at every row of the wide pass, and what the twin confirms."""

import numpy as np
import pytest
from closed_loop import Lengths, Limits
from most import Offers

from tokenworks.errors import InputError
from tokenworks.plan.allowed import Allowed

LIMITS = Limits(1.0, 0.02)


def may(**more) -> Allowed:
    fields = {
        "systems": ("hgx-h100",),
        "engines": ("vllm",),
        "weights": ("fp8",),
        "kv": ("fp8",),
        "tp": (1, 2),
        "pp": (1,),
    }
    return Allowed(**{**fields, **more})


@pytest.fixture(scope="module")
def offers() -> Offers:
    return Offers("llama-3.1-8b", Lengths(600, 200), may())


def test_the_best_alone_is_the_best_of_all_rows(offers):
    wide, best = offers.wide, 0.0
    for row in range(len(wide)):
        serves = offers.shapes[wide.shape[row]].role == "serve"
        if serves and wide.ttft_s[row] <= LIMITS.ttft_s and wide.tpot_s[row] <= LIMITS.tpot_s:
            best = max(best, wide.requests_s[row] / wide.gpus[row])
    found = offers.best(LIMITS, alone=2, apart=0)
    assert found[0].tokens_s_gpu == pytest.approx(best * np.mean(offers.ask.output_tokens))
    assert [o.mode for o in found] == ["aggregated"] * 2
    assert {o.text for o in found} == {"tp1", "tp2"}  # one row of each shape


def test_pools_keep_the_limits_too(offers):
    (found,) = offers.best(LIMITS, alone=0, apart=1)
    assert found.mode == "disaggregated"
    assert set(found.service) >= {"prefill", "decode"}
    assert [d.model for d in found.deployments] == ["llama-3.1-8b"] * 2


def test_the_twin_confirms_what_the_wide_pass_chose(offers):
    offer, stand = offers.most(LIMITS, alone=2, apart=0)
    assert stand.keeps(LIMITS)
    assert stand.tokens_s_gpu == pytest.approx(offer.tokens_s_gpu, rel=0.1)


def test_wider_limits_never_give_less(offers):
    loose = Limits(2.0, 0.05)
    assert offers.most(loose, 1, 0)[1].tokens_s_gpu >= offers.most(LIMITS, 1, 0)[1].tokens_s_gpu


def test_limits_that_nothing_keeps_have_no_answer(offers):
    assert offers.most(Limits(1.0, 1e-6)) is None


def test_several_systems_at_once_are_refused():
    with pytest.raises(InputError, match="one kind of system"):
        Offers("llama-3.1-8b", Lengths(600, 200), may(systems=("hgx-h100", "hgx-h200")))
