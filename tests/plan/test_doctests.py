"""Examples in docstrings of the room."""

import doctest
import importlib

import pytest

MODULES = (
    "plan.compare.fields", "plan.compare.shapley", "plan.sweep.axes", "plan.upgrade.size", "report.compare_text",
    "report.sweep_chart", "report.text_table", "spec.values",
)  # fmt: skip


@pytest.mark.parametrize("module", MODULES)
def test_doctests(module):
    found = doctest.testmod(importlib.import_module(f"tokenworks.{module}"))
    assert found.attempted > 0
    assert found.failed == 0
