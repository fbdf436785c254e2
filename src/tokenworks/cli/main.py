"""`tokenworks VERB …`: parses, runs the verb, turns errors into messages and exit codes."""

from __future__ import annotations

import argparse
import errno
import os
import sys
from collections.abc import Sequence

from tokenworks.cli import calibrate, catalog, check, estimate, init, run, schema, validate
from tokenworks.errors import CatalogError, ConservationError, InputError

VERBS = (init, check, run, estimate, catalog, validate, calibrate, schema)


def parser() -> argparse.ArgumentParser:
    top = argparse.ArgumentParser(
        prog="tokenworks",
        description="An AI factory in Python: describe it, run it on a virtual clock, see tokens, latency, dollars, watts.",
    )
    top.add_argument("--version", action="version", version=f"tokenworks {_version()}")
    verbs = top.add_subparsers(dest="verb", metavar="VERB", required=True)
    for verb in VERBS:
        verb.register(verbs)
    return top


def _version() -> str:
    from importlib.metadata import version

    return version("tokenworks")


def main(argv: Sequence[str] | None = None) -> int:
    """Exit codes: 0 done, 2 bad input, 70 a defect of Tokenworks, 130 interrupted."""
    args = parser().parse_args(argv)
    try:
        code: int = args.run(args)
        sys.stdout.flush()
        return code
    except (InputError, CatalogError) as error:
        return _fail(str(error), 2)
    except ConservationError as error:
        return _fail(f"internal error, please report: {error}", 70)
    except KeyboardInterrupt:
        return _fail("interrupted", 130)
    except BrokenPipeError:
        os.dup2(os.open(os.devnull, os.O_WRONLY), sys.stdout.fileno())
        return 0
    except OSError as error:
        if error.errno in (errno.ENOSPC, errno.EDQUOT, errno.EFBIG):
            return _fail(f"the disk is full: nothing was written to {error.filename or 'the output'}", 2)
        if error.errno in (errno.EACCES, errno.EPERM, errno.EROFS, errno.EISDIR, errno.ENOTDIR):
            return _fail(f"cannot write {error.filename}: {error.strerror}", 2)
        raise


def _fail(message: str, code: int) -> int:
    print(message, file=sys.stderr)
    return code
