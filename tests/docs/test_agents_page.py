"""docs/agents.md shows what the catalogue and the recording hold."""

import re
from pathlib import Path

from tokenworks.catalog import loader
from tokenworks.spec import loads
from tokenworks.workload.agents.recording import SUMS
from tokenworks.workload.agents.templates import templates
from tokenworks.workload.generate import generate

PAGE = (Path(__file__).parents[2] / "docs" / "agents.md").read_text()


def test_figures_of_the_fit():
    told = loader.load("agents", "coding-agent").extra["goodness"]
    for key, value in told["kolmogorov_smirnov"].items():
        assert f"| {key.removesuffix(', s')} | {value:.3f} |" in PAGE
    assert f"{told['input_generated_over_recorded']:.3f} of the recorded input" in PAGE
    assert f"{told['output_generated_over_recorded']:.3f} of the output" in PAGE


def test_figures_of_sessions_held_out():
    told = loader.load("agents", "coding-agent").extra["hold_out"]
    for key, (middle, most, chance, _) in told["kolmogorov_smirnov"].items():
        assert f"| {key.removesuffix(', s')} | {middle:.3f} | {most:.3f} | {chance:.3f} |" in PAGE
    for side, name in enumerate(("recorded", "foretold")):
        sums, *shares = (figures[side] for figures in told["input_per_output"].values())
        assert f"| {name} | {sums:.1f} | {' | '.join(f'{share:,.0f}' for share in shares)} |" in PAGE


def test_figures_of_the_templates():
    for figures in templates():
        row = next(line for line in PAGE.splitlines() if line.startswith(f"| {figures['name']} "))
        cells = [float(cell.replace(",", "")) for cell in row.split("|")[2:5]]
        told = (figures["total_tokens"], figures["visible_tokens"], figures["taf"])
        assert all(abs(cell / value - 1) < 1e-3 for cell, value in zip(cells, told, strict=True))


def test_sums_of_the_recording():
    for value in (SUMS.input, SUMS.cache_read, SUMS.output, SUMS.requests):
        assert f"{value:,}" in PAGE


def test_the_shown_workload_asks_for_something():
    (shown,) = re.findall(r"```yaml\n(.*?)```", PAGE, re.DOTALL)
    services = "services: [{name: assistant, model: llama-3.1-8b, workers: 1}]\n"
    (load,) = loads("factory: f\nsystems: [{id: box, system: hgx-h200}]\n" + services + shown).workload
    assert len(generate(load, 0, 5.0, 600.0, 1, 0)) > 100
