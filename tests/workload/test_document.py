"""The workloads that the document shows are right, and the formats that it names are read."""

import re
from pathlib import Path

from tokenworks.spec import loads
from tokenworks.workload.generate import generate

PAGE = (Path(__file__).parents[2] / "docs" / "workload.md").read_text()
FACTORY = """factory: f
systems: [{id: box, system: hgx-h200}]
services: [{name: chat, model: llama-3.1-8b, workers: 1}]
"""


def test_the_shown_workloads_ask_for_something():
    (shown,) = re.findall(r"```yaml\n(.*?)```", PAGE, re.DOTALL)
    factory = loads(FACTORY + shown)
    assert len(factory.workload) == 4
    for number, load in enumerate(factory.workload):
        assert len(generate(load, 0, 5.0, 600.0, 1, number)) > 100
