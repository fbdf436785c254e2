"""`estimate` as text: operators with bars, memory map, sensitivities."""

from __future__ import annotations

from typing import Any

from tokenworks.accuracy.certainty import STATIC, Evidence, evidence
from tokenworks.events.results import Interval
from tokenworks.physics.deployment import Deployment
from tokenworks.physics.explain import Explanation, Step
from tokenworks.report.figures import seconds, short, span, sure, unit
from tokenworks.report.files import plain

BAR = 28


def known_of(found: Explanation) -> Evidence:
    """What was measured like these steps: static batches, whose TTFT is one prefill and whose TPOT one decode step."""
    return evidence([found.deployment], [STATIC])


def intervals(found: Explanation) -> dict[str, Interval]:
    """80% intervals: seconds and board joules of both steps."""
    known = known_of(found)
    return {
        "prefill_s": known.band("ttft", found.prefill.seconds),
        "prefill_j": known.band("energy", found.prefill.joules),
        "decode_s": known.band("tpot", found.decode.seconds),
        "decode_j": known.band("energy", found.decode.joules),
    }


def estimate_json(found: Explanation) -> dict[str, Any]:
    """The explanation with its 80% intervals and what they mean, as JSON types."""
    return {**plain(found), "intervals": plain(intervals(found)), "accuracy_note": known_of(found).sentence()}


def estimate_text(found: Explanation) -> str:
    d, sure_of = found.deployment, intervals(found)
    lines = [
        f"{d.model} in {d.weights} (KV {d.kv}) by {d.engine} on {d.gpus} x {d.accelerator}: tp {d.tp}, pp {d.pp}, "
        f"attention dp {d.dp}, ep {d.ep}",
        *_options(d),
        "",
        *_step(
            found.prefill,
            f"Prefill step of {found.prefill.tokens:,} tokens",
            sure_of["prefill_s"],
            sure_of["prefill_j"],
        ),
        "",
        *_step(
            found.decode,
            f"Decode step of {found.decode.tokens:,} sequences a rank",
            sure_of["decode_s"],
            sure_of["decode_j"],
        ),
        "",
        *_memory(found),
        "",
        "What a fact is worth: +10% changes a step by",
        *(f"  {name:20} prefill {p:+6.1%}   decode {q:+6.1%}" for name, p, q in found.sensitivity),
        "",
        known_of(found).sentence(),
    ]
    return "\n".join(lines)


def _options(d: Deployment) -> list[str]:
    """What most deployments do without, where this one does not."""
    on = {
        f"{d.lora_adapters} LoRA adapters of rank {d.lora_rank}": d.lora_adapters,
        f"{d.redundant_experts} redundant experts": d.redundant_experts,
        f"{d.micro_batches} micro-batches in flight": d.micro_batches,
        "norms inside the all-reduce": d.fused_all_reduce,
        "two-batch overlap": d.two_batch_overlap,
        f"{d.clock:.0%} of the boost clock": d.clock < 1.0,
    }
    named = [name for name, value in on.items() if value]
    return [f"with {', '.join(named)}"] if named else []


def _step(step: Step, title: str, time: Interval, energy: Interval) -> list[str]:
    watts = step.joules / step.seconds
    limited = ", at the power limit" if step.power_limited else ""
    lines = [
        f"{title}: {seconds(step.seconds)}, 80%: {span(time)}",
        f"  {unit(step.joules, 'J')}, {sure(energy, lambda j: unit(j, 'J'))} ({unit(watts, 'W')} of boards){limited}",
    ]
    for op in step.operators:
        share = op.seconds / step.seconds
        bar = "█" * round(share * BAR)
        lines.append(
            f"  {op.name:22} {seconds(op.seconds):>9} {share:6.1%}  {short(op.joules):>7}J  {op.bound:9} {bar}"
        )
    return lines


def _memory(found: Explanation) -> list[str]:
    m = found.memory
    unused = m.device - m.weights - m.adapters - m.encoder - m.reserve - m.fixed_kv - m.kv
    parts = [
        ("weights", m.weights),
        ("encoder", m.encoder),
        ("LoRA adapters", m.adapters),
        ("KV cache", m.kv),
        ("KV of windows and states", m.fixed_kv),
    ]
    parts += [("reserve", m.reserve), ("left to others", unused)]
    lines = [f"Memory of one GPU: {m.device / 1e9:.1f} GB; KV cache for {found.kv_tokens:,} tokens a rank"]
    return lines + [
        f"  {name:26} {size / 1e9:7.1f} GB {'█' * round(size / m.device * BAR)}" for name, size in parts if size > 1e6
    ]
