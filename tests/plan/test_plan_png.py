"""Pictures as PNG: as large as the SVG, drawn and not blank, with their words, in the font of the extra alone."""

import io
import sys
from xml.etree import ElementTree

import numpy as np
import pytest
from PIL import Image

from tokenworks.cli.main import main
from tokenworks.plan.topology import topology
from tokenworks.report.png import ZOOM, to_png
from tokenworks.report.slide_style import INK, SLIDE_STYLE
from tokenworks.report.topology_tiers import tiers_svg

DEMAND = """demand: small
site: {region: us-texas}
services: [{name: chat, model: llama-3.1-8b, engines: [vllm], precisions: [fp8], slo: {ttft_p95: 1 s, tpot_p95: 30 ms}}]
workload: [{service: chat, arrivals: {kind: poisson}, rate: 50/s, input: {kind: fixed, mean: 600}, output: {kind: fixed, mean: 150}}]
may_use: {systems: [hgx-h100], max_degrees: {tp: 2, pp: 1}, serving: aggregated}
run: {requests: 300, refine: false}
"""
SVG = '<svg xmlns="http://www.w3.org/2000/svg" viewBox="0 0 200 40" width="200" height="40">{style}{body}</svg>'


def pixels(png: bytes):
    """(height, width, 4) of a PNG."""
    return np.asarray(Image.open(io.BytesIO(png)).convert("RGBA"))


def inked(drawn) -> int:
    """Pixels that text alone colours: opaque in the colour of text."""
    ink = [int(INK[i : i + 2], 16) for i in (1, 3, 5)]
    return int(((drawn[..., :3] == ink).all(axis=2) & (drawn[..., 3] == 255)).sum())


def words(svg: str) -> str:
    return SVG.format(style=SLIDE_STYLE, body=f'<text x="4" y="20">{svg}</text>')


def test_words_are_drawn_and_differ_and_the_ground_is_clear():
    some, other, none = (pixels(to_png(words(said))) for said in ("tokens a second", "dollars an hour", ""))
    assert some.shape == (40 * ZOOM, 200 * ZOOM, 4)
    assert inked(some) > 200
    assert (some != other).any()
    assert not none.any()
    assert some[0, 0, 3] == 0


@pytest.mark.parametrize("said", ["≤ × → − ± · – €", "Ελληνικά", "Русский"])
def test_every_sign_of_a_chart_is_in_the_font(said):
    """A missing glyph is drawn as the same box as another one, or not at all."""
    signs = list(said.replace(" ", ""))
    drawn = [to_png(words(s)) for s in signs]
    assert len(set(drawn)) == len(set(signs))
    assert all(pixels(d).any() for d in drawn)


def test_a_title_is_bold():
    plain, bold = (inked(pixels(to_png(SVG.format(style=SLIDE_STYLE, body=f'<text {c} y="20" style="font-size:17px">Dollars</text>'))))
                   for c in ("", 'class="head"'))  # fmt: skip
    assert bold > 1.15 * plain


def test_the_tiers_of_a_network_hold_their_colours_and_words():
    svg = tiers_svg(topology("dgx-h100", 1016), SLIDE_STYLE)
    drawn = pixels(to_png(svg))
    size = ElementTree.fromstring(svg)
    assert drawn.shape[:2] == (ZOOM * int(size.get("height")), ZOOM * int(size.get("width")))
    assert inked(drawn) > 2000
    assert {(63, 127, 193), (200, 100, 26), (21, 134, 126)} <= {
        tuple(c) for c in np.unique(drawn[..., :3].reshape(-1, 3), axis=0)
    }


def test_a_plan_writes_its_charts_as_svg_and_as_png(tmp_path, capsys):
    (tmp_path / "d.yaml").write_text(DEMAND)
    folders = [str(tmp_path / name) for name in ("plan", "svg", "png")]
    assert main(["plan", str(tmp_path / "d.yaml"), "--out", folders[0], "--svg", folders[1], "--png", folders[2]]) == 0
    assert "waterfall.png" in capsys.readouterr().out
    svgs = {p.stem: p for p in (tmp_path / "svg").iterdir()}
    pngs = {p.stem: p for p in (tmp_path / "png").iterdir()}
    assert set(svgs) == set(pngs) >= {"waterfall", "capacity"}
    for name, path in pngs.items():
        svg, drawn = ElementTree.parse(svgs[name]).getroot(), pixels(path.read_bytes())
        assert drawn.shape[1] == ZOOM * float(svg.get("width"))
        assert abs(drawn.shape[0] - ZOOM * float(svg.get("height"))) < 2
        assert inked(drawn) > 1000, name
        assert to_png(svgs[name].read_text(encoding="utf-8")) == path.read_bytes()


def test_topology_draws_a_png(tmp_path, capsys):
    file = tmp_path / "net.png"
    assert main(["topology", "dgx-h100", "64", "--out", str(file)]) == 0
    assert inked(pixels(file.read_bytes())) > 1000


@pytest.mark.parametrize("missing", ["resvg_py", "fontpkg_source_sans_3"])
def test_without_the_extra_it_says_so_before_it_plans(tmp_path, capsys, monkeypatch, missing):
    monkeypatch.setitem(sys.modules, missing, None)
    (tmp_path / "d.yaml").write_text(DEMAND)
    words = ["plan", str(tmp_path / "d.yaml"), "--out", str(tmp_path / "plan"), "--png", str(tmp_path / "png")]
    assert main(words) == 2
    assert "pip install 'tokenworks[png]'" in capsys.readouterr().err
    assert not (tmp_path / "plan").exists()
