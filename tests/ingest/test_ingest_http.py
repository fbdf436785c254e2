"""The door over a real socket: what it answers, and that it answers only after the ledger has."""

import gzip
import http.client
import json
import threading
from types import SimpleNamespace

import pytest
from test_ingest_protobuf import EXPORT, request
from usage_records import NATIVE, NOON, chat

from tokenworks.errors import InputError
from tokenworks.ledger.ingest.http import make_server
from tokenworks.ledger.ingest.records import Context


class Books:
    """A ledger in memory with the store's answers."""

    def __init__(self):
        self.events, self.kept, self.fault = {}, [], None
        self.during = lambda: None

    def append(self, events):
        self.during()
        if self.fault:
            raise self.fault
        return [SimpleNamespace(status=self.one(e), note="") for e in events]

    def one(self, event):
        held = self.events.setdefault((event.source, event.id), event)
        return "conflict" if held != event else "duplicate" if held is not event else "stored"


@pytest.fixture
def door():
    books = Books()
    server = make_server(
        books.append,
        context=lambda: Context(tenant="acme"),
        keep=lambda faults, format: books.kept.extend(faults),
        largest=20_000,
    )
    thread = threading.Thread(target=server.serve_forever, kwargs={"poll_interval": 0.01})
    thread.start()
    books.port = server.server_address[1]
    yield books
    server.shutdown()
    server.server_close()
    thread.join()


def post(books, path, body, kind="application/x-ndjson", method="POST", **headers):
    connection = http.client.HTTPConnection("127.0.0.1", books.port, timeout=10)
    body = body if isinstance(body, bytes) else body.encode()
    connection.request(
        method, path, body, {"Content-Type": kind, **{k.replace("_", "-"): v for k, v in headers.items()}}
    )
    answer = connection.getresponse()
    found = answer.read()
    connection.close()
    return answer.status, json.loads(found) if "json" in answer.headers["Content-Type"] else found


def lines(*records):
    return "\n".join(map(json.dumps, records))


def test_stored_then_duplicate_then_conflict(door):
    status, found = post(door, "/v1/events", lines(NATIVE, NATIVE | {"id": "2"}))
    assert (status, found["stored"], found["duplicate"], found["reasons"]) == (200, 2, 0, [])
    status, found = post(door, "/v1/events", lines(NATIVE, NATIVE | {"id": "3"}))
    assert (status, found["stored"], found["duplicate"]) == (200, 1, 1)
    status, found = post(door, "/v1/events", lines(NATIVE | {"input_fresh": 9}, NATIVE | {"id": "4"}))
    assert (status, found["stored"], found["conflict"]) == (409, 1, 1)
    assert found["reasons"] == [
        {"source": "s", "id": "1", "kind": "conflict", "reason": "the same source and id hold another payload"}
    ]
    assert door.events["s", "1"].input_fresh == 1


def test_a_claimed_key_before_the_write_would_lose_the_retry(door):
    """Naive: acknowledge, or claim the key, and then write. The answer comes after append; a failed one claims nothing."""
    door.fault = InputError("disk full")
    status, found = post(door, "/v1/events", lines(NATIVE))
    assert (status, found) == (503, {"error": "nothing is acknowledged: disk full"})
    door.fault = None
    assert post(door, "/v1/events", lines(NATIVE))[1]["stored"] == 1


def test_the_answer_waits_for_the_ledger(door):
    release, answered = threading.Event(), []
    door.during = lambda: release.wait(10)
    client = threading.Thread(target=lambda: answered.append(post(door, "/v1/events", lines(NATIVE))))
    client.start()
    client.join(0.1)
    assert not answered
    release.set()
    client.join()
    assert answered[0][0] == 200


def test_bad_lines_have_reasons_and_are_kept(door):
    status, found = post(
        door, "/v1/events", lines(NATIVE) + "\n{oops\n" + lines(NATIVE | {"id": "2", "cache_read": -4})
    )
    assert (status, found["stored"], found["malformed"]) == (400, 1, 2)
    assert [(r["line"], r["kind"]) for r in found["reasons"]] == [(2, "malformed"), (3, "malformed")]
    assert "cache_read is -4" in found["reasons"][1]["reason"]
    assert [k.raw for k in door.kept] == ["{oops", lines(NATIVE | {"id": "2", "cache_read": -4})]


