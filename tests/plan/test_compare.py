"""`compare`: what differs, and parts of a change that add up to it."""

import json
import math
from dataclasses import replace

import pytest
from hypothesis import given
from hypothesis import strategies as st
from small import FILE

from tokenworks.cli.main import main
from tokenworks.plan.compare.factors import ENERGY, NAMES, PRICE, Terms, by_term, terms, tokens_per_j, usd_per_mtok
from tokenworks.plan.compare.fields import differences
from tokenworks.plan.compare.shapley import shapley, subsets
from tokenworks.plan.compare.sides import of_result
from tokenworks.rehearsal import run_factory
from tokenworks.spec import loads

OTHER = FILE.replace("factory: small", "factory: other").replace("hgx-h100", "hgx-b200").replace("rate: 8", "rate: 16")
positive = st.floats(0.01, 100)


@pytest.fixture(scope="module")
def result():
    return run_factory(loads(FILE))


@given(st.dictionaries(st.sampled_from("abcde"), st.floats(-10, 10), min_size=1))
def test_of_things_that_add_up_each_has_its_own_share(worths):
    found = shapley(list(worths), lambda s: math.fsum(worths[p] for p in s))
    assert all(found[p] == pytest.approx(worths[p], abs=1e-12) for p in worths)


@given(st.lists(positive, min_size=8, max_size=8))
def test_shares_of_any_game_sum_to_the_whole_and_equal_players_get_the_same(values):
    worth = dict(zip(subsets("abc"), values, strict=True))
    worth[frozenset("b")], worth[frozenset("bc")] = worth[frozenset("a")], worth[frozenset("ac")]
    found = shapley("abc", worth.__getitem__)
    assert math.fsum(found.values()) == pytest.approx(worth[frozenset("abc")] - worth[frozenset()])
    assert found["a"] == pytest.approx(found["b"])


def test_the_identity_is_that_of_the_books(result):
    found = terms(of_result(result))
    assert usd_per_mtok(found) == pytest.approx(result.usd_per_mtok.value, rel=1e-9)
    assert tokens_per_j(found) == pytest.approx(result.tokens_per_j_facility, rel=1e-9)


@given(st.lists(positive, min_size=18, max_size=18))
def test_parts_by_term_sum_to_the_change(values):
    before, after = (Terms(*values[i : i + 9]) for i in (0, 9))
    found = by_term(before, after)
    for figure, name in ((usd_per_mtok, PRICE), (tokens_per_j, ENERGY)):
        assert math.fsum(found[name].values()) == pytest.approx(
            figure(after) - figure(before), rel=1e-6, abs=1e-6 * (figure(after) + figure(before))
        )


@pytest.mark.parametrize("term", NAMES)
def test_a_term_that_moves_alone_has_the_whole_change(result, term):
    before = terms(of_result(result))
    after = replace(before, **{term: getattr(before, term) * 1.7})
    for figure, name in ((usd_per_mtok, PRICE), (tokens_per_j, ENERGY)):
        parts = by_term(before, after)[name]
        assert parts.pop(NAMES[term]) == pytest.approx(figure(after) - figure(before), rel=1e-9)
        assert all(abs(part) < 1e-12 * figure(before) for part in parts.values())


def test_only_fields_that_differ_and_by_their_names():
    moved = loads(OTHER).replace("services.chat.kv_tiers", [{"name": "host", "capacity": "1 TB"}])
    found = {d.path: d.values for d in differences([loads(FILE), moved])}
    assert found == {
        "systems.box.system": ("hgx-h100", "hgx-b200"),
        "services.chat.kv_tiers": ("[]", "[{name: host, capacity: 1000 GB}]"),
        "workload.chat.arrivals.rate": ("8.0", "16.0"),
    }
    assert differences([loads(FILE), loads(FILE.replace("factory: small", "factory: same"))]) == []


def test_systems_of_other_names_stand_side_by_side():
    renamed = FILE.replace("id: box", "id: rack").replace("count: 1", "count: 2")
    found = {d.path: d.values for d in differences([loads(FILE), loads(renamed)])}
    assert found == {"systems.0.id": ("box", "rack"), "systems.0.count": ("1", "2")}


@pytest.fixture
def files(tmp_path):
    for name, text in (("a.yaml", FILE), ("b.yaml", OTHER)):
        (tmp_path / name).write_text(text)
    return [str(tmp_path / name) for name in ("a.yaml", "b.yaml")]


def test_a_comparison_says_what_differs_and_its_parts_add_up(files, tmp_path, capsys):
    assert main(["compare", *files, "--out", str(tmp_path / "out"), "--processes", "1"]) == 0
    said = capsys.readouterr().out
    assert all(len(line) <= 80 for line in said.splitlines() if not line.startswith("Files"))
    assert "systems.box.system" in said
    assert "<svg" not in (page := (tmp_path / "out/compare.html").read_text())
    assert "hgx-b200" in page
    assert main(["compare", *files, "--out", str(tmp_path / "out"), "--processes", "1", "--json"]) == 0
    (why,) = (found := json.loads(capsys.readouterr().out))["why"]
    change = why["after"][PRICE] - why["before"][PRICE]
    assert math.fsum(why["by_term"][PRICE].values()) == pytest.approx(change)
    assert set(why["swapped"]["shares"]["usd_per_mtok"]) == {"systems", "workload"}
    assert math.fsum(why["swapped"]["shares"]["usd_per_mtok"].values()) == pytest.approx(change)
    assert why["swapped"]["rehearsals"] == 4
    price = next(line for line in found["lines"] if line["name"] == PRICE)
    assert price["values"] == [run_factory(loads(t)).usd_per_mtok.value for t in (FILE, OTHER)]


def test_parts_that_cannot_be_exchanged_alone_go_together(files, tmp_path, capsys):
    other = OTHER.replace("id: box", "id: rack").replace("name: chat,", "name: chat, on: rack,")
    (tmp_path / "b.yaml").write_text(other)
    assert main(["compare", *files, "--out", str(tmp_path / "out"), "--processes", "1", "--json"]) == 0
    (why,) = json.loads(capsys.readouterr().out)["why"]
    assert set(why["swapped"]["shares"]["tokens_per_j"]) == {"systems + services", "workload"}
    assert "'box'" in why["swapped"]["together"][0] or "'rack'" in why["swapped"]["together"][0]


def test_a_result_alone_is_compared_without_its_file(files, tmp_path, capsys):
    assert main(["run", files[1], "--no-advice", "--quiet", "--out", str(tmp_path / "run")]) == 0
    place = str(tmp_path / "run")
    assert main(["compare", files[0], place, "--out", str(tmp_path / "out"), "--json", "--processes", "1"]) == 0
    found = json.loads(capsys.readouterr().out)
    assert found["without"] == ["other"]
    assert found["why"][0]["swapped"] is None
    price = next(line for line in found["lines"] if line["name"] == PRICE)
    assert price["values"][1] == run_factory(loads(OTHER)).usd_per_mtok.value


@pytest.mark.parametrize(
    ("what", "said"),
    [
        ("nothing-there.yaml", "no such file"),
        ("empty", "neither factory.yaml nor result.json"),
        ("x.json", "no result"),
    ],
)
def test_what_is_no_side_is_said_before_anything_runs(files, tmp_path, capsys, what, said):
    (tmp_path / "empty").mkdir()
    (tmp_path / "x.json").write_text("{}")
    assert main(["compare", files[0], str(tmp_path / what), "--out", str(tmp_path / "out")]) == 2
    assert said in capsys.readouterr().err
    assert not (tmp_path / "out").exists()
