"""A config.json that names what it lacks: its text part, the defaults of its family, and the key that is missing."""

from __future__ import annotations

import json
import tomllib
from collections.abc import Mapping
from dataclasses import dataclass
from functools import lru_cache
from pathlib import Path
from typing import Any

from tokenworks.catalog.importer.shapes import check_shapes
from tokenworks.errors import InputError

FAMILIES = Path(__file__).parent / "families.toml"
POSITIVE = ("hidden_size", "num_hidden_layers", "num_attention_heads", "vocab_size")
TEXT_PARTS = ("text_config", "llm_config", "language_config")


@dataclass(frozen=True)
class Config:
    """The text model's keys. ``outer`` is the whole file, where encoders and quantisation are described."""

    name: str
    values: Mapping[str, Any]
    outer: Mapping[str, Any]

    @property
    def family(self) -> str:
        return str(self.values.get("model_type", ""))

    def get(self, *keys: str) -> Any:
        """The first of these keys that is there and not null, or None."""
        for key in keys:
            if self.values.get(key) is not None:
                return self.values[key]
        return None

    def need(self, *keys: str) -> int:
        """The first of these keys as a positive whole number; an error names the keys."""
        value = self.get(*keys)
        if value is None:
            raise InputError(f"{self.name}: no {' or '.join(keys)}; a {self.family} model cannot be read without it")
        if value == 0 and keys[0] in POSITIVE:
            raise InputError(f"{self.name}: {keys[0]} is 0")
        return int(value)

    def count(self, *keys: str) -> int:
        """Like ``need``, but 0 where the file has none of the keys: a part that the model does not have."""
        return self.need(*keys) if self.get(*keys) is not None else 0


def read_config(path: Path) -> Config:
    """The file (or the one in this folder), with the quantisation that NVIDIA's checkpoints describe beside it."""
    path = path / "config.json" if path.is_dir() else path
    table = _read(path)
    beside = path.with_name("hf_quant_config.json")
    if isinstance(table, dict) and "quantization_config" not in table and beside != path and beside.is_file():
        table["quantization_config"] = {"quant_method": "modelopt", **_read(beside).get("quantization", {})}
    return parse_config(table, path.name)


def _read(path: Path) -> Any:
    try:
        return json.loads(path.read_text(encoding="utf-8"))
    except FileNotFoundError:
        raise InputError(f"no such file: {path}") from None
    except (UnicodeDecodeError, json.JSONDecodeError) as error:
        raise InputError(f"{path}: not a JSON file: {error}") from None


def parse_config(table: Any, name: str) -> Config:
    """The text part of a configuration, completed with the defaults of its family."""
    if not isinstance(table, dict):
        raise InputError(f"{name}: a config.json is an object, this is {type(table).__name__}")
    part = next((table[key] for key in TEXT_PARTS if isinstance(table.get(key), dict)), table)
    check_shapes(name, table)
    check_shapes(name, part)
    family = part.get("model_type")
    known = families()
    if family is None:
        raise InputError(f"{name}: no model_type: is this the config.json of a Hugging Face model?")
    if family not in known:
        raise InputError(f'{name}: model_type "{family}" cannot be read; supported: {", ".join(sorted(known))}')
    if reason := known[family].get("unsupported"):
        raise InputError(f'{name}: model_type "{family}" cannot be read: {reason}')
    return Config(name, {**known[family], **_present(part)}, table)


def _present(part: Mapping[str, Any]) -> dict[str, Any]:
    return {key: value for key, value in part.items() if value is not None}


@lru_cache(maxsize=1)
def families() -> dict[str, dict[str, Any]]:
    """Model types that can be read, each with the values its files may leave out."""
    return tomllib.loads(FAMILIES.read_text(encoding="utf-8"))
