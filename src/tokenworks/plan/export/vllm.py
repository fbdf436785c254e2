"""vLLM: `vllm serve` with its flags, and the same flags as the YAML file of its --config."""

from __future__ import annotations

import json
from collections.abc import Sequence
from typing import Any

from tokenworks import catalog
from tokenworks.errors import UnsupportedError
from tokenworks.plan.export.memory_share import device_share
from tokenworks.plan.export.record import Arguments, Record, Shell
from tokenworks.plan.export.single import single_head
from tokenworks.plan.export.text import mapping, script_bytes, yaml_bytes
from tokenworks.plan.export.units import Unit
from tokenworks.plan.export.weights import precision

NAME = "vLLM"
PORT = 8000
LORA_RANKS = (1, 8, 16, 32, 64, 128, 256, 320, 512)
SPECULATION = {"mtp": "mtp", "eagle": "eagle3", "ngram": "ngram", "draft": "draft_model"}


def flags(unit: Unit, record: Record) -> list[str]:
    """Flags of one replica, without model, name and port."""
    args = Arguments(unit, record)
    d = unit.deployment
    precision(args, NAME)
    _parallel(args)
    args.flag("max_seqs", "--max-num-seqs", d.max_seqs)
    _budget(args)
    args.flag("memory_fraction", "--gpu-memory-utilization", device_share(unit, "vllm", reserve=True))
    args.flag("kv_precision", "--kv-cache-dtype", "fp8" if d.kv == "fp8" else "bfloat16")
    args.flag("prefix_cache", "--enable-prefix-caching" if d.prefix_cache else "--no-enable-prefix-caching")
    _tiers(args)
    _speculation(args)
    _lora(args)
    if not d.encoder:
        args.flag("encoder", "--language-model-only")
    if d.fused_all_reduce:
        args.flag("fused_all_reduce", "--compilation-config", _json({"pass_config": {"fuse_allreduce_rms": True}}))
    if d.two_batch_overlap:
        args.flag("overlap", "--enable-dbo")
    if unit.service.max_waiting:
        args.flag("max_waiting", "--max-num-queued-reqs", -(-unit.service.max_waiting // unit.count))
    if unit.disaggregated:
        role = "kv_producer" if unit.role == "prefill" else "kv_consumer"
        args.flag("role", "--kv-transfer-config", _json({"kv_connector": "NixlConnector", "kv_role": role}))
    record.planned_with(unit, "vllm", NAME)
    return args.words


def _parallel(args: Arguments) -> None:
    d = args.unit.deployment
    args.flag("tp", "--tensor-parallel-size", d.tp)
    args.flag("pp", "--pipeline-parallel-size", d.pp)
    args.flag("dp_attention", "--data-parallel-size", d.dp)
    if d.ep == 1:
        args.default("ep", "without --enable-expert-parallel experts are cut by tensor parallelism")
    elif d.ep == d.tp * d.dp:
        args.flag("ep", "--enable-expert-parallel")
    else:
        args.flag("", "--enable-expert-parallel")
        args.lacks("ep", f"vLLM spreads experts over all tp x dp_attention = {d.tp * d.dp} ranks; so does this file")
    if d.redundant_experts:
        copies = _json({"num_redundant_experts": d.redundant_experts})
        args.flag("redundant_experts", "--enable-eplb", "--eplb-config", copies)
    if d.micro_batches == d.pp:
        args.default("micro_batches", "vLLM keeps one batch a stage in flight")
    elif d.micro_batches:
        args.lacks("micro_batches", f"vLLM keeps one batch a stage in flight: {d.pp}")


def _budget(args: Arguments) -> None:
    """vLLM starts only where a step holds one token of every sequence, and a whole prompt where it is not cut."""
    d = args.unit.deployment
    if d.token_budget < d.max_seqs:
        said = f"vLLM needs a token_budget of at least max_seqs = {d.max_seqs}, not {d.token_budget}"
        raise UnsupportedError(f"{args.unit.service.name}: {said}")
    if d.chunked_prefill:
        args.flag("token_budget", "--max-num-batched-tokens", d.token_budget)
        args.flag("chunked_prefill", "--enable-chunked-prefill")
        return
    longest = min(d.token_budget, int(catalog.load("models", d.model)["max_context"]))
    args.flag("token_budget", "--max-num-batched-tokens", d.token_budget, "--max-model-len", longest)
    args.flag("chunked_prefill", "--no-enable-chunked-prefill")


def _tiers(args: Arguments) -> None:
    """Native offloading knows one tier, host memory, sized in GiB over all tensor-parallel ranks of an engine; a replica
    has one engine for each attention rank."""
    taken = False
    for i, tier in enumerate(args.unit.service.kv_tiers):
        place = f"kv_tiers.{i}"
        if tier.name in ("host", "grace") and not taken:
            size_gib = tier.capacity_bytes / 2**30 / args.unit.deployment.dp
            args.flag(f"{place}.capacity", "--kv-offloading-size", f"{size_gib:.6g}")
            args.default(f"{place}.name", "vLLM offloads to host memory")
            taken = True
        else:
            for part in ("name", "capacity"):
                args.lacks(f"{place}.{part}", "vLLM's native offloading has one tier, host memory")
        args.lacks(f"{place}.bandwidth", "a property of the hardware, not a setting")


def _speculation(args: Arguments) -> None:
    draft = args.unit.service.speculative
    if draft is None:
        return
    config: dict[str, object] = {"method": SPECULATION[draft.kind], "num_speculative_tokens": draft.draft_tokens}
    if draft.kind in ("eagle", "draft"):
        config["model"] = args.unit.draft_weights
    args.flag("speculative.kind", "--speculative-config", _json(config))
    args.default("speculative.draft_tokens", f"--speculative-config num_speculative_tokens {draft.draft_tokens}")
    args.lacks("speculative.tokens_per_step", "an outcome of the draft, not a setting")


def _lora(args: Arguments) -> None:
    lora = args.unit.service.lora
    if lora is None:
        return
    rank = next(r for r in LORA_RANKS if r >= lora.rank)
    args.flag("lora.adapters", "--enable-lora", "--max-loras", lora.adapters)
    args.flag("lora.rank" if rank == lora.rank else "", "--max-lora-rank", rank)
    args.lacks("lora.rank", f"vLLM takes the ranks {', '.join(map(str, LORA_RANKS))}; this file says {rank}")


def _json(value: object) -> str:
    return json.dumps(value, separators=(",", ":"))


def multi_node(unit: Unit, leader: str, rank: str) -> list[str]:
    """Flags that join the hosts of one replica; hosts after the first also need --headless."""
    if unit.nodes == 1:
        return []
    return ["--nnodes", str(unit.nodes), "--node-rank", rank, "--master-addr", leader]


def serve(unit: Unit, record: Record) -> list[str]:
    """The whole command of one replica on its first host, without joining flags and port."""
    record.said(unit, "model", f"vllm serve {unit.weights}")
    record.said(unit, "name", f"--served-model-name {unit.service.name}")
    return ["vllm", "serve", unit.weights, "--served-model-name", unit.service.name, *flags(unit, record)]


def files(all_units: Sequence[Unit], record: Record, title: str) -> dict[str, bytes]:
    """A script and a file for --config, for one replica of each role."""
    made: dict[str, bytes] = {}
    for unit in all_units:
        words = serve(unit, record)
        head = single_head(unit, record, title, NAME)
        if unit.disaggregated:
            head.append(
                "Prefill and decode need a proxy that sends each request through both, as Dynamo or llm-d bring one."
            )
        joined = multi_node(
            unit, Shell('"${MASTER_ADDR:?address of the first host}"'), Shell('"${NODE_RANK:?0 on the first host}"')
        )
        if joined:
            head.append(
                f"One replica spans {unit.nodes} hosts: start it on each, with --headless on all but the first."
            )
        made[f"{unit.name}.sh"] = script_bytes([*words, *joined, "--port", Shell(f'"${{PORT:-{PORT}}}"')], head)
        made[f"{unit.name}.yaml"] = yaml_bytes([config(words)], [*head, f"vllm serve --config {unit.name}.yaml"])
    return made


def config(words: list[str]) -> dict[str, Any]:
    """`vllm serve` as the mapping that its --config reads."""
    return {"model": words[2], **mapping(words[3:])}
