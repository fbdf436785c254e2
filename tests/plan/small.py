"""A factory that is rehearsed in a moment."""

FILE = """
factory: small
systems: [{id: box, system: hgx-h100, count: 1}]
services:
  - {name: chat, model: llama-3.1-8b, engine: vllm, precision: fp8, workers: 4, slo: {ttft_p95: 2 s, tpot_p95: 50 ms}}
workload:
  - {service: chat, arrivals: {kind: poisson, rate: 8}, input: {kind: fixed, mean: 256}, output: {kind: fixed, mean: 64}}
run: {horizon: 20 s, warmup: 2 s, seed: 3}
"""
