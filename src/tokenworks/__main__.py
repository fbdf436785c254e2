"""`python -m tokenworks`, and the `tokenworks` command."""

import os
import sys


def run() -> None:
    """Exits with the code of the verb, with 130 for a Ctrl-C even while modules are still being imported."""
    try:
        from tokenworks.cli.main import main

        code = main()
    except KeyboardInterrupt:
        print("interrupted", file=sys.stderr)  # noqa: T201
        code = 130
    if code == 130:
        # CPython forgets that a Ctrl-C was handled when it arrived inside an `exec`, and would die of the signal
        for stream in filter(None, (sys.stdout, sys.stderr)):
            stream.flush()
        os._exit(code)
    sys.exit(code)


if __name__ == "__main__":
    run()
