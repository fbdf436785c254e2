"""SGLang: `python3 -m sglang.launch_server` with its flags, and the same flags as the YAML file of its --config."""

from __future__ import annotations

from collections.abc import Sequence

from tokenworks.plan.export.memory_share import device_share
from tokenworks.plan.export.record import Arguments, Record, Shell
from tokenworks.plan.export.single import single_head
from tokenworks.plan.export.text import mapping, script_bytes, yaml_bytes
from tokenworks.plan.export.units import Unit
from tokenworks.plan.export.weights import precision

NAME = "SGLang"
PORT = 30000
BOOTSTRAP_PORT = 8998
LAUNCH = ("python3", "-m", "sglang.launch_server")
STORAGE = {"nvme": "file", "shared": "mooncake"}
ROUTER = {"round-robin": "round_robin", "random": "random", "power-of-two": "power_of_two", "kv-aware": "cache_aware"}


def flags(unit: Unit, record: Record) -> list[str]:
    """Flags of one replica, without model, name and port. SGLang counts tensor ranks, sequences and chunk tokens over
    all attention ranks together; the factory file counts them for each."""
    args = Arguments(unit, record)
    d = unit.deployment
    precision(args, NAME)
    args.flag("tp", "--tp-size", d.tp * d.dp)
    args.flag("dp_attention", "--attn-dp-size", d.dp)
    args.flag("pp", "--pp-size", d.pp)
    args.flag("ep", "--ep-size", d.ep)
    if d.redundant_experts:
        args.flag("redundant_experts", "--enable-eplb", "--ep-num-redundant-experts", d.redundant_experts)
    if d.micro_batches:
        args.flag("micro_batches", "--pp-max-micro-batch-size", -(-d.max_seqs // d.micro_batches))
    args.flag("max_seqs", "--max-running-requests", d.max_seqs * d.dp)
    _budget(args)
    args.flag("memory_fraction", "--mem-fraction-static", device_share(unit, "sglang", reserve=False))
    args.flag("kv_precision", "--kv-cache-dtype", "fp8_e4m3" if d.kv == "fp8" else "bf16")
    if d.prefix_cache:
        args.default("prefix_cache", "RadixAttention is on unless it is switched off")
    else:
        args.flag("prefix_cache", "--disable-radix-cache")
    _tiers(args)
    _speculation(args)
    _lora(args)
    if not d.encoder:
        args.flag("encoder", "--language-model-only")
    if d.fused_all_reduce:
        args.flag("fused_all_reduce", "--flashinfer-allreduce-fusion-backend", "auto")
    if d.two_batch_overlap:
        args.flag("overlap", "--enable-two-batch-overlap")
    if unit.service.max_waiting and not unit.disaggregated:
        args.flag("max_waiting", "--max-queued-requests", -(-unit.service.max_waiting // unit.count))
    args.lacks("max_waiting", "SGLang ignores --max-queued-requests where prefill and decode are separate")
    if unit.disaggregated:
        args.flag("role", "--disaggregation-mode", unit.role, "--disaggregation-transfer-backend", "nixl")
    if unit.role == "prefill":
        args.flag("", "--disaggregation-bootstrap-port", BOOTSTRAP_PORT)
    record.planned_with(unit, "sglang", NAME)
    return args.words


def _budget(args: Arguments) -> None:
    d = args.unit.deployment
    if d.chunked_prefill:
        chunk = d.token_budget * d.dp
        args.flag("token_budget", "--chunked-prefill-size", chunk, "--max-prefill-tokens", d.token_budget)
        args.default("chunked_prefill", f"--chunked-prefill-size {chunk}")
    else:
        args.flag("chunked_prefill", "--chunked-prefill-size", -1)
        args.flag("token_budget", "--max-prefill-tokens", d.token_budget)


def _tiers(args: Arguments) -> None:
    """The hierarchical cache: host memory in whole GB for each GPU, then one storage backend."""
    host = storage = False
    for i, tier in enumerate(args.unit.service.kv_tiers):
        place, size_gb = f"kv_tiers.{i}", int(tier.capacity_bytes / 1e9 / args.unit.deployment.gpus)
        if tier.name in ("host", "grace") and not host and size_gb:
            args.flag(f"{place}.capacity", "--enable-hierarchical-cache", "--hicache-size", size_gb)
            args.default(f"{place}.name", "SGLang's first tier is host memory")
            host = True
        elif tier.name in STORAGE and host and not storage:
            args.flag(f"{place}.name", "--hicache-storage-backend", STORAGE[tier.name])
            args.lacks(f"{place}.capacity", "set in the storage backend's own configuration")
            storage = True
        else:
            for part in ("name", "capacity"):
                args.lacks(
                    f"{place}.{part}", "SGLang has one tier of host memory (1 GB or more a GPU), then one of storage"
                )
        args.lacks(f"{place}.bandwidth", "a property of the hardware, not a setting")
    if host and not args.unit.deployment.prefix_cache:
        args.lacks("prefix_cache", "tiers need the prefix cache")


def _speculation(args: Arguments) -> None:
    draft = args.unit.service.speculative
    if draft is None:
        return
    algorithm = {"mtp": "NEXTN", "eagle": "EAGLE3", "ngram": "NGRAM", "draft": "STANDALONE"}[draft.kind]
    words: list[str | int] = ["--speculative-algorithm", algorithm]
    if draft.kind in ("eagle", "draft"):
        words += ["--speculative-draft-model-path", args.unit.draft_weights]
    args.flag("speculative.kind", *words)
    if draft.kind == "ngram":
        args.flag("speculative.draft_tokens", "--speculative-num-draft-tokens", draft.draft_tokens)
    else:  # a chain: as many steps as tokens; SGLang counts the target's own token too
        steps: list[str | int] = ["--speculative-num-steps", draft.draft_tokens, "--speculative-eagle-topk", 1]
        args.flag("speculative.draft_tokens", *steps, "--speculative-num-draft-tokens", draft.draft_tokens + 1)
    args.lacks("speculative.tokens_per_step", "an outcome of the draft, not a setting")


def _lora(args: Arguments) -> None:
    lora = args.unit.service.lora
    if lora is None:
        return
    args.flag("lora.adapters", "--enable-lora", "--max-loras-per-batch", lora.adapters, "--lora-target-modules", "all")
    args.flag("lora.rank", "--max-lora-rank", lora.rank)


def multi_node(unit: Unit, leader: str, rank: str) -> list[str]:
    """Flags that join the hosts of one replica; ``leader`` is address and port."""
    return ["--nnodes", str(unit.nodes), "--node-rank", rank, "--dist-init-addr", leader] if unit.nodes > 1 else []


def serve(unit: Unit, record: Record) -> list[str]:
    """The whole command of one replica, without joining flags, host and port."""
    record.said(unit, "model", f"--model-path {unit.weights}")
    record.said(unit, "name", f"--served-model-name {unit.service.name}")
    named = ["--model-path", unit.weights, "--served-model-name", unit.service.name]
    return [*LAUNCH, *named, *flags(unit, record)]


def router(all_units: Sequence[Unit], urls: dict[str, list[str]], record: Record) -> list[str]:
    """The router of a disaggregated service: every replica by its address."""
    words = ["python3", "-m", "sglang_router.launch_router", "--pd-disaggregation"]
    for unit in all_units:
        for url in urls[unit.name]:
            words += [f"--{unit.role}", url, *([str(BOOTSTRAP_PORT)] if unit.role == "prefill" else [])]
    wanted = all_units[0].service.routing
    for unit in all_units:
        if wanted in ROUTER:
            record.said(unit, "routing", f"--policy {ROUTER[wanted]}")
        else:
            record.lacks(unit, "routing", f"SGLang's router knows {', '.join(ROUTER)}; this file says round-robin")
    return [*words, "--policy", ROUTER.get(wanted, "round_robin"), "--host", "0.0.0.0", "--port", "8000"]


def files(all_units: Sequence[Unit], record: Record, title: str) -> dict[str, bytes]:
    """A script and a file for --config, for one replica of each role."""
    made: dict[str, bytes] = {}
    for unit in all_units:
        words = serve(unit, record)
        head = single_head(unit, record, title, NAME)
        if unit.disaggregated:
            head.append("python3 -m sglang_router.launch_router --pd-disaggregation joins prefill and decode.")
        joined = multi_node(
            unit, Shell('"${MASTER_ADDR:?HOST:PORT of the first host}"'), Shell('"${NODE_RANK:?0 on the first host}"')
        )
        if joined:
            head.append(f"One replica spans {unit.nodes} hosts: start it on each.")
        ends = ["--host", "0.0.0.0", "--port", Shell(f'"${{PORT:-{PORT}}}"')]
        made[f"{unit.name}.sh"] = script_bytes([*words, *joined, *ends], head)
        configured = mapping(words[len(LAUNCH) :])
        made[f"{unit.name}.yaml"] = yaml_bytes([configured], [*head, f"{' '.join(LAUNCH)} --config {unit.name}.yaml"])
    return made
