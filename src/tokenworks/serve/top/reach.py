"""The metrics page of a gateway, over HTTP."""

from __future__ import annotations

import ssl
import time
import urllib.error
import urllib.request

from tokenworks.errors import InputError
from tokenworks.serve.bench.address import address_of
from tokenworks.serve.telemetry.samples import samples
from tokenworks.serve.top.window import ACTIVE, Reading

TIMEOUT_S = 5.0


def reading(url: str, key: str = "", ca: str | None = None, hint: str = "") -> Reading:
    """The page as it is now. ``hint``: where the key comes from. Raises InputError where no gateway answers."""
    page = samples(_page(url, key, ca, hint))
    if ACTIVE not in page.of:
        raise InputError(f"{url} answers, but not with the metrics of a tokenworks gateway")
    return Reading(time.monotonic(), page)


def _page(url: str, key: str, ca: str | None, hint: str) -> str:
    address = address_of(url)
    request = urllib.request.Request(f"{address.root}/v1/metrics")
    if key:
        request.add_header("Authorization", f"Bearer {key}")
    try:
        trust = ssl.create_default_context(cafile=ca) if address.tls else None
        with urllib.request.urlopen(request, timeout=TIMEOUT_S, context=trust) as answer:
            return str(answer.read().decode("utf-8", "replace"))
    except urllib.error.HTTPError as error:
        why = f"; {hint}, and it needs the scope metrics" if hint and error.code in (401, 403) else ""
        raise InputError(f"{url}/v1/metrics answers {error.code}{why}") from None
    except OSError as error:
        raise InputError(f"{url} does not answer: {getattr(error, 'reason', error)}") from None
