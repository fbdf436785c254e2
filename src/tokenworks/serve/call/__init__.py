"""The life of one call of a model: limits, a place, upstreams that are asked, the answer forwarded, its end metered."""
