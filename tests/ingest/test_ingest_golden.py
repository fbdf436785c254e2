"""One record of each kind a provider prints, with its buckets worked out by hand.

Buckets stand in the order: input fresh, cache read, cache write | output visible, reasoning, tool call. None: nobody knows.
"""

import pytest
from usage_records import ACME, buckets, chat, export, message, one, payload, read, span, use

from tokenworks.events.ledger_events import CostEvent
from tokenworks.ledger.ingest.records import Context

TEXT = {"role": "assistant", "content": "Hello."}
CALL = {
    "role": "assistant",
    "content": None,
    "tool_calls": [{"id": "c", "type": "function", "function": {"name": "f", "arguments": "{}"}}],
}
BOTH = {**CALL, "content": "Let me look."}

OPENAI = {
    # 1,200 prompt tokens of which 1,024 cached: 176 fresh. 300 completion tokens of which 192 reasoning: 108 visible.
    "chat, cached and reasoning": (
        chat(
            {
                "prompt_tokens": 1200,
                "completion_tokens": 300,
                "total_tokens": 1500,
                "prompt_tokens_details": {"cached_tokens": 1024, "audio_tokens": 0},
                "completion_tokens_details": {
                    "reasoning_tokens": 192,
                    "accepted_prediction_tokens": 0,
                    "rejected_prediction_tokens": 0,
                },
            },
            message=TEXT,
        ),
        (176, 1024, 0, 108, 192, 0),
    ),
    # 220,000 prompt tokens hold 140,000 reads and 20,000 writes: 60,000 fresh.
    "cache writes are a subset too": (
        chat(
            {
                "prompt_tokens": 220_000,
                "completion_tokens": 4000,
                "total_tokens": 224_000,
                "prompt_tokens_details": {"cached_tokens": 140_000, "cache_write_tokens": 20_000},
                "completion_tokens_details": {"reasoning_tokens": 1000},
            },
            message=TEXT,
        ),
        (60_000, 140_000, 20_000, 3000, 1000, 0),
    ),
    # Nothing but a tool call was answered: what is not reasoning is the call.
    "a tool call alone": (
        chat(
            {
                "prompt_tokens": 10,
                "completion_tokens": 30,
                "total_tokens": 40,
                "prompt_tokens_details": {"cached_tokens": 0},
                "completion_tokens_details": {"reasoning_tokens": 10},
            },
            message=CALL,
        ),
        (10, 0, 0, 0, 10, 20),
    ),
    # Text and a call: nobody says which token is whose; both are in visible, the call's share is unknown.
    "text and a tool call": (
        chat(
            {
                "prompt_tokens": 10,
                "completion_tokens": 30,
                "total_tokens": 40,
                "prompt_tokens_details": {"cached_tokens": 0},
                "completion_tokens_details": {"reasoning_tokens": 10},
            },
            message=BOTH,
        ),
        (10, 0, 0, 20, 10, None),
    ),
    # 12 predicted tokens were thrown away: billed as output, seen by nobody. 100 − 20 − 12 = 68.
    "rejected predictions": (
        chat(
            {
                "prompt_tokens": 10,
                "completion_tokens": 100,
                "total_tokens": 110,
                "prompt_tokens_details": {"cached_tokens": 0},
                "completion_tokens_details": {"reasoning_tokens": 20, "rejected_prediction_tokens": 12},
            },
            message=TEXT,
        ),
        (10, 0, 0, 68, 32, 0),
    ),
    # Totals alone: all input is in fresh, all output in visible, no part is known.
    "no details": (
        chat({"prompt_tokens": 57, "completion_tokens": 17, "total_tokens": 74}),
        (57, None, None, 17, None, None),
    ),
    "responses": (
        {
            "id": "resp_1",
            "object": "response",
            "created_at": 1772366400,
            "status": "completed",
            "model": "gpt-5",
            "output": [{"type": "reasoning"}, {"type": "message"}],
            "usage": {
                "input_tokens": 328,
                "input_tokens_details": {"cached_tokens": 128},
                "output_tokens": 52,
                "output_tokens_details": {"reasoning_tokens": 12},
                "total_tokens": 380,
            },
        },
        (200, 128, 0, 40, 12, 0),
    ),
    "responses with a function call alone": (
        {
            "id": "resp_2",
            "object": "response",
            "created_at": 1772366400,
            "status": "completed",
            "model": "gpt-5",
            "output": [{"type": "reasoning"}, {"type": "function_call"}],
            "usage": {
                "input_tokens": 300,
                "input_tokens_details": {"cached_tokens": 0},
                "output_tokens": 52,
                "output_tokens_details": {"reasoning_tokens": 12},
                "total_tokens": 352,
            },
        },
        (300, 0, 0, 0, 12, 40),
    ),
    "embedding": (
        {
            "id": "emb-1",
            "object": "list",
            "created": 1772366400,
            "model": "text-embedding-3-small",
            "usage": {"prompt_tokens": 8, "total_tokens": 8},
        },
        (8, None, None, 0, None, None),
    ),
}

