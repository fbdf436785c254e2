"""Our OpenAPI document against a running gateway with emulated workers: schemathesis draws the calls.

python benchmarks/gateway_document.py            1,000 calls of each operation (about ten minutes)
python benchmarks/gateway_document.py --quick    20 calls of each

Half of the calls are drawn as the document allows them, half as it forbids. A drawn name is no model's, so every second call
gets the name of one, and every fourth that is allowed a message that somebody may have said (the document leaves messages open);
limits of tokens are brought below 65, for an emulated worker takes its time for every token. The gateway must have logged no
error.
"""

import itertools
import json
import sys
import time
import urllib.request
from collections import Counter
from typing import Any

import hypothesis
import schemathesis
from gateway_proof import ROOT, Found, by_status, emulating, options, tell
from schemathesis import GenerationMode, checks
from schemathesis.core.failures import FailureGroup

sys.path.insert(0, str(ROOT / "tests" / "serve"))
from hostile import SAID

CHECKS = ["not_a_server_error", "status_code_conformance", "content_type_conformance", "response_schema_conformance"]
STRICT = "negative_data_rejection"
TRANSLATED = ("/v1/responses", "/v1/messages")  # of these the gateway checks every field
LIMITS = ("max_tokens", "max_completion_tokens", "max_output_tokens")
MOST_TOKENS, LONGEST = 64, 10_000_000  # a limit beyond is refused by itself


def tamed(body: Any, number: int, valid: bool) -> None:
    """A call that an emulated worker answers soon. What makes a call wrong is left as it is."""
    if not isinstance(body, dict):
        return
    if isinstance(body.get("model"), str) and number % 2:
        body["model"] = "chat"
    for name in LIMITS:
        if isinstance(limit := body.get(name), int) and MOST_TOKENS < limit <= LONGEST:
            body[name] = limit % MOST_TOKENS + 1
    if valid and isinstance(body.get("messages"), list):
        if not any(name in body for name in LIMITS):
            body["max_tokens"] = 8
        if number % 4 == 1:
            body["messages"] = SAID


def walked(operation: Any, mode: GenerationMode, count: int, base: str, statuses: Counter[int]) -> list[str]:
    """So many calls of an operation. What it did that the document does not say."""
    wanted = CHECKS + [STRICT] * (operation.path in TRANSLATED)
    chosen = checks.CHECKS.get_by_names(wanted)
    numbers, valid = itertools.count(), mode is GenerationMode.POSITIVE

    @hypothesis.seed(1)
    @hypothesis.settings(
        max_examples=count, deadline=None, database=None, suppress_health_check=list(hypothesis.HealthCheck)
    )
    @hypothesis.given(case=operation.as_strategy(generation_mode=mode))
    def every(case: Any) -> None:
        tamed(case.body, next(numbers), valid)
        answer = case.call(base_url=base, timeout=30)
        statuses[answer.status_code] += 1
        case.validate_response(answer, checks=chosen)

    try:
        every()
    except hypothesis.errors.Unsatisfiable:
        return []  # an operation without anything that could be wrong
    except (Exception, FailureGroup) as error:  # noqa: BLE001 - a call without an answer is as bad as a wrong one
        return [f"{operation.method.upper()} {operation.path}, {mode.value}: {str(error)[:1500]}"]
    return []


def documented(port: int, count: int) -> tuple[dict[str, Counter[int]], list[str]]:
    base = f"http://127.0.0.1:{port}"
    checks.load_all_checks()
    found, broken = dict[str, Counter[int]](), list[str]()
    document = json.loads(urllib.request.urlopen(f"{base}/openapi.json", timeout=10).read())
    for made in schemathesis.openapi.from_dict(document).get_all_operations():
        operation = made.ok()
        statuses = found.setdefault(f"{operation.method.upper()} {operation.path}", Counter())
        print(f"{operation.method.upper()} {operation.path} …", file=sys.stderr, flush=True)
        for mode in (GenerationMode.POSITIVE, GenerationMode.NEGATIVE):
            broken += walked(operation, mode, max(1, count // 2), base, statuses)
    for path in ("/v1/chat/completions", "/v1/completions", *TRANSLATED):
        if count >= 100 and not {200, 400, 404} <= set(found[f"POST {path}"]):
            broken.append(
                f"{path} answered {sorted(found[f'POST {path}'])} only: neither all kinds of success nor of refusal"
            )
    return found, broken


def measured(calls: int) -> Found:
    begin_s = time.perf_counter()
    with emulating("document") as gate:
        found, broken = documented(gate.port, calls)
    return {
        "calls": calls, "by_operation": {name: dict(sorted(c.items())) for name, c in found.items()},
        "seconds": round(time.perf_counter() - begin_s), "broken": [*broken, *gate.broken],
    }  # fmt: skip


def lines(f: Found) -> list[str]:
    return [
        "| operation | answers by status |",
        "|---|---|",
        *(f"| {name} | {by_status(statuses)} |" for name, statuses in f["by_operation"].items()),
        "",
        f"Against the document, or of ours: {len(f['broken'])}. {f['seconds']} s.",
    ]


def main() -> None:
    parser = options(__doc__)
    parser.add_argument("--calls", type=int, help="of each operation (default: 1,000; --quick: 20)")
    args = parser.parse_args()
    tell("document", args, measured(args.calls or (20 if args.quick else 1000)), lines)


if __name__ == "__main__":
    main()
