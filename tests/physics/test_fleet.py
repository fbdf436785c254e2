"""From services to deployments: what the factory file leaves open."""

from dataclasses import replace

import pytest

from tokenworks.api import load
from tokenworks.catalog.engines import version_number
from tokenworks.physics.fleet import deployment, newest_version
from tokenworks.physics.terms import resolve


@pytest.mark.parametrize("engine", ["tensorrt-llm", "vllm", "sglang"])
def test_a_service_without_a_version_runs_the_newest_that_was_measured(engine):
    factory = load("laptop").replace("services.chat.engine", engine)
    found = deployment(factory.services[0], factory.systems[0])
    assert found.engine_version == newest_version(engine)
    told = factory.replace("services.chat.engine_version", "0.10")
    assert deployment(told.services[0], told.systems[0]).engine_version == "0.10"


def test_the_newest_tensorrt_llm_launches_kernels_faster_than_the_first_with_batching_in_flight():
    factory = load("laptop").replace("services.chat.engine", "tensorrt-llm")
    newest = deployment(factory.services[0], factory.systems[0])
    assert resolve(newest).kernel_s < 0.5 * resolve(replace(newest, engine_version="0.10")).kernel_s


def test_families_without_a_measured_version_have_none():
    assert newest_version("pytorch") == ""
    assert newest_version("mori-sglang") == newest_version("sglang")
    assert version_number(newest_version("nim")) == version_number(newest_version("tensorrt-llm"))
