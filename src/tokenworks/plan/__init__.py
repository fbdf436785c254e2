"""Search, topology, fleets over time, export: what factory a demand asks for."""
