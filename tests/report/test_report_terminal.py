"""The terminal report: key lines by hand, 100 columns, colour only with a symbol."""

from __future__ import annotations

import io
import re
from dataclasses import replace

import pytest
from rich.console import Console
from sample import overloaded, sample

from tokenworks.report.terminal import render, show

GOLDEN = """\
tulsa-1: deepseek-r1 on 48 x gb200, gpt-oss-120b on 24 x gb200
✓ Sustains the load within every objective; bottleneck: reasoner, decode, HBM bandwidth; headroom
31%.
  reasoner: TTFT p95 783 ms ≤ 2 s ✓; TPOT p95 31.9 ms ≤ 40 ms ✓; headroom 31%; limit: decode, HBM
  bandwidth
  helper: TTFT p95 336 ms ≤ 2 s ✓; TPOT p95 22 ms ≤ 25 ms ✓; headroom 31%; limit: decode, HBM
  bandwidth
"""


def words(line: str) -> list[str]:
    return re.split(r"\s{2,}", line.strip())


def line_with(text: str, wanted: str) -> str:
    return next(line for line in text.splitlines() if wanted in line)


def test_the_answer_comes_first() -> None:
    assert render(sample()).startswith(GOLDEN)


def test_six_figures_with_their_intervals() -> None:
    """Three and three on a narrow screen, else all in a row."""
    lines = render(sample(), 80).splitlines()
    at = next(i for i, line in enumerate(lines) if line.startswith("output tokens/s"))
    assert words(lines[at]) == ["output tokens/s", "tokens/s/user", "$/Mtok output"]
    assert words(lines[at + 1])[:2] == ["65.3 k", "41.2"]  # (139 + 96) M tokens in an hour
    assert words(lines[at + 2])[:2] == ["80%: 56.8–73.1 k", "80%: 35–47.9"]
    assert words(lines[at + 4])[0] == "tokens/J board"
    assert words(lines[at + 5])[2] == "66%"  # (48 · 0.71 + 24 · 0.55) / 72
    wide = line_with(render(sample()), "tokens/s/user")
    assert all(name in wide for name in ("output tokens/s", "$/Mtok output", "tokens/J board", "GPUs busy"))


def test_the_table_of_services() -> None:
    row = words(line_with(render(sample()), "0.21/0.783"))
    assert row == [
        "reasoner",
        "558 k",
        "99%",
        "0.21/0.783/1.35 s",
        "26.2/31.9/34.6 ms",
        "3.7",
        "43%",
        "14%",
        "87",
        "56",
    ]


def test_what_ifs_and_files_are_listed() -> None:
    text = render(sample())
    assert "  1. ✓ +1 decode worker: TPOT p95 −18%, $/Mtok +4%" in text
    assert text.rstrip().endswith("→ out/tulsa-1/result.json")


@pytest.mark.parametrize("make", [sample, overloaded])
@pytest.mark.parametrize("width", [72, 80, 90, 100, 140])
def test_no_line_is_too_long(make: object, width: int) -> None:
    assert callable(make)
    assert max(len(line) for line in render(make(), width).splitlines()) <= min(width, 100)


@pytest.mark.parametrize("width", [72, 80, 90])
def test_a_narrow_screen_cuts_no_figure(width: int) -> None:
    text = render(sample(), width)
    assert "…" not in text
    assert all(figure in text for figure in ("65.3 k", "0.21/0.783/1.35 s", "26.2/31.9/34.6 ms", "of 200 kW"))


def test_long_names_and_many_services_keep_the_width() -> None:
    result = sample()
    many = tuple(replace(result.services[0], name=f"a-service-with-a-long-name-{i}") for i in range(8))
    text = render(replace(result, services=many))
    assert max(len(line) for line in text.splitlines()) <= 100
    assert text.count("0.21/0.783/1.35 s") == 8


def coloured(**options: object) -> str:
    file = io.StringIO()
    show(sample(), Console(file=file, width=100, highlight=False, **options))  # type: ignore[arg-type]
    return file.getvalue()


def test_colour_adds_nothing_but_colour(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.delenv("NO_COLOR", raising=False)
    bright = coloured(force_terminal=True, color_system="truecolor")
    assert "\x1b[" in bright
    plain = re.sub(r"\x1b\[[0-9;]*m", "", bright)
    assert [line.rstrip() for line in plain.splitlines()] == render(sample()).splitlines()


def test_no_color_and_pipes_are_plain(monkeypatch: pytest.MonkeyPatch) -> None:
    assert "\x1b" not in coloured()  # a file is no terminal
    monkeypatch.setenv("NO_COLOR", "1")
    assert not re.search(r"\x1b\[[0-9;]*3\d[0-9;]*m", coloured(force_terminal=True, color_system="truecolor"))


def test_a_run_that_made_nothing_is_reported() -> None:
    result = sample()
    idle = replace(
        result.services[0], arrived=0, finished=0, input_tokens=0, output_tokens=0, sustainable_requests_s=0.0
    )
    text = render(replace(result, services=(idle,), money=replace(result.money, usd_per_mtok_output=float("inf"))))
    assert "–" in line_with(text, " reasoner  ")
