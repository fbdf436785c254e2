"""The gateway's API as an OpenAPI 3.1 document, made from the types that requests are checked with.

Chat completions, completions and embeddings go to the engine as they came: of them the document holds what the gateway reads,
and the engine's own rules come on top. Responses and messages are written as they are translated.
"""

from __future__ import annotations

from functools import cache
from importlib.metadata import version
from typing import Any

import msgspec

from tokenworks.serve.body.splice import Known
from tokenworks.serve.dialects.messages.asked import MessagesRequest
from tokenworks.serve.dialects.responses.asked import Item, ResponsesRequest

Json = dict[str, Any]
OBJECT: Json = {"type": "object"}
ERRORS = {
    400: "not a request as it should be", 401: "no valid key", 403: "the key lacks the scope", 404: "no such model",
    413: "too large", 429: "busy, or over a limit: see Retry-After", 502: "the engine failed",
    503: "no engine answers, or the answer could not be metered: see Retry-After",
}  # fmt: skip
ENGINES = {"default": "what the engine refuses, in its own words"}
PAGES = {
    "/v1/models": ("models that this key may ask", "Models"),
    "/v1/metadata": ("what is served", "Object"),
    "/v1/manifest": ("services, their models and dialects", "Object"),
    "/v1/license": ("the licence of this software", "Object"),
    "/v1/version": ("the release", "Object"),
    "/v1/health/live": ("the process answers", "Object"),
    "/v1/health/ready": ("each service has an engine, and the ledger stores events", "Object"),
    "/v1/metrics": ("a Prometheus page", "Text"),
    "/openapi.json": ("this document", "Object"),
}
OPEN = ("/v1/health/live", "/v1/health/ready", "/v1/version", "/v1/license", "/openapi.json")  # without a key


@cache
def document() -> bytes:
    return msgspec.json.encode(
        {
            "openapi": "3.1.0",
            "info": {"title": "Tokenworks gateway", "version": version("tokenworks")},
            "security": [{"bearer": []}, {"header": []}],
            "paths": _calls() | {path: {"get": _page(path, *about)} for path, about in PAGES.items()} | _model(),
            "components": {"schemas": _schemas(), "securitySchemes": SCHEMES},
        }
    )


SCHEMES: Json = {
    "bearer": {"type": "http", "scheme": "bearer"},
    "header": {"type": "apiKey", "in": "header", "name": "x-api-key"},
}


def _schemas() -> Json:
    types = (Known, MessagesRequest, ResponsesRequest, Item)
    (known, messages, responses, item), found = msgspec.json.schema_components(
        types, ref_template="#/components/schemas/{name}"
    )
    plain = found[known["$ref"].rsplit("/", 1)[1]]
    found[responses["$ref"].rsplit("/", 1)[1]]["properties"]["input"] = {
        "anyOf": [{"type": "string"}, {"type": "array", "items": item}]
    }
    return found | {
        "Chat": _with(plain, "messages", {"type": "array", "items": OBJECT, "minItems": 1}),
        "Completion": _with(plain, "prompt", {"anyOf": [{"type": "string"}, {"type": "array"}]}),
        "Embeddings": _with(plain, "input", {"anyOf": [{"type": "string"}, {"type": "array"}]}),
        "CountTokens": _counting(found[messages["$ref"].rsplit("/", 1)[1]]),
        "Error": _error(_inner("message", "type", "param", "code")),
        "AnthropicError": {
            **_error(_inner("type", "message")), "required": ["type", "error"],
        },
        "Models": {"type": "object", "required": ["object", "data"], "properties": {"data": {"type": "array", "items": OBJECT}}},
        "Object": OBJECT,
        "Text": {"type": "string"},
        "Events": {"description": "server-sent events"},  # no type: tools read it as one text, or event by event
    }  # fmt: skip


def _with(plain: Json, name: str, schema: Json) -> Json:
    properties = {**plain["properties"], name: schema}
    return {**plain, "title": name, "properties": properties, "required": [*plain["required"], name]}


def _counting(messages: Json) -> Json:
    """It takes what messages take, without a limit of the answer."""
    return {**messages, "title": "CountTokens", "required": [n for n in messages["required"] if n != "max_tokens"]}


def _inner(*names: str) -> Json:
    return {
        "type": "object",
        "required": list(names),
        "properties": {name: {"type": ["string", "null"]} for name in names},
    }


def _error(inner: Json) -> Json:
    return {"type": "object", "required": ["error"], "properties": {"error": inner}}


def _content(schema: str, kind: str = "application/json") -> Json:
    return {kind: {"schema": {"$ref": f"#/components/schemas/{schema}"}}}


def _answers(content: Json, error: str) -> Json:
    errors = {str(code): {"description": why, "content": _content(error)} for code, why in (ERRORS | ENGINES).items()}
    return {"200": {"description": "the answer", "content": content}, **errors}


def _calls() -> Json:
    streams = _content("Object") | _content("Events", "text/event-stream")
    calls = {
        "/v1/chat/completions": ("Chat", streams, "Error"),
        "/v1/completions": ("Completion", streams, "Error"),
        "/v1/embeddings": ("Embeddings", _content("Object"), "Error"),
        "/v1/responses": ("ResponsesRequest", streams, "Error"),
        "/v1/messages": ("MessagesRequest", streams, "AnthropicError"),
        "/v1/messages/count_tokens": ("CountTokens", _content("Object"), "AnthropicError"),
    }
    return {
        path: {
            "post": {
                "requestBody": {"required": True, "content": _content(asked)},
                "responses": _answers(content, error),
            }
        }
        for path, (asked, content, error) in calls.items()
    }


def _page(path: str, about: str, schema: str) -> Json:
    kind = "text/plain" if schema == "Text" else "application/json"
    codes = (503,) if path == "/v1/health/ready" else () if path in OPEN else (401, 403)
    errors = {str(code): {"description": ERRORS[code], "content": _content("Object")} for code in codes}
    answers = {"200": {"description": about, "content": _content(schema, kind)}, **errors}
    return {"summary": about, "responses": answers} | ({"security": []} if path in OPEN else {})


def _model() -> Json:
    named = {"name": "model", "in": "path", "required": True, "schema": {"type": "string", "minLength": 1}}
    codes = {str(code): {"description": ERRORS[code], "content": _content("Error")} for code in (401, 403, 404)}
    answers = {"200": {"description": "one model", "content": _content("Object")}, **codes}
    return {"/v1/models/{model}": {"parameters": [named], "get": {"summary": "one model", "responses": answers}}}
