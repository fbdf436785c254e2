"""In which groups the facts of an entry are shown. Keys are listed by their beginnings; the rest comes last."""

from __future__ import annotations

from collections.abc import Iterator

from tokenworks.catalog.facts import Entry

GROUPS: dict[str, tuple[tuple[str, tuple[str, ...]], ...]] = {
    "accelerators": (
        ("Chip", ("vendor", "generation", "available", "process", "transistors", "dies", "sm_count", "boost", "l2")),
        ("Memory", ("memory",)),
        ("Compute", ("tensor_formats", "transformer_engine", "peak")),
        ("Power", ("tdp", "idle")),
        ("Links", ("link_kind", "scale_up", "pcie", "host_link", "scale_out")),
        ("Security and data", ("confidential", "decompression")),
    ),
    "models": (
        (
            "Size",
            ("params", "active", "encoder", "native", "max_context", "vocab", "tied", "layers", "hidden", "norms"),
        ),
        (
            "Attention",
            (
                "attention",
                "heads",
                "kv_heads",
                "head_dim",
                "q_lora",
                "kv_lora",
                "qk_",
                "v_head",
                "o_lora",
                "o_groups",
                "full_layers",
                "window",
                "topk",
                "index",
                "compressed",
                "uncompressed",
                "parallel",
            ),
        ),
        ("Linear mixers", ("linear",)),
        ("Feed-forward", ("ffn", "dense", "moe", "expert", "shared", "mlp_only", "hash", "hyper")),
        ("Speculation", ("mtp",)),
    ),
    "systems": (
        ("Machine", ("accelerator", "gpus", "node_gpus", "cpus", "cpu_kind", "racks", "rack_units", "cooling")),
        ("Memory and storage", ("host_memory", "fast_memory", "nvme")),
        ("Network", ("nics", "rails", "nic_gb", "scale_out", "leaf", "spine")),
        ("Power", ("system", "rack_", "host_", "nic_w", "switch", "fan", "psu")),
        ("Price", ("price",)),
    ),
    "fabrics": (
        ("Link", ("link", "usable", "latency", "max_domain", "ports", "switch")),
        ("Under load", ("load", "effective", "tail")),
        ("Power and failures", ("port", "optics", "failures")),
        ("Built of", ("switch_id", "optics_id", "copper_id", "split_", "with_")),
    ),
    "switches": (
        ("Ports", ("ports", "port_gb_s", "split", "co_packaged", "laser", "per_rack", "built")),
        ("Power, price and failures", ("bare", "price", "failures")),
    ),
    "links": (
        ("Link", ("link", "medium", "racks_reached")),
        ("At the switch", ("switch_end",)),
        ("At the host", ("host_end",)),
        ("Cable", ("cable",)),
    ),
}


# Facts that tell the entries of a kind apart, each with how it is written in a list.
SUMMARIES: dict[str, tuple[tuple[str, str], ...]] = {
    "accelerators": (("memory_gb", "{:>5,} GB"), ("memory_bandwidth_gb_s", "{:>7,.0f} GB/s"), ("tdp_w", "{:>6,} W")),
    "models": (("params_b", "{:>8,.1f} B"), ("active_params_b", "{:>6,.1f} active"), ("native_weights", "{:>9}")),
    "systems": (("gpus", "{:>3}"), ("accelerator", "{:<20}"), ("system_max_w", "{:>9,} W")),
    "fabrics": (("link_gb_s", "{:>5,} GB/s"), ("port_w", "{:>5} W")),
    "switches": (("ports", "{:>4} ports"), ("port_gb_s", "{:>4} GB/s"), ("bare_w", "{:>6,} W")),
    "links": (("link_gb_s", "{:>4} GB/s"), ("switch_end_w", "{:>3} W")),
    "prices": (("usd_gpu_h", "{:>6.2f} USD/GPU-h"),),
    "token-prices": (("input_usd_mtok", "{:>6.2f} in"), ("output_usd_mtok", "{:>6.2f} out")),
}


def summary(entry: Entry) -> str:
    """The figures of an entry for a list, in fixed columns; blanks where it does not have one."""
    parts = []
    for key, form in SUMMARIES.get(entry.kind, ()):
        value = entry.get(key)
        width = len(form.format("x" if form.endswith(("9}", "20}")) else 0))
        parts.append(" " * width if value is None else form.format(value))
    return " ".join(parts)


def grouped(entry: Entry) -> Iterator[tuple[str, list[str]]]:
    """(title, keys) of each group that the entry has facts for."""
    left = list(entry.facts)
    for title, starts in GROUPS.get(entry.kind, ()):
        keys = [key for start in starts for key in left if _belongs(key, start, starts)]
        left = [key for key in left if key not in keys]
        if keys:
            yield title, keys
    if left:
        yield ("Facts" if entry.kind not in GROUPS else "Other"), left


def _belongs(key: str, start: str, starts: tuple[str, ...]) -> bool:
    """A key belongs to the longest beginning that fits it."""
    return start == max((s for s in starts if key.startswith(s)), key=len, default=None)
