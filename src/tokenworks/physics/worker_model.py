"""WorkerModel and StepTable: all that the twin and an emulated worker know of hardware.

Units, exact by construction
    time    int64 ticks of 10 ps            (1 s = 10**11 ticks)
    energy  int64 microjoules
    fine    int64 in 2**-20 of a tick or of a microjoule: the entries of a StepTable

Cost of one engine step of a worker with ``ranks`` attention-data-parallel ranks in lock-step.
For rank r let  n = decode sequences in the step, T = all tokens in the step (decode sequences count one
each, prefill chunks their length), o = sequences that sample a token in the step (decode sequences plus
prefills whose last chunk this is), Q_c = sum over the prefill tokens of the step of the number of keys
that each attends to, by context class c, S_c = sum over the decode sequences of the keys each attends to.
A key count of a token at position p (it attends to p + 1 keys, itself included) is p + 1 in class 0 and
min(p + 1, limits[c - 1]) in the classes 1 and 2.

    pure decode step (no prefill token on any rank):
        line_l = max_r( decode[l, n_r] + Σ_c context[l, c]·S_{c,r} ) + shared_decode[l, Σ_r n_r]
    any other step:
        line_l = max_r( mixed[l, T_r] + seqs[l, o_r] + Σ_c (pair[l, c]·Q_{c,r} + context[l, c]·S_{c,r}) )
                 + shared_mixed[l, Σ_r T_r]
    seconds = max_l line_l                    (lines: CPU path, GPU path, latency floors, power cap …)
    dynamic joules = the same sums over all ranks with the ``joule_*`` tables (a sum over r, no maximum)
Static power is not in the tables: a worker draws ``active_w`` while it steps and ``idle_w`` otherwise.
A rank whose batch is empty contributes 0 to the maximum of a line (its tables hold 0 at index 0).
"""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

TICKS_PER_S = 10**11
FINE = 1 << 20
MICROJOULES_PER_J = 10**6

IntArray = NDArray[np.int64]


@dataclass(frozen=True)
class StepTable:
    """Seconds and joules of one engine step as a sum of low-dimensional integer terms (module docstring).

    Shapes: L lines, N = max_seqs + 1, B = token_budget + max_seqs + 1, R ranks, C = 3 context classes.
    """

    decode: IntArray  # (L, N)
    mixed: IntArray  # (L, B)
    seqs: IntArray  # (L, N)
    pair: IntArray  # (L, C)
    context: IntArray  # (L, C)
    shared_decode: IntArray  # (L, R·(N-1)+1), all zero when ranks == 1 is allowed
    shared_mixed: IntArray  # (L, R·(B-1)+1)
    joule_decode: IntArray  # (N,)
    joule_mixed: IntArray  # (B,)
    joule_seqs: IntArray  # (N,)
    joule_pair: IntArray  # (C,)
    joule_context: IntArray  # (C,)
    joule_shared_decode: IntArray  # (R·(N-1)+1,)
    joule_shared_mixed: IntArray  # (R·(B-1)+1,)
    active_w: float  # static draw of the whole worker while stepping (board scope)
    clock_ghz: float


@dataclass(frozen=True)
class KvTier:
    """A place below device memory that holds evicted prefix blocks."""

    name: str
    capacity_blocks: int
    ticks_per_block: int  # reload of one block into device memory


@dataclass(frozen=True)
class WorkerModel:
    """One engine replica, as the twin sees it. All limits are per attention-DP rank."""

    name: str
    gpus: int
    levels: tuple[StepTable, ...]  # clock levels, fastest first
    limits: tuple[int, int]  # key limits of context classes 1 and 2; 0 = class unused
    ranks: int
    max_seqs: int
    token_budget: int  # tokens of one step
    kv_blocks: int
    block_tokens: int
    reserve_output: bool  # admit only when ISL + OSL fits (TensorRT-LLM guaranteed_no_evict): no preemption
    prefill_alone: bool  # steps with prefill tokens hold no decode tokens (SGLang, vLLM V0)
    chunked_prefill: bool  # otherwise a prompt goes into one step whole
    receive_interval: int  # looks at new requests every k-th decode step and after a prefill; 1 = always
    plans_ahead: bool  # a step is planned when the one before it begins: later requests wait one step more
    prefix_cache: bool
    tiers: tuple[KvTier, ...]
    idle_w: float
    load_s: float  # cold start: weights into memory
    kv_bytes_per_token: float
    transfer_ticks_per_token: int  # KV handed to a decode worker
    transfer_latency_ticks: int
    tokens_per_step: float  # 1.0, or the mean accepted tokens of speculative decoding (draft cost in the table)
