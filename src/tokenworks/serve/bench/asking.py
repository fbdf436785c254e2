"""What is found out before a bench: whether the server is there, what its model is called, how it counts tokens."""

from __future__ import annotations

import asyncio
import json
import os
from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Any

from tokenworks.errors import InputError
from tokenworks.serve.bench.address import Address
from tokenworks.serve.bench.connection import Connections
from tokenworks.serve.bench.prompts import Asking, head, post
from tokenworks.serve.bench.response import Response
from tokenworks.serve.bench.texts import Characters, Words
from tokenworks.serve.bench.tokenizing import counted

QUICK_S = 30.0  # for one question


@dataclass(frozen=True)
class Wanted:
    """What is stated of the requests; the rest is found out."""

    address: Address
    model: str = ""  # "": the first of /v1/models
    key: str = field(default="", repr=False)
    characters_per_token: float | None = None  # None: the server's /tokenize says
    ignore_eos: bool = False
    extra: Mapping[str, Any] = field(default_factory=dict)
    seed: int = 0


async def asking_of(wanted: Wanted, connections: Connections) -> tuple[Asking, str]:
    """How requests are asked, and in words how their length is counted. Raises InputError."""
    bare = Asking(wanted.address, wanted.model, Characters(4.0), key=wanted.key)
    await _reach(connections, wanted.address)
    model = wanted.model or await _first_model(connections, bare)
    text, around, said = await _text(wanted, connections, bare, model)
    asking = Asking(wanted.address, model, text, around, wanted.key, wanted.ignore_eos, wanted.extra, wanted.seed)
    return asking, said


async def _text(
    wanted: Wanted, connections: Connections, bare: Asking, model: str
) -> tuple[Words | Characters, int, str]:
    per_token = wanted.characters_per_token
    if per_token is not None:
        return Characters(per_token), 0, f"{per_token:g} characters per token, as stated; the template comes on top"

    async def ask(path: str, body: dict[str, Any]) -> Any:
        return await _json(connections, post(bare, wanted.address.prefix + path, body))

    found = await counted(ask, model, wanted.address.dialect)
    if found is None:
        raise InputError(
            f"{wanted.address.root} has no /tokenize: state --chars-per-token (4 is usual for English); the report then has "
            "the server's own counts beside"
        )
    if found.around is None:
        return found.text, 0, f"{found.said}; the template comes on top"
    return found.text, found.around, f"{found.said}, less {found.around} of the template"


async def _reach(connections: Connections, address: Address) -> None:
    try:
        async with asyncio.timeout(QUICK_S):
            connections.keep(await connections.connect())
    except TimeoutError:
        raise InputError(f"no server at {address.root}: no connection within {QUICK_S:g} s") from None
    except OSError as error:
        raise InputError(f"no server at {address.root}: {error.strerror or error}") from None


async def _first_model(connections: Connections, bare: Asking) -> str:
    found = await _json(connections, head(bare, "GET", f"{bare.address.prefix}/v1/models"))
    try:
        return str(found["data"][0]["id"])
    except (TypeError, KeyError, IndexError):
        raise InputError(f"{bare.address.root}/v1/models names no model: say which with --model") from None


async def _json(connections: Connections, request: bytes) -> Any:
    """The JSON of an answer, None where there is none. Raises InputError where the connection breaks."""
    body = bytearray()

    def keep(_response: Response, piece: bytes, _now_s: float) -> None:
        body.extend(piece)

    try:
        async with asyncio.timeout(QUICK_S):
            response = await connections.ask(request, keep)
        return json.loads(body) if response.status == 200 else None
    except ValueError:
        return None
    except (OSError, TimeoutError) as error:
        raise InputError(f"the server broke off: {error}") from None


def key_of(variable: str) -> str:
    """The key in an environment variable; "" where it is not set. Raises InputError for one that no header can carry."""
    key = os.environ.get(variable, "").strip()
    if not key.isascii() or any(c.isspace() for c in key):
        raise InputError(f"the key in ${variable} has blanks or letters that no header can carry")
    return key
