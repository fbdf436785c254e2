"""From a demand to a factory: search, topology, sweeps, and files that real orchestrators run."""