ANTHROPIC = {
    # The three inputs add up: 2,048 + 1,800 + 248.
    "reads and writes beside the input": (
        message(
            {
                "input_tokens": 2048,
                "cache_read_input_tokens": 1800,
                "cache_creation_input_tokens": 248,
                "output_tokens": 503,
                "cache_creation": {"ephemeral_5m_input_tokens": 148, "ephemeral_1h_input_tokens": 100},
            },
            [{"type": "text", "text": "Hi"}],
        ),
        (2048, 1800, 248, 503, 0, 0),
    ),
    "thinking, counted": (
        message(
            {
                "input_tokens": 50,
                "cache_read_input_tokens": 0,
                "cache_creation_input_tokens": 0,
                "output_tokens": 503,
                "output_tokens_details": {"thinking_tokens": 312},
            },
            [{"type": "thinking"}, {"type": "text"}],
        ),
        (50, 0, 0, 191, 312, 0),
    ),
    "thinking, not counted": (
        message(
            {"input_tokens": 50, "cache_read_input_tokens": 0, "cache_creation_input_tokens": 0, "output_tokens": 503},
            [{"type": "thinking"}, {"type": "text"}],
        ),
        (50, 0, 0, 503, None, 0),
    ),
    "a tool use alone": (
        message(
            {
                "input_tokens": 8,
                "cache_creation_input_tokens": 248,
                "cache_read_input_tokens": 21588,
                "output_tokens": 129,
            },
            [{"type": "tool_use", "name": "f"}],
        ),
        (8, 21588, 248, 0, 0, 129),
    ),
    "lifetimes without their sum": (
        message(
            {
                "input_tokens": 8,
                "cache_read_input_tokens": 0,
                "output_tokens": 1,
                "cache_creation": {"ephemeral_5m_input_tokens": 5, "ephemeral_1h_input_tokens": 7},
            },
            [{"type": "text"}],
        ),
        (8, 0, 12, 1, 0, 0),
    ),
    "no word of a cache": (message({"input_tokens": 8, "output_tokens": 4}), (8, None, None, 4, None, None)),
    # The top level leaves the compaction out: 23,000 + 180,000 input; its 3,500 tokens of summary are seen by no user.
    "a compaction inside": (
        message(
            {
                "input_tokens": 23_000,
                "cache_read_input_tokens": 0,
                "cache_creation_input_tokens": 0,
                "output_tokens": 1000,
                "iterations": [
                    {"type": "compaction", "input_tokens": 180_000, "output_tokens": 3500},
                    {"type": "message", "input_tokens": 23_000, "output_tokens": 1000},
                ],
            },
            [{"type": "text"}],
        ),
        (203_000, 0, 0, 1000, 3500, 0),
    ),
}

LITELLM = {
    "totals alone": (payload(), (1000, None, None, 200, None, None)),
    # Anthropic behind LiteLLM: prompt tokens include reads and writes, which LiteLLM prints twice.
    "usage object": (
        payload(
            metadata={
                "user_api_key_team_id": "team-red",
                "usage_object": {
                    "prompt_tokens": 1000,
                    "completion_tokens": 200,
                    "total_tokens": 1200,
                    "prompt_tokens_details": {"cached_tokens": 700, "cache_creation_tokens": 100},
                    "cache_read_input_tokens": 700,
                    "cache_creation_input_tokens": 100,
                    "completion_tokens_details": {"reasoning_tokens": 50},
                },
            }
        ),
        (200, 700, 100, 150, 50, None),
    ),
    "usage of the response": (
        payload(
            response={
                "choices": [{"message": TEXT}],
                "usage": {
                    "prompt_tokens": 1000,
                    "completion_tokens": 200,
                    "prompt_tokens_details": {"cached_tokens": 400},
                    "completion_tokens_details": {"reasoning_tokens": 0},
                },
            }
        ),
        (600, 400, 0, 200, 0, 0),
    ),
}

