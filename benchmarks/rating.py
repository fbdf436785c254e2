"""Rating of ten million events under a graduated plan: seconds and peak memory. `--json` for machines."""

from __future__ import annotations

import argparse
import json
import resource
import tempfile
import time
from pathlib import Path

PLAN = """
plan: bench
currency: USD
versions:
- id: bench-1
  from: 2026-01-01
  until: 2026-01-16
  prices: &prices
  - {id: input, meter: tokens, buckets: [input_fresh, cache_write], model: graduated, per: 1_000_000,
     tiers: [{up_to: 100_000_000, price: 3}, {up_to: 1_000_000_000, price: 2.5}, {price: 2}]}
  - {id: read, meter: tokens, buckets: [cache_read], model: graduated, per: 1_000_000,
     tiers: [{up_to: 1_000_000_000, price: 0.3}, {price: 0.25}]}
  - {id: output, meter: tokens, buckets: [output_visible, output_reasoning, output_tool], model: graduated,
     per: 1_000_000, tiers: [{up_to: 10_000_000, price: 15}, {price: 12}]}
- {id: bench-2, from: 2026-01-16, prices: *prices}
"""


def make_events(path: Path, events: int, tenants: int = 50, seed: int = 1) -> None:
    """A Parquet file of usage in January 2026: random by (seed, row), the same each time."""
    import duckdb

    bucket = "(hash(i, {seed}, '{name}') % {top})::BIGINT AS {name}"
    tops = {"input_fresh": 4000, "cache_read": 30000, "cache_write": 500, "output_visible": 800}
    sizes = ", ".join(bucket.format(seed=seed, name=name, top=top) for name, top in tops.items())
    with duckdb.connect(config={"threads": 2, "memory_limit": "2GB"}) as db:
        db.execute(
            f"COPY (SELECT i AS seq, 'bench' AS source, i::VARCHAR AS id, "
            f"1767225600000000 + (hash(i, {seed}) % 2678400)::BIGINT * 1000000 AS time_us, 1::TINYINT AS sign, "
            f"'t' || (hash(i, {seed}, 't') % {tenants}) AS tenant, 'r' || (i // 20) AS root_run, "
            f"['small', 'large', 'vision'][1 + (hash(i, {seed}, 'm') % 3)::INT] AS model, {sizes}, "
            "0::BIGINT AS output_reasoning, 0::BIGINT AS output_tool, hash(i, 7) % 100 = 0 AS failed, "
            f"1000::BIGINT AS duration_us, '' AS tags FROM range({events}) t(i)) TO '{path}' (FORMAT PARQUET)"
        )


def rate_10m(path: Path, tenants: int = 50) -> float:
    """Seconds to rate January of all tenants in a Parquet file of usage."""
    from tokenworks.pricing.account import Account
    from tokenworks.pricing.bulk import rate_many
    from tokenworks.pricing.measure import Tables
    from tokenworks.pricing.plan import Plan
    from tokenworks.pricing.reading import parsed

    begin = time.perf_counter()
    plan = parsed(PLAN, Plan)
    accounts = [
        Account.model_validate({"tenant": f"t{n}", "plan": "bench", "from": "2026-01-01"}) for n in range(tenants)
    ]
    rated = rate_many(plan, accounts, Tables(path), "2026-01")
    assert len(rated) == tenants
    assert all(r.total > 0 for r in rated.values())
    return time.perf_counter() - begin


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--events", type=int, default=10_000_000)
    parser.add_argument("--file", type=Path, help="a Parquet file made before with --make")
    parser.add_argument("--make", type=Path, help="only write the events")
    parser.add_argument("--json", action="store_true")
    args = parser.parse_args()
    if args.make:
        make_events(args.make, args.events)
        return
    with tempfile.TemporaryDirectory() as folder:
        path = args.file or Path(folder) / "usage.parquet"
        if not args.file:
            make_events(path, args.events)
        seconds = rate_10m(path)
    peak_mb = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss / 1024
    found = {"rate_10m_s": round(seconds, 3), "peak_mb": round(peak_mb), "events": args.events}
    print(json.dumps(found) if args.json else f"{args.events:,} events rated in {seconds:.2f} s, peak {peak_mb:.0f} MB")


if __name__ == "__main__":
    main()
