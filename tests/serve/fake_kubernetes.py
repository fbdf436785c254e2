"""A Kubernetes API server of one resource on a real socket: keeps what it was asked, counts versions, refuses as told."""

import json
import threading
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer


class FakeKubernetes:
    """``resource``: the path of the only resource; ``scalable``: it has a scale subresource."""

    def __init__(self, resource, body, token="secret", scalable=True):
        self.resource, self.body, self.token, self.scalable = resource, body, token, scalable
        self.version, self.asked, self.conflicts, self.fails = 1, [], 0, None
        fake = self

        class Handler(BaseHTTPRequestHandler):
            protocol_version = "HTTP/1.1"

            def log_message(self, *_):
                pass

            def do_GET(self):
                fake.answer(self, None)

            def do_PATCH(self):
                fake.answer(self, json.loads(self.rfile.read(int(self.headers["Content-Length"]))))

        self.server = ThreadingHTTPServer(("127.0.0.1", 0), Handler)
        self.url = f"http://127.0.0.1:{self.server.server_port}"

    def __enter__(self):
        self.thread = threading.Thread(target=self.server.serve_forever, args=(0.01,))
        self.thread.start()
        return self

    def __exit__(self, *_):
        self.server.shutdown()
        self.server.server_close()
        self.thread.join()

    def answer(self, call, patch):
        self.asked.append((call.command, call.path, call.headers.get("Content-Type", "") if patch else "", patch))
        status, body = self.decide(call, patch)
        text = json.dumps(body).encode()
        call.send_response(status)
        call.send_header("Content-Type", "application/json")
        call.send_header("Content-Length", str(len(text)))
        call.end_headers()
        call.wfile.write(text)

    def decide(self, call, patch):
        if call.headers.get("Authorization") != f"Bearer {self.token}":
            return 401, {"kind": "Status", "code": 401, "reason": "Unauthorized"}
        if self.fails:
            return self.fails, {"kind": "Status", "code": self.fails}
        scale = call.path == f"{self.resource}/scale" and self.scalable
        if call.path != self.resource and not scale:
            return 404, {"kind": "Status", "code": 404, "reason": "NotFound"}
        if patch is not None:
            if call.headers.get("Content-Type") != "application/merge-patch+json":
                return 415, {"kind": "Status", "code": 415}
            if self.conflicts:
                self.conflicts -= 1
                self.version += 1  # somebody else was faster
            if patch.get("metadata", {}).get("resourceVersion") != str(self.version):
                return 409, {"kind": "Status", "code": 409, "reason": "Conflict"}
            merge(self.body, {k: v for k, v in patch.items() if k != "metadata"})
            self.version += 1
        shown = {"spec": {"replicas": self.body["spec"]["replicas"]}} if scale else self.body
        return 200, {**shown, "metadata": {"resourceVersion": str(self.version)}}


def merge(into, patch):
    """RFC 7386, for objects."""
    for key, value in patch.items():
        if isinstance(value, dict):
            merge(into.setdefault(key, {}), value)
        else:
            into[key] = value