def test_formats_and_envelopes(door):
    usage = {"prompt_tokens": 5, "completion_tokens": 1}
    assert (
        post(door, "/v1/events?format=openai", json.dumps(chat(usage), indent=1), "application/json")[1]["stored"] == 1
    )
    envelope = {
        "specversion": "1.0",
        "id": "e",
        "source": "g",
        "type": "tokenworks.usage",
        "time": NOON,
        "data": {"model": "m", "input_fresh": 1, "cache_read": 0, "output_visible": 1},
    }
    assert (
        post(door, "/v1/events", json.dumps(envelope), "application/cloudevents+json; charset=utf-8")[1]["stored"] == 1
    )
    assert post(door, "/v1/events", json.dumps([envelope]), "application/cloudevents-batch+json")[1]["duplicate"] == 1
    data = json.dumps(envelope["data"])
    binary = {"ce_specversion": "1.0", "ce_id": "e", "ce_source": "g", "ce_type": "tokenworks.usage", "ce_time": NOON}
    assert post(door, "/v1/events", data, "application/json", **binary)[1]["duplicate"] == 1
    assert post(door, "/v1/events", gzip.compress(lines(NATIVE).encode()), Content_Encoding="gzip")[1]["stored"] == 1
    assert door.events["g", "e"].tenant == "acme"


def test_traces_in_json_and_protobuf(door):
    status, found = post(door, "/v1/traces", json.dumps(EXPORT), "application/json")
    assert (status, found["stored"], found["restated"], "partialSuccess" in found) == (200, 3, 1, False)
    door.events.clear()
    assert post(
        door, "/v1/traces", gzip.compress(request(EXPORT)), "application/x-protobuf", Content_Encoding="gzip"
    ) == (200, b"")
    assert len(door.events) == 3
    status, found = post(door, "/v1/traces", request(EXPORT)[:-5], "application/x-protobuf")
    assert (status, found[:4]) == (400, b"\x0a" + bytes([len(found) - 2]) + b"\x08\x01")
    assert b"protobuf" in found


@pytest.mark.parametrize(
    ("path", "body", "kind", "headers", "status"),
    [
        ("/v1/nothing", "{}", "application/json", {}, 404),
        ("/v1/events", "{}", "image/png", {}, 415),
        ("/v1/events?format=csv", "{}", "application/json", {}, 400),
        ("/v1/traces", "{}", "text/plain", {}, 415),
        ("/v1/events", "x" * 20_001, "text/plain", {}, 413),
        ("/v1/events", gzip.compress(b"x" * 20_001, mtime=0), "text/plain", {"Content_Encoding": "gzip"}, 413),
        ("/v1/events", gzip.compress(b"xxx", mtime=0)[:-3], "text/plain", {"Content_Encoding": "gzip"}, 400),
        ("/v1/events", b"no gzip", "text/plain", {"Content_Encoding": "gzip"}, 400),
        ("/v1/events", "{}", "text/plain", {"Content_Encoding": "br"}, 415),
    ],
)
def test_what_is_not_taken(door, path, body, kind, headers, status):
    found = post(door, path, body, kind, **headers)
    assert (found[0], list(found[1])) == (status, ["error"])
    assert not door.events


def test_other_methods_and_bodies_without_a_length(door):
    assert post(door, "/v1/events", b"", method="GET")[0] == 405
    assert post(door, "/", b"", method="GET")[0] == 404
    connection = http.client.HTTPConnection("127.0.0.1", door.port, timeout=10)
    connection.putrequest("POST", "/v1/events")
    connection.putheader("Transfer-Encoding", "chunked")
    connection.endheaders()
    with connection.getresponse() as answer:
        assert answer.status == 411
    connection.close()
