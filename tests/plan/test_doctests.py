"""Examples in docstrings of the room."""

import doctest
import importlib

import pytest

MODULES = (
    "plan.compare.fields", "plan.compare.shapley", "plan.describe", "plan.fronts", "plan.pairing", "plan.slower", "plan.spares", "plan.sweep.axes", "plan.upgrade.size", "report.compare_text",
    "report.plan_words", "report.sweep_chart", "report.text_table", "spec.messages", "spec.values",
)  # fmt: skip


@pytest.mark.parametrize("module", MODULES)
def test_doctests(module):
    found = doctest.testmod(importlib.import_module(f"tokenworks.{module}"))
    assert found.attempted > 0
    assert found.failed == 0
