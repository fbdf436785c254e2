"""Over the whole API: what is not a tenant's own does not exist for it, cannot be used by it, and is not written to its account."""

import asyncio
import json
import tempfile
from pathlib import Path

import pytest
from hypothesis import Phase, given, settings
from hypothesis import strategies as st
from live_gateway import Engine, call, run, several

from tokenworks.api import load
from tokenworks.ledger import Ledger
from tokenworks.serve.access.keys import KeyRing, add
from tokenworks.serve.building import services_of, upstreams_of
from tokenworks.serve.gateway import DIALECTS
from tokenworks.serve.pages.openapi import PAGES
from tokenworks.serve.start import gateway

FACTORY = load("mixed-fleet")
NAMES = [s.name for s in FACTORY.services]
MODELS = {s.name: s.model for s in FACTORY.services}
SAID = [{"role": "user", "content": "hi"}]
ASKED = {
    "/v1/chat/completions": {"messages": SAID}, "/v1/completions": {"prompt": "a"}, "/v1/embeddings": {"input": "a"},
    "/v1/responses": {"input": "a"}, "/v1/messages": {"max_tokens": 3, "messages": SAID}, "/v1/messages/count_tokens": {"messages": SAID},
}  # fmt: skip
assert set(ASKED) == {path.decode() for path in DIALECTS}


def owners():
    """Which services each of three tenants may ask; every service somebody's, none everybody's."""
    return st.lists(st.sampled_from(["a", "b", "c"]), min_size=len(NAMES), max_size=len(NAMES)).filter(
        lambda found: len(set(found)) > 1
    )


calls = st.lists(
    st.tuples(
        st.sampled_from(["a", "b", "c"]), st.sampled_from([*ASKED, *PAGES, "/v1/models/"]), st.sampled_from(NAMES),
        st.sampled_from(["name", "model", "alias"]), st.booleans(), st.booleans(),
    ),
    min_size=5, max_size=25,
)  # fmt: skip


@settings(max_examples=12, phases=[Phase.generate])
@given(owners(), calls)
def test_no_tenant_sees_or_uses_what_is_another_ones(owned, asked):
    async def case(folder):
        mine = {tenant: {n for n, o in zip(NAMES, owned, strict=True) if o == tenant} for tenant in "abc"}
        texts = {}
        for tenant, services in mine.items():
            texts[tenant] = add(
                folder / "keys.json", tenant, services=tuple(services) or ("nothing",), scopes=("infer",)
            )[1]
        engines = [Engine() for _ in NAMES]
        async with several(engines) as ports:
            rows = [{"service": n, "url": f"http://127.0.0.1:{p}"} for n, p in zip(NAMES, ports, strict=True)]
            factory = FACTORY.replace(
                "serve", {"upstreams": rows, "aliases": {f"alias-{n}": n for n in NAMES}, "drain": "1 s"}
            )
            with Ledger.open(folder / "ledger.db") as ledger:
                services = services_of(factory, upstreams_of(factory))
                async with gateway(
                    factory, services, ledger, KeyRing(folder / "keys.json"), "127.0.0.1", 0
                ) as listening:
                    expected = []
                    for tenant, path, service, as_, streams, x_api_key in asked:
                        own = service in mine[tenant]
                        name = {"name": service, "model": MODELS[service], "alias": f"alias-{service}"}[as_]
                        key = f"x-api-key: {texts[tenant]}" if x_api_key else f"Authorization: Bearer {texts[tenant]}"
                        before = [len(e.asked) for e in engines]
                        if path in ASKED:
                            more = {"stream": True} if streams and path != "/v1/embeddings" else {}
                            body = json.dumps({"model": name, **ASKED[path], **more}).encode()
                            status, _, said = await call(listening.port, "POST", path, body, [key])
                            counts = path.endswith("count_tokens")
                            assert status == (200 if own and not counts else 404)
                            if own and not counts:
                                expected.append((tenant, service))
                            used = [n for n, e, b in zip(NAMES, engines, before, strict=True) if len(e.asked) > b]
                            assert used == ([service] if status == 200 else [])
                        else:
                            path += name if path == "/v1/models/" else ""
                            status, _, said = await call(listening.port, "GET", path, b"", [key])
                            if path == "/v1/metrics":
                                assert status == 403
                        if status != 404 and path != "/openapi.json":
                            others = {n for n in NAMES if n not in mine[tenant]}
                            said = said.replace(b'"speaks":["chat"]', b"")  # a dialect, not a service
                            assert not any(
                                json.dumps(o).encode() in said for o in others | {f"alias-{o}" for o in others}
                            )
                rows = ledger.usage_table().to_pylist()
                assert sorted((r["tenant"], r["service"]) for r in rows) == sorted(expected)

    with tempfile.TemporaryDirectory() as folder:
        run(case(Path(folder)))


@pytest.mark.parametrize("path", ASKED)
def test_a_service_of_another_tenant_and_one_that_is_not_there_get_the_same_answer(path):
    async def case(folder):
        text = add(folder / "keys.json", "a", services=(NAMES[0],))[1]
        async with several([Engine() for _ in NAMES]) as ports:
            rows = [{"service": n, "url": f"http://127.0.0.1:{p}"} for n, p in zip(NAMES, ports, strict=True)]
            factory = FACTORY.replace("serve", {"upstreams": rows, "drain": "1 s"})
            with Ledger.open(folder / "ledger.db") as ledger:
                services = services_of(factory, upstreams_of(factory))
                async with gateway(
                    factory, services, ledger, KeyRing(folder / "keys.json"), "127.0.0.1", 0
                ) as listening:
                    return await asyncio.gather(
                        *(
                            call(
                                listening.port,
                                "POST",
                                path,
                                json.dumps({"model": m, **ASKED[path]}).encode(),
                                [f"x-api-key: {text}"],
                            )
                            for m in (NAMES[1], "x" * len(NAMES[1]))
                        )
                    )

    with tempfile.TemporaryDirectory() as folder:
        (first, _, one), (second, _, other) = run(case(Path(folder)))
    assert first == second == 404
    assert one.replace(NAMES[1].encode(), b"") == other.replace(b"x" * len(NAMES[1]), b"")
