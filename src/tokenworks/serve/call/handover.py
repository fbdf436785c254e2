"""How engines of two pools hand over the KV cache of a prompt: what each of them is asked, by the engines' own protocols.

vLLM with its NIXL connector: the prefill engine is asked for one token, whole; its answer says where the cache lies, and the
decode engine fetches it from there (vllm/tests/v1/kv_connector/nixl_integration/toy_proxy_server.py).
SGLang: both are asked the same at the same time, and meet in a room of the prefill engine's bootstrap server
(sgl-router, `--pd-disaggregation`; bootstrap_host, bootstrap_port and bootstrap_room of its requests).
"""

from __future__ import annotations

import secrets
from typing import Protocol

import msgspec

from tokenworks.serve.body.splice import Body, edited, has_member
from tokenworks.serve.dialects.way import Way
from tokenworks.serve.http.request import Refused
from tokenworks.serve.upstreams.upstream import Upstream

PARAMS = b"kv_transfer_params"
ROOM_BITS = 63
MEMBERS = (PARAMS, b"bootstrap_host", b"bootstrap_port", b"bootstrap_room")  # the gateway's own
ASKS = (
    b'{"do_remote_decode":true,"do_remote_prefill":false,"remote_engine_id":null,"remote_block_ids":null,'
    b'"remote_host":null,"remote_port":null}'
)
ONE_TOKEN = {b"stream": b"false", b"max_tokens": b"1", PARAMS: ASKS}
ONE_TOKEN_TOO = {b"max_completion_tokens": b"1", b"stream_options": b"null", b"min_tokens": b"0"}


class Handover(Protocol):
    """Of one call, from one prefill upstream to one decode upstream. ``at_once``: both are asked at the same time."""

    at_once: bool

    def asked(self, text: bytes) -> bytes:
        """The body in the words of the present leg."""

    def filled(self, answer: bytes) -> bool:
        """The prefill upstream has answered; whether it has handed over anything."""


class _Params(msgspec.Struct):
    kv_transfer_params: msgspec.Raw = msgspec.Raw()


_params = msgspec.json.Decoder(_Params).decode


class VllmHandover(Handover):
    """One after the other. What the first says of its cache goes on as it came."""

    at_once = False

    def __init__(self) -> None:
        self._params = b""

    def asked(self, text: bytes) -> bytes:
        return edited(text, {PARAMS: self._params}, {}) if self._params else edited(text, ONE_TOKEN, ONE_TOKEN_TOO)

    def filled(self, answer: bytes) -> bool:
        try:
            told = bytes(_params(answer).kv_transfer_params)
        except msgspec.MsgspecError:
            return False
        self._params = told if told.startswith(b"{") else b""
        return bool(self._params)


class SglangHandover(Handover):
    """Both at once, in a room that nobody else is in."""

    at_once = True

    def __init__(self, prefill: Upstream):
        room = secrets.randbits(ROOM_BITS)
        self._members = {
            b"bootstrap_host": msgspec.json.encode(prefill.host),
            b"bootstrap_port": b"%d" % prefill.bootstrap_port,
            b"bootstrap_room": b"%d" % room,
        }

    def asked(self, text: bytes) -> bytes:
        return edited(text, self._members, {})

    def filled(self, answer: bytes) -> bool:
        return True


def handover_from(prefill: Upstream) -> Handover:
    """A new one, by the protocol of the upstream that begins."""
    return SglangHandover(prefill) if prefill.handover == "sglang" else VllmHandover()


def refuse_unfit(way: Way, said: Body) -> None:
    """Raises Refused for what two pools are not asked: more than one answer, vectors, and a caller's own handover, which
    could name the cache of another's prompt."""
    if not way.limits:
        raise Refused(
            400, "not_supported", "a service with prefill and decode pools makes no embeddings", param="model"
        )
    if said.known.n not in (None, 1):
        raise Refused(400, "n", "a service with prefill and decode pools gives one answer: n is 1", param="n")
    for name in MEMBERS:
        if has_member(said.text, name):
            raise Refused(
                400, "not_supported", f"{name.decode()} is between the gateway and its engines", param=name.decode()
            )
