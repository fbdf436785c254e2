"""Charts of a plan as SVG files for slides."""

import re
from itertools import pairwise
from xml.etree import ElementTree

import pytest

from tokenworks.cli.main import main
from tokenworks.plan.make import make_plan
from tokenworks.plan.reading import loads
from tokenworks.report.plan_slides import slides
from tokenworks.report.slide_style import INK, TONES, WARN

TEXT = """demand: small
site: {{region: us-texas}}
services:
  - {{name: chat, model: llama-3.1-8b, engines: [vllm], precisions: [fp8], slo: {{ttft_p95: 1 s, tpot_p95: {tpot}}}}}
workload:
  - {{service: chat, arrivals: {{kind: poisson}}, rate: 100/s, input: {{kind: fixed, mean: 600}}, output: {{kind: fixed, mean: 150}}}}
may_use: {{systems: [hgx-h100, hgx-h200], pay: [own, rent], max_degrees: {{tp: 2, pp: 1}}}}
run: {{requests: 500, refine: false}}
"""
NAMES = {"tokens-per-megawatt.svg", "dollars-per-mtok.svg", "waterfall.svg", "capacity.svg", "tornado.svg"}
SVG = "{http://www.w3.org/2000/svg}"


@pytest.fixture(scope="module")
def plan():
    return make_plan(loads(TEXT.format(tpot="30 ms")))


def test_each_stands_alone(plan):
    drawn = slides(plan)
    assert set(drawn) == NAMES
    for svg in drawn.values():
        root = ElementTree.fromstring(svg)
        assert root.tag == f"{SVG}svg"
        assert float(root.get("width")) / float(root.get("height")) == pytest.approx(
            float(root.get("viewBox").split()[2]) / float(root.get("viewBox").split()[3])
        )
        assert not re.search(r"var\(|@media|http(?!://www\.w3\.org/2000/svg)|<script|<image", svg)
        known = set(re.findall(r"\.(c\d|bar|dot|limit|grid|head|hollow|faint)", svg.split("</style>")[0]))
        used = {k for e in root.iter() if e.tag != f"{SVG}text" for k in (e.get("class") or "").split()} - {"again"}
        assert used <= known


def inside(svg):
    root = ElementTree.fromstring(svg)
    width, height = (float(root.get(k)) for k in ("width", "height"))
    top = float(re.search(r"translate\(0 ([\d.]+)\)", svg).group(1))
    for part in root.find(f"{SVG}g").iter():
        for kx, ky in (("x", "y"), ("cx", "cy"), ("x2", "y2")):
            if part.get(kx) is not None and part.get(ky) is not None:
                yield 0 <= float(part.get(kx)) <= width and 0 <= float(part.get(ky)) + top <= height


def test_nothing_lies_outside(plan):
    for name, svg in slides(plan).items():
        found = list(inside(svg))
        assert found, name
        assert all(found), name


def test_the_waterfall_ends_at_the_sum(plan):
    bars = re.findall(r'<rect class="bar c(\d)" x="([\d.]+)" y="\d+" width="([\d.]+)"', slides(plan)["waterfall.svg"])
    parts, (_, x, width) = bars[:-1], bars[-1]
    assert float(parts[0][1]) == float(x)
    assert float(parts[-1][1]) + float(parts[-1][2]) == pytest.approx(float(x) + float(width), abs=2)
    for (_, x0, w0), (_, x1, _) in pairwise(parts):
        assert float(x1) == pytest.approx(float(x0) + float(w0), abs=2)


def contrast(a, b):
    """Of the Web Content Accessibility Guidelines 2.2."""

    def luminance(colour):
        linear = [v / 12.92 if v <= 0.04045 else ((v + 0.055) / 1.055) ** 2.4
                  for v in (int(colour[i : i + 2], 16) / 255 for i in (1, 3, 5))]  # fmt: skip
        return sum(k * v for k, v in zip((0.2126, 0.7152, 0.0722), linear, strict=True))

    high, low = sorted((luminance(a), luminance(b)), reverse=True)
    return (high + 0.05) / (low + 0.05)


@pytest.mark.parametrize("ground", ["#ffffff", "#000000", "#1e1e1e"])
def test_colours_stand_out_from_white_and_from_dark(ground):
    for colour in (*TONES, WARN, INK):
        assert contrast(colour, ground) >= 3.0, colour
    if ground != "#1e1e1e":
        assert contrast(INK, ground) >= 4.5


def test_the_verb_writes_them(tmp_path):
    (tmp_path / "d.yaml").write_text(TEXT.format(tpot="30 ms"))
    folder = tmp_path / "slides"
    assert main(["plan", str(tmp_path / "d.yaml"), "--out", str(tmp_path / "p"), "--svg", str(folder), "--quiet"]) == 0
    assert {p.name for p in folder.iterdir()} == NAMES


def test_of_an_infeasible_demand_the_two_charts_remain():
    assert set(slides(make_plan(loads(TEXT.format(tpot="1 ms"))))) == {
        "tokens-per-megawatt.svg",
        "dollars-per-mtok.svg",
    }


def test_a_place_that_is_no_folder_is_refused_before_the_plan(tmp_path, capsys):
    (tmp_path / "d.yaml").write_text(TEXT.format(tpot="30 ms"))
    (tmp_path / "file").write_text("")
    assert main(["plan", str(tmp_path / "d.yaml"), "--out", str(tmp_path / "p"), "--svg", str(tmp_path / "file")]) != 0
    assert "not a folder" in capsys.readouterr().err
    assert not (tmp_path / "p").exists()
