"""What no batch can beat: bounds on a shape, cheap enough to look at before its steps are priced.

Each is safe for the wide pass because of how its steps are made. With b requests on each of D ranks, M decode steps and P
prompt tokens a request:

*A step costs its weights.* Every step of b sequences, with or without prompts, holds at least b tokens a rank: sequences in
their prompt bring one token at least. Every operator takes at least its memory time (a roofline is the larger of two), and
those of experts and collectives grow with the tokens. So a step lasts at least A(b) = host + kernels + dense weights +
experts that b·D tokens pick + collectives of b tokens, and with their keys decode sequences add b · κ, κ the time of one
sequence's keys. A rank completes at most b / M requests a step: requests/s ≤ D · b / (M · (A(b) + b · κ)), TPOT ≥ A(b) · M /
(tokens after the first). Engines that look for new requests now and then only run below b: A / b falls with b, so that the
rate's bound holds, and for TPOT A(1) is taken.

*A request costs its FLOP.* Compute times add up over tokens, and the larger of two times is at least the second:
requests/s ≤ D / ((P + M) · c + pairs + M · κ) with c the compute time of a token on all ranks.

*A first token needs its prompt.* TTFT ≥ P · c + pairs + host, with nothing else in the engine.

*Dollars* per request are dollars per second of the replica's GPUs over requests/s: at least those over the bound.
"""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np

from tokenworks.physics.curves import expert_curve, gemm_curve
from tokenworks.physics.operators import Array, covered, local_collectives, shared_collectives
from tokenworks.physics.precision import bytes_per_weight
from tokenworks.physics.step import Machine, core
from tokenworks.plan.shapes import Shape
from tokenworks.plan.wide.batches import batches
from tokenworks.plan.wide.traffic import Traffic


@dataclass(frozen=True)
class Limits:
    """Bounds of one shape by batch: most requests per second, least TPOT; and its least TTFT."""

    batch: Array
    requests_s: Array
    tpot_s: Array
    ttft_s: float


def limits(shape: Shape, machine: Machine, asked: Traffic) -> Limits:
    """Bounds of a shape at the batches of the wide pass, its cache left aside."""
    d = shape.deployment
    batch, speed = batches(d.max_seqs), machine.terms.speed
    cores = core(machine)
    keys_s, pairs_s = float(asked.keys @ cores.key.seconds) / speed, float(asked.pairs @ cores.pair.seconds) / speed
    token_s = _token_s(machine)
    ttft_s = asked.prompt * token_s + pairs_s + machine.terms.step_s
    if shape.role == "prefill" or asked.steps <= 0:
        most = np.full(len(batch), d.dp / (asked.prompt * token_s + pairs_s))
        return Limits(batch, most, np.zeros(len(batch)), ttft_s)
    least = _step_s(machine, batch)
    tokens = asked.steps + (asked.prompt if shape.role == "serve" else 0.0)
    own = tokens * token_s + asked.steps * keys_s + (pairs_s if shape.role == "serve" else 0.0)
    most = np.minimum(d.dp * batch / (asked.steps * (least + batch * keys_s)), d.dp / own)
    if d.receive_interval > 1:
        least = np.full(len(batch), least[0])
    return Limits(batch, most, least * _steps_per_token(asked), 0.0 if shape.role == "decode" else ttft_s)


def _steps_per_token(asked: Traffic) -> float:
    return asked.steps / max(1e-12, asked.output - 1.0)


def _step_s(machine: Machine, batch: Array) -> Array:
    """Least seconds of a step with so many sequences on every rank: host, kernels, weights from memory."""
    d, terms, part = machine.deployment, machine.terms, machine.part
    dense = 0.0
    for m in part.gemms:
        share = terms.mem_dense * gemm_curve(machine.chip.generation, m.precision).memory
        dense += 0.0 if m.per_sequence else m.weight_bytes / (machine.chip.bandwidth * share)
    device = np.full(len(batch), dense + terms.kernel_s * part.launches)
    if part.experts:
        e, curve = part.experts, expert_curve(machine.chip.generation, part.experts.precision)
        picked = covered(e, batch * d.dp / d.pp) * e.local
        each = e.parameters * e.layers / e.cut * bytes_per_weight(e.precision) / machine.chip.bandwidth
        device = device + picked * each / (terms.mem_experts * curve.memory)
    if not d.two_batch_overlap:  # nothing hides it
        rows = batch / d.pp
        device = device + local_collectives(machine.chip, terms, d, part, rows)
        device = device + shared_collectives(machine.chip, terms, d, part, rows * d.dp)
    host = terms.step_s
    seconds = device * d.pp / terms.speed
    return np.maximum(seconds, host) if d.async_scheduling else np.asarray(seconds + host)


def _token_s(machine: Machine) -> float:
    """Least seconds of device time that a token of every rank adds to a step: its products at full tensor throughput."""
    d, terms, part, chip = machine.deployment, machine.terms, machine.part, machine.chip
    total = 0.0
    for m in part.gemms:
        if not m.per_sequence:
            flop = 2.0 * m.weights * (d.dp if m.shared else 1.0)
            share = terms.flop_dense * gemm_curve(chip.generation, m.precision).compute
            total += flop / (chip.peak_flop_s(m.precision) * share)
    if part.experts:
        e = part.experts
        flop = 2.0 * d.dp * e.top_k / e.ranks * e.parameters * e.layers / e.cut
        share = terms.flop_experts * expert_curve(chip.generation, e.precision).compute
        total += flop / (chip.peak_flop_s(e.precision) * share)
    return total / terms.speed
