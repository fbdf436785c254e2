"""The TOML text of an imported entry, and its place in the user's own catalogue."""

from __future__ import annotations

import json
import os
import re
from datetime import date
from pathlib import Path
from typing import Any

from tokenworks.catalog.importer.config import Config, read_config
from tokenworks.catalog.importer.facts import model_facts
from tokenworks.errors import InputError

SOURCE = "imported-config"
UNITS = {
    "billion": ("params_b", "active_params_b", "linear_params_b", "encoder_params_b"),
    "layers": (
        "layers",
        "full_layers",
        "window_layers",
        "topk_layers",
        "linear_layers",
        "mlp_only_layers",
        "moe_layers",
        "dense_layers",
        "mtp_layers",
        "index_layers",
    ),
    "heads": ("heads", "kv_heads", "index_heads", "linear_heads"),
    "tokens": ("vocab", "max_context", "window", "topk"),
    "flag": ("tied_embeddings", "ffn_gated", "parallel_attention", "attention_output_gate"),
    "experts": ("experts", "experts_per_token"),
    "name": ("attention", "native_weights", "linear_kind", "encoder"),
    "norms": ("norms_per_layer",),
    "bytes": ("linear_state_bytes_per_seq",),
}
UNIT_OF = {key: unit for unit, keys in UNITS.items() for key in keys}
COUNTED = "counted from the shapes; without MTP heads and encoders"
NOTES = {
    "params_b": COUNTED,
    "active_params_b": COUNTED + "; embedding and output head included",
    "linear_state_bytes_per_seq": "states in 32 bits, convolution in 16",
    "attention_output_gate": "doubles the query projection",
    "index_layers": "layers with an indexer of their own; the others reuse its choice",
    "encoder_params_b": "blocks of the vision encoder only",
}


def import_config(path: Path, entry_id: str | None = None, today: date | None = None) -> tuple[str, str]:
    """(id, TOML text) of the entry that a config.json describes."""
    config = read_config(path)
    chosen = entry_id or default_id(config, path)
    if not re.fullmatch(r"[a-z0-9][a-z0-9._-]*", chosen):
        raise InputError(f'"{chosen}" is no id: small letters, digits, dots and dashes only')
    return chosen, entry_text(chosen, model_facts(config), today or date.today())


def default_id(config: Config, path: Path) -> str:
    """From the name the file carries, or from the folder or file it is in."""
    carried = str(config.outer.get("_name_or_path") or "").rstrip("/").rsplit("/", 1)[-1]
    place = path.parent.resolve().name if path.stem == "config" else path.stem.removesuffix("_config")
    return re.sub(r"[^a-z0-9._-]+", "-", (carried or place).lower()).strip("-")


def entry_text(entry_id: str, facts: dict[str, Any], today: date) -> str:
    head = {"id": entry_id, "name": entry_id, "source": SOURCE, "date": today.isoformat(), "status": "published"}
    lines = [f"{key} = {_toml(value)}" for key, value in head.items()]
    lines += ["", "[facts]", *(_line(key, value) for key, value in facts.items())]
    return "\n".join(lines) + "\n"


def _line(key: str, value: Any) -> str:
    note = f", note = {_toml(NOTES[key])}" if key in NOTES and value else ""
    return f"{key} = {{value = {_toml(value)}, unit = {_toml(UNIT_OF.get(key, 'width'))}{note}}}"


def _toml(value: Any) -> str:
    """A scalar as TOML; JSON's strings, numbers and booleans are valid there."""
    return json.dumps(value)


def write_entry(text: str, target: Path, entry_id: str) -> None:
    """All of the file or nothing; an existing entry is never overwritten."""
    if target.name != f"{entry_id}.toml":
        raise InputError(f"{target}: the file of entry {entry_id} must be called {entry_id}.toml")
    if target.exists():
        raise InputError(f"{target} exists already: remove it first, or choose another --out or --id")
    target.parent.mkdir(parents=True, exist_ok=True)
    partial = target.with_name(f".{target.name}.{os.getpid()}")
    partial.write_text(text, encoding="utf-8")
    partial.replace(target)
