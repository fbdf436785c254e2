"""Which factory for a demand: search, topology, fleets over time, sweeps, comparisons, export."""