OTLP = {
    "cached and reasoning": (
        export(
            span(
                "chat",
                1,
                **use(
                    811,
                    92,
                    gen_ai__usage__cache_read__input_tokens=640,
                    gen_ai__usage__cache_creation__input_tokens=100,
                    gen_ai__usage__reasoning__output_tokens=32,
                    gen_ai__response__finish_reasons=["stop"],
                ),
            )
        ),
        (71, 640, 100, 60, 32, 0),
    ),
    "the name cache_write": (
        export(
            span(
                "generate_content",
                1,
                **use(
                    13,
                    7,
                    gen_ai__usage__cache_read__input_tokens=2,
                    gen_ai__usage__cache_write__input_tokens=1,
                    gen_ai__usage__reasoning__output_tokens=3,
                ),
            )
        ),
        (10, 2, 1, 4, 3, None),
    ),
    "stopped for tools": (
        export(
            span(
                "chat",
                1,
                **use(
                    100, 20, gen_ai__usage__reasoning__output_tokens=5, gen_ai__response__finish_reasons=["tool_calls"]
                ),
            )
        ),
        (100, None, None, 15, 5, None),
    ),
    # An engine's own span: older names, no operation.
    "vLLM's span": (
        export(
            span(
                "",
                1,
                gen_ai__usage__prompt_tokens=40,
                gen_ai__usage__completion_tokens=9,
                gen_ai__request__model="llama",
                gen_ai__latency__time_to_first_token=0.125,
            )
        ),
        (40, None, None, 9, None, None),
    ),
}


def cases(table):
    return pytest.mark.parametrize(("record", "expected"), table.values(), ids=table.keys())


@cases(OPENAI)
def test_openai(record, expected):
    event = one("openai", record)
    assert buckets(event) == expected
    assert (event.usage_status, event.usage_source, event.time_us) == ("final", "provider", 1_772_366_400_000_000)


@cases(ANTHROPIC)
def test_anthropic(record, expected):
    event = one("anthropic", record)
    assert buckets(event) == expected
    assert (event.usage_status, event.provider) == ("final", "anthropic")


@cases(LITELLM)
def test_litellm(record, expected):
    event = one("litellm", record, context=Context())
    assert buckets(event) == expected
    assert (event.tenant, event.root_run, event.provider, event.request_model, event.operation) == (
        "team-red",
        "trace-1",
        "openai",
        "smart",
        "chat",
    )
    assert (event.duration_us, event.ttft_us, event.tags) == (2_500_000, 400_000, {"prod": "true"})


@cases(OTLP)
def test_otlp(record, expected):
    assert buckets(one("otlp", record)) == expected


def test_otlp_times_are_microseconds():
    event = one("otlp", OTLP["vLLM's span"][0])
    assert (event.time_us, event.duration_us, event.ttft_us) == (1_772_366_400_250_001, 250_000, 125_000)
    assert event.id == "0af7651916cd43dd8448eb211c80319c/0000000000000001/1"


def test_results_of_batches():
    """The answer is one level deeper; read as a plain wrapper it would have no usage at all."""
    answer = OPENAI["chat, cached and reasoning"][0]
    line = {
        "id": "batch_req_1",
        "custom_id": "c",
        "response": {"status_code": 200, "request_id": "r", "body": answer},
        "error": None,
    }
    assert buckets(one("openai", line)) == (176, 1024, 0, 108, 192, 0)
    message_ = ANTHROPIC["reads and writes beside the input"][0]["response"]
    line = {"custom_id": "c", "result": {"type": "succeeded", "message": message_}}
    event = one("anthropic", line, context=Context(tenant="acme", time="2026-03-01T12:00:00Z"))
    assert (buckets(event), event.time_us) == ((2048, 1800, 248, 503, 0, 0), 1_772_366_400_000_000)
    (found,) = read("anthropic", {"custom_id": "c", "result": {"type": "expired"}})
    assert (found.kind, found.reason) == ("unrelated", "a batch's request expired: no model ran")


