"""Keys: shown once, stored hashed, one answer for all that are not valid, tenants apart."""

import json
import stat
import subprocess
import sys
import time

import pytest
from live_gateway import Engine, front, run

from tokenworks.cli.main import main
from tokenworks.errors import InputError
from tokenworks.serve.access import access, keys
from tokenworks.serve.access.keys import KeyRing, add, revoke
from tokenworks.serve.http.request import Refused, Request

PLAIN = {"model": "chat", "messages": []}
CALLS = {"/v1/messages": {"max_tokens": 3, **PLAIN}, "/v1/responses": {"model": "chat", "input": "a"}}


def ring_with(tmp_path, **more):
    """(the keys in force, the text of the one key)."""
    path = tmp_path / "keys.json"
    _, text = add(path, **{"tenant": "acme", **more})
    return KeyRing(path), text


def bearer(text):
    return [f"Authorization: Bearer {text}"]


def test_add_list_revoke(tmp_path, capsys, monkeypatch):
    monkeypatch.setenv("TOKENWORKS_KEYS", str(tmp_path / "keys.json"))
    assert main(["keys", "add", "--tenant", "acme", "--name", "ci", "--service", "chat", "--expires", "30 d"]) == 0
    text = capsys.readouterr().out.strip()
    stored = (tmp_path / "keys.json").read_text()
    assert text.startswith("tw-")
    assert text.split("-", 2)[2] not in stored
    assert stat.S_IMODE((tmp_path / "keys.json").stat().st_mode) == 0o600
    assert main(["keys", "list", "--json"]) == 0
    row = json.loads(capsys.readouterr().out)[0]
    assert (row["tenant"], row["state"], row["services"], row["scopes"]) == ("acme", "valid", ["chat"], ["infer"])
    assert abs(row["expires_s"] - time.time() - 30 * 86400) < 60
    ring = KeyRing(tmp_path / "keys.json")
    assert ring.find(text.encode(), time.time()).tenant == "acme"
    assert main(["keys", "revoke", row["id"]]) == 0
    assert ring.refresh() == ""
    assert ring.find(text.encode(), time.time()) is None
    assert main(["keys", "list"]) == 0
    assert "revoked" in capsys.readouterr().out


@pytest.mark.parametrize(
    ("arguments", "said"),
    [
        (["add", "--tenant", " "], "one line of text"),
        (["add", "--tenant", "a", "--scope", "root"], "no scope 'root'"),
        (["add", "--tenant", "a", "--expires", "soon"], "--expires"),
        (["revoke", "1234"], "no such key file"),
        (["list"], "no such key file"),
        (["add", "--tenant", "a", "--keys", "nowhere/keys.json"], "cannot write"),
    ],
)
def test_what_is_wrong_is_said_with_exit_code_2_and_nothing_is_written(tmp_path, capsys, monkeypatch, arguments, said):
    monkeypatch.chdir(tmp_path)
    assert main(["keys", *arguments]) == 2
    assert said in capsys.readouterr().err
    assert not list(tmp_path.glob("*.json"))


def test_ends_of_keys(tmp_path):
    ring, text = ring_with(tmp_path, lives_s=100.0)
    now = time.time()
    assert ring.find(text.encode(), now) is not None
    assert ring.find(text.encode(), now + 101) is None
    for wrong in (
        text[:-1],
        text + "a",
        "tw-" + text[3:].swapcase(),
        "",
        "tw-",
        "tw--",
        "Bearer",
        text.replace("tw", "xx", 1),
    ):
        assert ring.find(wrong.encode(), now) is None


def test_keys_are_compared_in_constant_time(tmp_path, monkeypatch):
    """Every search compares one hash, and with compare_digest, whether or not there is such a key."""
    ring, text = ring_with(tmp_path)
    seen = []
    monkeypatch.setattr(keys, "compare_digest", lambda a, b: seen.append((len(a), len(b))) or a == b)
    for given in (text, "tw-000000000000-x", "nothing"):
        ring.find(given.encode(), time.time())
    assert seen == [(32, 32)] * 3


class Connection:
    proof = None


def test_a_kept_connection_spares_the_hash_and_nothing_else(tmp_path, monkeypatch):
    """The same words are compared again, in constant time; other words, other keys in force and a key that has ended are not
    believed."""
    ring, text = ring_with(tmp_path, lives_s=100.0)
    _, other = add(tmp_path / "keys.json", "zeta")
    ring.refresh()
    guard, connection, hashed, now = access.Access(ring), Connection(), [], time.time()
    find = ring.find
    monkeypatch.setattr(ring, "find", lambda given, now_s: hashed.append(given) or find(given, now_s))

    def tenant(words):
        request = Request(b"POST", b"/v1/chat/completions", b"", {b"authorization": words.encode()}, 0.0)
        try:
            return guard.of(request, connection, "infer").tenant
        except Refused as refused:
            return refused.status

    assert [tenant(f"Bearer {text}") for _ in range(3)] == ["acme"] * 3
    assert len(hashed) == 1
    assert [tenant(f"Bearer {text}x"), tenant(f"Bearer {other}"), tenant(f"Bearer {text}")] == [401, "zeta", "acme"]
    assert len(hashed) == 4
    with pytest.raises(Refused):  # the proof is of what stood in one header, not of a caller who says nothing
        guard.of(Request(b"POST", b"/", b"", {}, 0.0), connection, "infer")
    assert tenant(f"Bearer {text}") == "acme"
    monkeypatch.setattr(time, "time", lambda: now + 101)
    assert tenant(f"Bearer {text}") == 401
    monkeypatch.setattr(time, "time", lambda: now)
    assert tenant(f"Bearer {text}") == "acme"
    revoke(tmp_path / "keys.json", text.split("-")[1])
    ring.refresh()
    assert [tenant(f"Bearer {text}"), tenant(f"Bearer {other}")] == [401, "zeta"]


