"""The audit log: every change of keys is in it, and no line of it can be changed unseen."""

import json
import os
import subprocess
import sys
from hashlib import sha256

import pytest
from hypothesis import given
from hypothesis import strategies as st

from tokenworks.cli.main import main
from tokenworks.errors import InputError
from tokenworks.serve.access.audit import START, beside, record, verified
from tokenworks.serve.access.keys import add, revoke


def test_changes_of_keys_are_recorded_without_the_key(tmp_path, capsys):
    path = tmp_path / "keys.json"
    key, text = add(path, "acme", scopes=("infer", "admin"))
    revoke(path, key.id)
    log = beside(path)
    first, second = map(json.loads, log.read_text().splitlines())
    assert (first["action"], first["subject"]) == ("keys.add", key.id)
    assert first["detail"] == {"tenant": "acme", "scopes": ["infer", "admin"]}
    assert first["actor"] == f"user:{os.getuid()}"
    assert (second["action"], second["subject"]) == ("keys.revoke", key.id)
    assert text not in log.read_text()
    assert key.sha256 not in log.read_text()
    assert log.stat().st_mode & 0o777 == 0o600
    assert main(["keys", "audit", "--keys", str(path), "--json"]) == 0
    last = sha256(log.read_bytes().splitlines()[1]).hexdigest()
    assert json.loads(capsys.readouterr().out) == {"actions": 2, "last_sha256": last}


def test_each_line_holds_the_hash_of_the_one_before(tmp_path):
    path = tmp_path / "audit"
    previous = START
    for n in range(4):
        record(path, "me", "test", str(n), note="x" * 3000 * n)  # longer than one look back
        line = path.read_bytes().splitlines()[-1]
        assert json.loads(line)["previous"] == previous
        previous = sha256(line).hexdigest()
    assert verified(path) == (4, previous)


@given(st.data())
def test_whatever_is_changed_moved_or_taken_out_before_the_end_shows(tmp_path_factory, data):
    path = tmp_path_factory.mktemp("audit") / "log"
    for n in range(5):
        record(path, "me", "test", str(n))
    lines = path.read_bytes().splitlines(keepends=True)
    n = data.draw(st.integers(0, 3))
    how = data.draw(st.sampled_from(["change", "take out", "swap", "double"]))
    if how == "change":
        lines[n] = lines[n].replace(b'"actor":"me"', b'"actor":"you"')
    elif how == "take out":
        del lines[n]
    elif how == "swap":
        lines[n], lines[n + 1] = lines[n + 1], lines[n]
    else:
        lines.insert(n, lines[n])
    path.write_bytes(b"".join(lines))
    with pytest.raises(InputError, match="line"):
        verified(path)


def test_a_line_without_its_end_is_named_and_nothing_is_written_behind_it(tmp_path):
    path = tmp_path / "audit"
    record(path, "me", "test", "1")
    path.write_bytes(path.read_bytes()[:-1])
    for look in (lambda: verified(path), lambda: record(path, "me", "test", "2")):
        with pytest.raises(InputError, match="no end"):
            look()


def test_an_audit_log_that_cannot_be_written_lets_no_key_change(tmp_path):
    path = tmp_path / "keys.json"
    beside(path).mkdir()
    with pytest.raises(InputError, match="audit"):
        add(path, "acme")
    assert not path.exists()


WRITER = """
import sys
from pathlib import Path
from tokenworks.serve.access.audit import record
print(flush=True)
sys.stdin.read()
for n in range(60):
    record(Path(sys.argv[1]), "me", "test", str(n))
"""


def test_processes_that_write_at_once_keep_the_chain(tmp_path):
    path, pipe = tmp_path / "audit", subprocess.PIPE
    writers = [subprocess.Popen([sys.executable, "-c", WRITER, str(path)], stdin=pipe, stdout=pipe) for _ in range(3)]
    for writer in writers:
        writer.stdout.readline()  # it is there
    for writer in writers:
        writer.stdin.close()
    for writer in writers:
        assert writer.wait() == 0
        writer.stdout.close()
    assert verified(path)[0] == 180
