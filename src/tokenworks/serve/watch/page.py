"""An engine's metrics page, over HTTP."""

from __future__ import annotations

import urllib.error
import urllib.request
from urllib.parse import urlsplit

from tokenworks.errors import InputError
from tokenworks.serve.telemetry.samples import Samples, samples

TIMEOUT_S = 5.0
MOST_BYTES = 8 << 20
PATHS = ("", "/", "/v1", "/v1/")  # of an address that names the engine, not its page


def page_url(address: str) -> str:
    """Where the page is. Raises InputError for what is no address.

    >>> page_url("http://10.0.0.7:8000/v1")
    'http://10.0.0.7:8000/metrics'
    >>> page_url("http://10.0.0.7:8002/prometheus/metrics")
    'http://10.0.0.7:8002/prometheus/metrics'
    """
    parts = urlsplit(address)
    if parts.scheme not in ("http", "https") or not parts.netloc:
        raise InputError(f"{address!r} is no address of an engine: http://HOST:PORT, or all of its metrics page's")
    return f"{parts.scheme}://{parts.netloc}/metrics" if parts.path in PATHS else address


def page_at(url: str) -> Samples:
    """Raises InputError where none answers."""
    try:
        with urllib.request.urlopen(url, timeout=TIMEOUT_S) as answer:
            return samples(answer.read(MOST_BYTES).decode("utf-8", "replace"))
    except urllib.error.HTTPError as error:
        raise InputError(f"{url} answers {error.code}") from None
    except (OSError, ValueError) as error:
        raise InputError(f"{url} does not answer: {getattr(error, 'reason', error)}") from None
