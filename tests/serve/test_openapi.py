"""The OpenAPI document is true: schemathesis asks for what it says, and for what it does not allow."""

import json

import pytest
from hypothesis import HealthCheck, given, settings
from live_gateway import Engine
from running_gateway import running

from tokenworks.serve.gateway import DIALECTS
from tokenworks.serve.pages.openapi import PAGES, document

schemathesis = pytest.importorskip("schemathesis")
from schemathesis import checks  # noqa: E402
from schemathesis.generation import GenerationMode  # noqa: E402

DOCUMENT = schemathesis.openapi.from_dict(json.loads(document()))
checks.load_all_checks()
ALWAYS = checks.CHECKS.get_by_names(
    ["not_a_server_error", "status_code_conformance", "content_type_conformance", "response_schema_conformance"]
)
STRICT = [*ALWAYS, *checks.CHECKS.get_by_names(["negative_data_rejection"])]
QUICK = settings(max_examples=10, suppress_health_check=list(HealthCheck))
TRANSLATED = ("/v1/responses", "/v1/messages")  # of these the gateway checks every field
statuses = {}


@pytest.fixture(scope="module")
def gate(tmp_path_factory):
    with running(tmp_path_factory.mktemp("openapi"), Engine()) as gate:
        yield gate


def asked(gate, case):
    if isinstance(case.body, dict) and isinstance(case.body.get("model"), str) and len(case.body["model"]) % 2:
        case.body["model"] = "chat"  # a name that is drawn is no model's
    answer = case.call(base_url=gate.url.removesuffix("/v1"), timeout=10)
    case.validate_response(answer, checks=STRICT if case.path in TRANSLATED else ALWAYS)
    statuses.setdefault(case.path, set()).add(answer.status_code)


@DOCUMENT.parametrize()
@QUICK
def test_every_call_is_answered_as_the_document_says(gate, case):
    asked(gate, case)


@pytest.mark.prove
@DOCUMENT.parametrize()
@settings(max_examples=1000, suppress_health_check=list(HealthCheck))
def test_a_thousand_calls_of_each_path_are_answered_as_the_document_says(gate, case):
    asked(gate, case)


def test_calls_of_every_dialect_were_answered_and_refused(gate):
    for path in TRANSLATED:
        for mode in (GenerationMode.POSITIVE, GenerationMode.NEGATIVE):  # of its own: tests run in several processes

            @given(case=DOCUMENT[path]["POST"].as_strategy(generation_mode=mode))
            @settings(QUICK, max_examples=60, derandomize=True)
            def ask(case):
                asked(gate, case)

            ask()
        assert {200, 400, 404} <= statuses[path]


def test_the_document_has_every_path(gate):
    paths = json.loads(document())["paths"]
    assert {path.decode() for path in DIALECTS} | {p.decode() for p in gate.listening.app._gets} == set(paths) - {
        "/v1/models/{model}"
    }
    assert set(PAGES) <= set(paths)
