"""A Hugging Face config.json as a catalogue entry: shapes, attention kinds, experts, parameters."""

from tokenworks.catalog.importer.entry import import_config, write_entry
from tokenworks.catalog.importer.facts import model_facts

__all__ = ["import_config", "model_facts", "write_entry"]
