"""Where output goes, and what is said where it cannot."""

import os
import stat
import subprocess
import sys
import threading
from pathlib import Path
from types import SimpleNamespace

import pytest

from tokenworks.cli.main import main
from tokenworks.cli.run import folder_name
from tokenworks.control import compiled
from tokenworks.errors import OutputError
from tokenworks.report.files import refuse_unwritable, write_together, write_whole

RUN = ["run", "laptop", "--quiet", "--set", "run.horizon=1 min", "--set", "run.warmup=0 s"]


def tokenworks(*args, **more):
    return subprocess.run([sys.executable, "-m", "tokenworks", *args], timeout=120, **more)


def test_all_files_or_none(tmp_path):
    old = tmp_path / "a"
    old.write_text("old")
    (tmp_path / "b").mkdir()
    with pytest.raises(OutputError, match="b: it is a folder"):
        write_together({old: b"new", tmp_path / "b": b"new"})
    assert old.read_text() == "old"
    assert sorted(p.name for p in tmp_path.iterdir()) == ["a", "b"]


def test_a_link_stays_a_link_and_a_pipe_a_pipe(tmp_path):
    link, target, pipe = tmp_path / "link", tmp_path / "target", tmp_path / "pipe"
    link.symlink_to(target)
    write_whole(link, b"x")
    assert link.is_symlink()
    assert target.read_bytes() == b"x"
    os.mkfifo(pipe)
    heard = []
    listener = threading.Thread(target=lambda: heard.append(pipe.read_bytes()))
    listener.start()
    write_whole(pipe, b"y")
    listener.join()
    assert heard == [b"y"]
    assert stat.S_ISFIFO(pipe.stat().st_mode)


@pytest.mark.parametrize("place", ["afile", "afile/below", "x" * 300])
def test_a_place_that_cannot_be_is_refused_before_the_run(place, tmp_path, monkeypatch, capsys):
    monkeypatch.chdir(tmp_path)
    Path("afile").write_text("")
    monkeypatch.setattr("tokenworks.rehearsal.rehearse", lambda *_: pytest.fail("the factory ran"))
    assert main([*RUN, "--out", place]) == 2
    assert capsys.readouterr().err.startswith("cannot write")
    assert [p.name for p in tmp_path.iterdir()] == ["afile"]


def test_a_folder_without_the_right_to_write(tmp_path, monkeypatch):
    monkeypatch.setattr(os, "access", lambda *_: False)  # the superuser may write everywhere
    with pytest.raises(OutputError, match="is not writable"):
        refuse_unwritable(tmp_path / "new")


def test_a_report_in_the_way_is_named_as_it_was_asked_for(tmp_path, capsys):
    (tmp_path / "result.json").mkdir()
    assert main([*RUN, "--out", str(tmp_path)]) == 2
    assert f"{tmp_path / 'result.json'}: it is a folder" in capsys.readouterr().err
    assert [p.name for p in tmp_path.iterdir()] == ["result.json"]


def test_a_factory_name_cannot_leave_its_folder():
    names = ["../../Größe 1", "/etc", "", "..", "\n", "a\0b", "ü" * 300]
    assert [folder_name(n) for n in names[:6]] == ["Größe-1", "etc", "factory", "factory", "factory", "a-b"]
    assert len(folder_name(names[6]).encode()) < 256


def test_requests_are_kept_beside_a_trace(tmp_path):
    assert main([*RUN, "--out", str(tmp_path), "--requests", "--trace", "10s:11s"]) == 0
    found = sorted(p.name for p in tmp_path.iterdir())
    assert found == ["report.html", "requests.parquet", "result.json", "timeline.parquet", "trace.json"]


@pytest.mark.parametrize("path", ["", "afile/x.yaml"])
def test_init_says_what_is_wrong_with_its_path(path, tmp_path, monkeypatch, capsys):
    monkeypatch.chdir(tmp_path)
    Path("afile").write_text("")
    assert main(["init", path]) == 2
    assert capsys.readouterr().err.count("\n") == 1


@pytest.mark.skipif(not Path("/dev/full").exists(), reason="needs a device that is always full")
def test_a_full_disk_under_stdout():
    with open("/dev/full", "w") as full:
        done = tokenworks("catalog", "list", stdout=full, stderr=subprocess.PIPE, text=True)
    assert done.returncode == 2
    assert done.stderr == "the system refuses: [Errno 28] No space left on device\n"


def test_no_stdout_at_all():
    done = tokenworks("catalog", "list", stderr=subprocess.PIPE, preexec_fn=lambda: os.close(1))
    assert (done.returncode, done.stderr) == (0, b"")


def test_a_terminal_without_unicode():
    plain = {"LC_ALL": "C", "PYTHONUTF8": "0", "PYTHONCOERCECLOCALE": "0"}
    done = tokenworks("estimate", "laptop", env={**os.environ, **plain}, capture_output=True)
    assert (done.returncode, done.stderr) == (0, b"")
    assert b"Prefill step" in done.stdout
    assert done.stdout.isascii()


def test_compiled_code_goes_to_a_folder_of_ones_own_where_the_package_is_read_only(tmp_path, monkeypatch):
    config = SimpleNamespace(CACHE_DIR="")
    monkeypatch.setattr(compiled, "_config", config)
    compiled.keep_where_possible()
    assert config.CACHE_DIR == ""  # beside the source, where it can be
    writable = os.access
    monkeypatch.setattr(
        os, "access", lambda p, mode: not str(p).startswith(str(compiled.PACKAGE)) and writable(p, mode)
    )
    monkeypatch.setenv("XDG_CACHE_HOME", str(tmp_path))
    compiled.keep_where_possible()
    assert Path(config.CACHE_DIR).is_relative_to(tmp_path / "tokenworks")
    Path(config.CACHE_DIR).chmod(0o777)
    assert not compiled.own(Path(config.CACHE_DIR))  # others could plant code there


@pytest.mark.parametrize("verb", [["compare", "chatplan", "laptop"], ["plan", "export", "chatplan", "--to", "vllm"]])
def test_a_missing_plan_names_those_that_were_made(verb, tmp_path, monkeypatch, capsys):
    monkeypatch.chdir(tmp_path)
    for name in ("older", "chat-plan"):
        (tmp_path / "out" / name).mkdir(parents=True)
        (tmp_path / "out" / name / "factory.yaml").write_text("")
    assert main(verb) == 2
    assert "no such file or folder: chatplan" in (said := capsys.readouterr().err)
    assert "Under out: out/chat-plan, out/older" in said
