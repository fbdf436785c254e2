"""Re-encode the table of published measurements: `pack_measurements.py MEASUREMENTS.csv OUT.parquet`.

Inputs and targets only: free-text notes are left out, sources become short keys (dataset names; see data/NOTICE.md).
"""

import csv
import sys

import pyarrow as pa
import pyarrow.parquet as pq

TEXT = [
    "id",
    "split",
    "date",
    "dataset",
    "gpu",
    "model",
    "quantization",
    "engine",
    "engine_version",
    "serving",
    "disaggregated",
    "spec_decoding",
    "length_mode",
    "power_scope",
]
NUMBERS = [
    "gpus",
    "tp",
    "pp",
    "dp_attention",
    "moe_tp",
    "moe_ep",
    "prefill_workers",
    "prefill_tp",
    "prefill_ep",
    "prefill_dp",
    "decode_workers",
    "decode_tp",
    "decode_ep",
    "decode_dp",
    "isl",
    "osl",
    "random_range_ratio",
    "batch_size",
    "concurrency",
    "request_rate",
    "output_tokens_s_gpu",
    "total_tokens_s_gpu",
    "tpot_ms_mean",
    "tpot_ms_median",
    "ttft_ms_mean",
    "ttft_ms_median",
    "avg_power_w",
    "joules_per_output_token",
]


def number(text: str) -> float | None:
    return float(text) if text else None


def main() -> None:
    rows = list(csv.DictReader(open(sys.argv[1], newline="")))
    columns = {
        k: pa.array([r[k] for r in rows]).dictionary_encode() if k != "id" else pa.array([r[k] for r in rows])
        for k in TEXT
    }
    columns |= {k: pa.array([number(r[k]) for r in rows], pa.float32()) for k in NUMBERS}
    pq.write_table(pa.table(columns), sys.argv[2], compression="zstd", compression_level=19)


main()
