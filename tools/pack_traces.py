"""Re-encode public request traces compactly: `pack_traces.py AZURE_FOLDER MOONCAKE_FOLDER SERVEGEN_FOLDER OUT_FOLDER`.

Azure: CSV with TIMESTAMP, ContextTokens, GeneratedTokens. Mooncake: JSON Lines with timestamp (ms), input_length,
output_length, hash_ids. ServeGen: its data folder, see workload/servegen.py. Output: one compressed NumPy archive per
trace or mix; hash ids are renumbered by first appearance, lengths of clients become 64 equally likely classes.
"""

import csv
import datetime as dt
import json
import sys
from pathlib import Path

import numpy as np

from tokenworks.workload.servegen import packed, read_mix

LENGTH_CLASSES = 64


def azure(path: Path) -> dict[str, np.ndarray]:
    rows = list(csv.DictReader(open(path)))
    times = [dt.datetime.fromisoformat(r["TIMESTAMP"][:26]) for r in rows]
    start = min(times)
    ms = np.array([(t - start).total_seconds() * 1e3 for t in times]).round().astype(np.int64)
    order = np.argsort(ms, kind="stable")
    pick = lambda key: np.array([int(r[key]) for r in rows], np.uint16)[order]  # noqa: E731
    return {
        "gap_ms": np.diff(ms[order], prepend=0).astype(np.uint16),
        "input": pick("ContextTokens"),
        "output": pick("GeneratedTokens"),
    }


def mooncake(path: Path) -> dict[str, np.ndarray]:
    rows = [json.loads(line) for line in open(path)]
    ms = np.array([r["timestamp"] for r in rows])
    names: dict[int, int] = {}
    ids = [names.setdefault(h, len(names)) for r in rows for h in r["hash_ids"]]
    # Most ids continue their predecessor: store the difference, which compresses well.
    return {
        "gap_ms": np.diff(ms, prepend=0).astype(np.uint16),
        "input": np.array([r["input_length"] for r in rows], np.uint32),
        "output": np.array([r["output_length"] for r in rows], np.uint16),
        "blocks": np.array([len(r["hash_ids"]) for r in rows], np.uint16),
        "hash_step": np.diff(np.array(ids, np.int32), prepend=0).astype(np.int32),
    }


def main() -> None:
    azure_folder, mooncake_folder, servegen_folder, out = map(Path, sys.argv[1:5])
    for name, read, path in (
        ("azure-2023-conversation", azure, azure_folder / "AzureLLMInferenceTrace_conv.csv"),
        ("azure-2023-code", azure, azure_folder / "AzureLLMInferenceTrace_code.csv"),
        ("mooncake-conversation", mooncake, mooncake_folder / "conversation_trace.jsonl"),
        ("mooncake-synthetic", mooncake, mooncake_folder / "synthetic_trace.jsonl"),
    ):
        np.savez_compressed(out / f"{name}.npz", **read(path))
    for name, folder in (("m-large", "language/m-large"), ("deepseek-r1", "reason/deepseek-r1")):
        np.savez_compressed(out / f"servegen-{name}.npz", **packed(read_mix(servegen_folder / folder), LENGTH_CLASSES))


main()