def test_a_broken_key_file_leaves_the_keys_in_force(tmp_path):
    ring, text = ring_with(tmp_path)
    (tmp_path / "keys.json").write_text("{")
    assert "is no key file" in ring.refresh()
    assert ring.find(text.encode(), time.time()) is not None
    with pytest.raises(InputError):
        KeyRing(tmp_path / "keys.json")


def test_who_may_ask_for_what(tmp_path):
    path = tmp_path / "keys.json"
    _, good = add(path, "acme")
    _, other = add(path, "zeta", services=("reasoner",))
    _, watcher = add(path, "ops", scopes=("metrics",))
    _, late = add(path, "late", lives_s=1e-9)

    async def case():
        async with front(tmp_path, Engine(), ring=KeyRing(path)) as gate:
            found = {
                "good": await gate.post(PLAIN, headers=bearer(good)),
                "none": await gate.post(PLAIN),
                "basic": await gate.post(PLAIN, headers=["Authorization: Basic abc"]),
                "unknown": await gate.post(PLAIN, headers=bearer("tw-000000000000-abc")),
                "wrong": await gate.post(PLAIN, headers=bearer(good[:-1] + ("a" if good[-1] != "a" else "b"))),
                "late": await gate.post(PLAIN, headers=bearer(late)),
                "other": await gate.post(PLAIN, headers=bearer(other)),
                "nobody": await gate.post({**PLAIN, "model": "nobody"}, headers=bearer(good)),
                "watcher": await gate.post(PLAIN, headers=bearer(watcher)),
                "models": await gate.get("/v1/models", headers=bearer(other)),
                "metadata": await gate.get("/v1/metadata", headers=bearer(other)),
                "metrics": await gate.get("/v1/metrics", headers=bearer(good)),
                "metrics watcher": await gate.get("/v1/metrics", headers=bearer(watcher)),
                "metrics none": await gate.get("/v1/metrics"),
                "live": await gate.get("/v1/health/live"),
            }
            return found, await gate.events(1), len(gate.engines[0].asked)

    found, events, asked = run(case())
    assert {name: answer[0] for name, answer in found.items()} == {
        "good": 200, "none": 401, "basic": 401, "unknown": 401, "wrong": 401, "late": 401, "other": 404, "nobody": 404,
        "watcher": 403, "models": 200, "metadata": 200, "metrics": 403, "metrics watcher": 200, "metrics none": 401, "live": 200,
    }  # fmt: skip
    assert (
        len({found[name][2] for name in ("none", "basic", "unknown", "wrong", "late")}) == 1
    )  # they tell nothing apart
    assert json.loads(found["other"][2])["error"]["code"] == json.loads(found["nobody"][2])["error"]["code"]
    assert json.loads(found["models"][2])["data"] == []
    assert json.loads(found["metadata"][2])["modelInfo"] == []
    assert [e["tenant"] for e in events] == ["acme"]
    assert asked == 1


def test_secrets_are_in_no_log_and_no_answer(tmp_path, monkeypatch, caplog):
    """An upstream that fails in every way, keys right and wrong: neither secret is said anywhere."""
    monkeypatch.setenv("UPSTREAM_KEY", "sk-upstream-secret")
    ring, text = ring_with(tmp_path, scopes=("infer", "metrics"))
    caplog.set_level("DEBUG")

    async def case():
        scripts = [
            lambda r, c: c.respond(401, b"{}"), lambda r, c: c.transport.abort(), lambda r, c: c.respond(500, b"{}"),
            lambda r, c: c.transport.write(b"nonsense\r\n\r\n"),
        ]  # fmt: skip
        came = b""
        for script in scripts:
            async with front(tmp_path, Engine(script), ring=ring, upstream={"key_env": "UPSTREAM_KEY"}) as gate:
                for key in (text, text + "x"):
                    came += (await gate.post(PLAIN, headers=bearer(key)))[2]
                    for path, body in CALLS.items():
                        came += (await gate.post(body, path, [f"x-api-key: {key}"]))[2]
                    came += (await gate.get("/v1/metrics", bearer(key)))[2]
                came += repr(vars(gate.served[0].router.upstreams[0])).encode()
        return came.decode()

    said = run(case()) + caplog.text
    assert "upstream" in said
    assert "sk-upstream-secret" not in said
    assert text not in said
    assert text.split("-", 2)[2] not in said


def test_two_processes_that_add_keys_lose_none(tmp_path):
    path = tmp_path / "keys.json"
    code = f"from pathlib import Path; from tokenworks.serve.access.keys import add\nfor i in range(20): add(Path({str(path)!r}), 't')"
    both = [subprocess.Popen([sys.executable, "-c", code]) for _ in range(2)]
    assert [p.wait() for p in both] == [0, 0]
    assert len(keys.load(path)) == 40