def test_tools_that_the_provider_ran_are_costs_without_a_price():
    record = message(
        {"input_tokens": 1, "output_tokens": 1, "server_tool_use": {"web_search_requests": 3, "web_fetch_requests": 0}},
        attempt=2,
        root_run="r",
    )
    usage, search = read("anthropic", record)
    assert isinstance(search, CostEvent)
    assert (search.meter, search.quantity_micro, search.amount_micro, search.unit) == (
        "web_search",
        3_000_000,
        None,
        "call",
    )
    assert (usage.id, search.id, search.root_run) == ("msg_1/2", "msg_1/2/web_search", "r")
    answer = {
        **OPENAI["responses"][0],
        "output": [{"type": "web_search_call"}, {"type": "web_search_call"}, {"type": "message"}],
    }
    _, search = read("openai", answer)
    assert (search.meter, search.quantity_micro) == ("web_search", 2_000_000)


def test_otlp_tool_spans_are_costs_without_a_price():
    (tool,) = read("otlp", export(span("execute_tool", 1, gen_ai__tool__name="grep"), tenant__id="t"), context=ACME)
    assert (tool.meter, tool.amount_micro, tool.tags, tool.tenant) == ("tool_call", None, {"tool": "grep"}, "t")


LOG = """\
INFO 03-01 12:00:00 [logger.py:45] Received request chatcmpl-a: params: SamplingParams(n=1, temperature=0.7), lora_request: None.
(APIServer pid=77) DEBUG 03-01 12:00:00 [logger.py:40] Request chatcmpl-a details: prompt: 'prompt_token_ids: [9, 9]', prompt_token_ids: [1, 2, 3, 4], prompt_embeds shape: None.
INFO 03-01 12:00:01 [logger.py:70] Generated response chatcmpl-a: output: 'Hi, output_token_ids: [1], finish_reason: x', output_token_ids: [5, 6, 7], finish_reason: stop
INFO 03-01 12:00:02 [logger.py:45] Received request chatcmpl-b: params: SamplingParams(n=1), lora_request: None.
INFO 03-01 12:00:03 [logger.py:70] Generated response chatcmpl-b (streaming delta): output: 'Hi', output_token_ids: [5, 6], finish_reason: None
INFO 03-01 12:00:03 [logger.py:70] Generated response chatcmpl-b (streaming delta): output: '!', output_token_ids: [7], finish_reason: None
INFO 03-01 12:00:04 [async_llm.py:411] Request chatcmpl-b aborted.
INFO 03-01 12:00:05 [logger.py:45] Received request cmpl-c: params: SamplingParams(n=1), lora_request: None.
INFO 03-01 12:00:06 [loggers.py:118] Engine 000: Avg prompt throughput: 9.6 tokens/s
INFO 03-01 12:00:07 [logger.py:70] Generated response chatcmpl-d (streaming delta): output: 'Yo', output_token_ids: [5], finish_reason: None
INFO 03-01 12:00:07 [logger.py:70] Generated response chatcmpl-d (streaming complete): output: 'Yo', output_token_ids: None, finish_reason: streaming_complete
"""


def test_vllm_log():
    other, whole, broken, silent, streamed = read(
        "vllm", *LOG.splitlines(), context=Context(tenant="acme", model="llama", year=2026)
    )
    assert (other.line, other.kind) == (9, "unrelated")
    assert (whole.id, buckets(whole), whole.usage_status, whole.usage_source) == (
        "chatcmpl-a/1",
        (4, None, None, 3, None, None),
        "final",
        "estimate",
    )
    assert (buckets(broken), broken.usage_status) == ((None, None, None, 3, None, None), "partial")
    assert (buckets(silent), silent.usage_status, silent.operation) == ((None,) * 6, "missing", "text_completion")
    assert (buckets(streamed), streamed.usage_status) == ((None, None, None, 1, None, None), "final")
    assert whole.time_us == 1_772_366_400_000_000


def test_vllm_usage_block_divides_nothing_unless_asked():
    event = one(
        "vllm", chat({"prompt_tokens": 20, "completion_tokens": 5, "total_tokens": 25, "prompt_tokens_details": None})
    )
    assert (buckets(event), event.source, event.provider, event.usage_source) == (
        (20, None, None, 5, None, None),
        "vllm",
        "vllm",
        "engine",
    )
    event = one(
        "vllm",
        chat(
            {
                "prompt_tokens": 20,
                "completion_tokens": 5,
                "total_tokens": 25,
                "prompt_tokens_details": {"cached_tokens": 16},
            }
        ),
    )
    assert buckets(event) == (4, 16, 0, 5, None, None)
