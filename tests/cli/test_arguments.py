"""Mistakes in options: exit code 2, one message, nothing written."""

import pytest

from tokenworks.cli.arguments import value_of
from tokenworks.cli.main import main
from tokenworks.cli.values import moment_us_of
from tokenworks.errors import InputError
from tokenworks.ledger.ingest.records import micros

RUN = ["run", "laptop", "--quiet", "--set", "run.horizon=1 min", "--set", "run.warmup=0 s", "--out", "o"]


@pytest.mark.parametrize(
    ("path", "said"),
    [
        ("run.seed.x=5", "run.seed.x: seed is a single value, it has no fields"),
        ("factory.x.y=5", "factory is a single value"),
        ("services.chat.slo.ttft_p95.x=1", "ttft_p95 is a single value"),
        ("services.5.tp=1", "no entry '5'; known are chat"),
        ("services.chat.slo={a: [}", "is not valid YAML"),
        ("workload.0.trace=null", "give either a trace, a mix, arrivals or agents"),
    ],
)
def test_what_cannot_be_set_is_named(path, said, tmp_path, monkeypatch, capsys):
    monkeypatch.chdir(tmp_path)
    assert main([*RUN, "--set", path]) == 2
    assert said in capsys.readouterr().err
    assert list(tmp_path.iterdir()) == []


def test_values_are_text_nothing_or_yaml_in_braces():
    assert [value_of(t) for t in ("3", "70% of sustainable", "", "null", "~")] == [
        "3",
        "70% of sustainable",
        None,
        None,
        None,
    ]
    assert value_of("{ttft_p95: 2 s}") == {"ttft_p95": "2 s"}
    assert value_of(" [a, b]") == ["a", "b"]


@pytest.mark.parametrize(
    ("arguments", "said"),
    [
        (["calibrate", "--every", "0"], "--every: 0 is below 1"),
        (["calibrate", "--rounds", "-1"], "--rounds: -1 is below 0"),
        (["validate", "--processes", "0"], "--processes: 0 is below 1"),
        (["validate", "--processes", "two"], "--processes: 'two' is not a whole number"),
    ],
)
def test_numbers_out_of_range_are_refused(arguments, said, capsys):
    with pytest.raises(SystemExit) as caught:
        main(arguments)
    assert caught.value.code == 2
    assert said in capsys.readouterr().err


@pytest.mark.parametrize(
    ("arguments", "said"),
    [
        (["--out", "file"], "file is not a folder"),
        (["--start", "nowhere.json"], "no such file: nowhere.json"),
        (["file"], "no column 'id' in the first line"),
        (["header.csv"], "the table holds no measurement to fit"),
    ],
)
def test_calibrate_says_what_it_lacks(arguments, said, tmp_path, monkeypatch, capsys):
    monkeypatch.chdir(tmp_path)
    (tmp_path / "file").write_text("x")
    (tmp_path / "header.csv").write_text("id,gpu\nr1,h999\n")
    assert main(["calibrate", "--out", "fitted", *arguments]) == 2
    assert said in capsys.readouterr().err
    assert sorted(p.name for p in tmp_path.iterdir()) == ["file", "header.csv"]


def test_moments_are_those_of_the_ledger():
    """To the microsecond, in any zone: what closes a month on the command line is what its events say."""
    assert (
        moment_us_of("2026-03-01T00:00:00.123456Z") == micros("2026-03-01T00:00:00.123456Z", "time") == 1772323200123456
    )
    assert moment_us_of("2026-03-01T01:00:00+01:00") == 1772323200000000
    for wrong, said in (
        ("2026-03-01T00:00:00", "has no time zone"),
        ("soon", "is not RFC 3339"),
        ("2026-13-01", "RFC"),
    ):
        with pytest.raises(InputError, match=said):
            moment_us_of(wrong)
