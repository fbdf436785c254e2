"""`upgrade`: the same system gives the same, twice the limits give twice as many, projections are marked."""

import json

import pytest
from small import FILE

from tokenworks import catalog
from tokenworks.cli.main import main
from tokenworks.errors import InputError
from tokenworks.plan.upgrade.candidates import newer, projected
from tokenworks.plan.upgrade.size import BASES, DEMAND, DOLLARS, GPUS, POWER, counts
from tokenworks.plan.upgrade.swap import exchanged, layouts
from tokenworks.spec import loads
from tokenworks.spec.demand import Scale

PLAIN = FILE.replace("workers: 4, ", "")  # workers on every GPU
HALF = Scale(kind="sustainable", value=0.5)


def upgraded(tmp_path, capsys, text, *more):
    (tmp_path / "f.yaml").write_text(text)
    arguments = [
        "upgrade",
        str(tmp_path / "f.yaml"),
        "--out",
        str(tmp_path / "out"),
        "--processes",
        "1",
        "--json",
        *more,
    ]
    assert main(arguments) == 0
    return json.loads(capsys.readouterr().out)


def test_the_system_of_today_gives_what_there_is_today(tmp_path, capsys):
    found = upgraded(tmp_path, capsys, PLAIN, "--to", "hgx-h100")
    assert [case["basis"] for case in found["cases"]] == list(BASES)
    for case in found["cases"]:
        assert case["count"] == found["today"]["count"] == 1
        assert case["row"]["usd_per_mtok"] == pytest.approx(found["today"]["row"]["usd_per_mtok"], rel=0.02)
        assert case["row"]["output_tokens_s"] == pytest.approx(found["today"]["row"]["output_tokens_s"], rel=0.02)
    same_demand = found["cases"][-1]["row"]
    assert same_demand["chat.requests_s"] == found["today"]["row"]["chat.requests_s"]
    assert found["cases"][-1]["payback_years"] is None or found["cases"][-1]["payback_years"] > 1e3


def test_every_basis_holds_its_limit_and_another_system_would_break_it():
    factory = loads(FILE.replace("count: 1", "count: 32"))
    old = catalog.load("systems", "hgx-h100")
    for name in ("hgx-b200", "gb200-nvl72", "vera-rubin-nvl72"):
        new = catalog.load("systems", name)
        (power,) = counts(factory, name, POWER)
        assert power * new["system_max_w"] <= 32 * old["system_max_w"] < (power + 1) * new["system_max_w"]
        (gpus,) = counts(factory, name, GPUS)
        assert abs(gpus * new["gpus"] - 256) <= new["gpus"] / 2
    (dollars,) = counts(factory, "hgx-b200", DOLLARS)
    price = catalog.load("systems", "hgx-b200")["price_usd"]
    assert 0.8 < dollars * price / (32 * old["price_usd"]) <= 1.05  # space beside price


def test_one_that_is_too_large_says_how_large(tmp_path, capsys):
    found = upgraded(tmp_path, capsys, FILE, "--to", "gb200-nvl72")
    by = {case["basis"]: case for case in found["cases"]}
    assert "125 kW" in by[POWER]["row"]["reason"]
    assert by[GPUS]["gpus"] == 72


def test_newer_generations_only_and_projections_are_marked():
    found = newer(loads(FILE))
    assert {"hgx-b200", "gb200-nvl72", "vera-rubin-nvl72"} <= set(found)
    assert not {"hgx-h200", "rtx-pro-8", "jetson-thor", "mi355x-8", "superpod-b200-su"} & set(found)
    assert [name for name in found if projected(name)] == [n for n in found if "rubin" in n]
    with pytest.raises(InputError, match="no newer generation"):
        newer(loads(FILE.replace("hgx-h100", "rubin-ultra-nvl576")))


def test_what_the_site_lacks_is_named_and_budgets_are_left_out():
    text = FILE + "site: {cooling: air, power: {budget: 50 kW, scope: it}}\n"
    made, notes = exchanged(loads(text), "gb200-nvl72", (1,), (1,), (HALF,))
    assert "needs liquid cooling" in notes
    assert made.site.cooling == "liquid"
    assert made.budget_w == 0
    assert made.site.power.scope == "it"


def test_a_service_keeps_its_share_of_the_gpus():
    text = FILE.replace("workers: 4", "workers: 2, tp: 2").replace("count: 1", "count: 9")
    made, _ = exchanged(loads(text), "gb200-nvl72", (1,), (1,), (HALF,))
    assert made.services[0].workers == 2  # 4 of 72 GPUs, before and after
    narrow, _ = exchanged(loads(text), "gb200-nvl72", (2,), (2,), (HALF,))
    assert (narrow.services[0].tp, narrow.services[0].workers) == (1, 8)
    assert layouts(loads(text).services[0]) == [1, 2]


def test_rented_stays_rented_where_there_is_a_price():
    text = FILE.replace("count: 1}", "count: 1, rent: {price: $3/GPU-h}}")
    made, notes = exchanged(loads(text), "hgx-b200", (1,), (1,), (HALF,))
    assert made.systems[0].rent is not None
    assert notes == ()
    bought, notes = exchanged(loads(text), "vera-rubin-nvl72", (1,), (1,), (HALF,))
    assert bought.systems[0].own is not None
    assert "no rental price in the catalogue: owned" in notes


def test_the_same_demand_takes_as_many_as_keep_todays_share(tmp_path, capsys):
    found = upgraded(
        tmp_path, capsys, FILE.replace("count: 1", "count: 4").replace("workers: 4", "workers: 32"), "--to", "hgx-b200"
    )
    case = next(c for c in found["cases"] if c["basis"] == DEMAND)
    today = found["today"]["row"]
    share = today["chat.requests_s"] / today["chat.sustainable_requests_s"]
    per_system = case["row"]["chat.sustainable_requests_s"] / case["count"]
    assert case["row"]["chat.requests_s"] / case["row"]["chat.sustainable_requests_s"] <= share * 1.15
    assert case["count"] == 1 or today["chat.requests_s"] / (per_system * (case["count"] - 1)) > share * 0.85


def test_the_terminal_says_it_in_80_columns(tmp_path, capsys):
    (tmp_path / "f.yaml").write_text(FILE)
    assert (
        main(
            ["upgrade", str(tmp_path / "f.yaml"), "--to", "hgx-b200", "vera-rubin-nvl72", "--out", str(tmp_path / "o")]
        )
        == 0
    )
    said = capsys.readouterr().out
    assert all(len(line) <= 80 for line in said.splitlines() if not line.startswith("Files"))
    assert "* rests on projections" in said
    assert "vera-rubin-nvl72*" in (tmp_path / "o/upgrade.html").read_text()


def test_a_system_that_does_not_exist_has_near_names(tmp_path, capsys):
    (tmp_path / "f.yaml").write_text(FILE)
    assert main(["upgrade", str(tmp_path / "f.yaml"), "--to", "hgx-b20"]) == 2
    assert "hgx-b200" in capsys.readouterr().err
