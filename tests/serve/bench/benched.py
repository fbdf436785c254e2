"""A bench of a scripted server in virtual time."""

import numpy as np
from scripted_server import serving
from virtual_time import run

from tokenworks.serve.bench.address import address_of
from tokenworks.serve.bench.asking import Wanted
from tokenworks.serve.bench.bench import Settings, bench_here
from tokenworks.serve.bench.demand import Demand
from tokenworks.workload.streams import in_ticks, requests

EXACT = 2e-6  # seconds: float sums of a clock that stands at 1,000 s
OF_ASKING = ("model", "key", "ignore_eos", "extra", "seed")


def at(*seconds, inputs=50, outputs=4):
    count = len(seconds)
    made = requests(
        in_ticks(np.array(seconds)) / 1e11, np.full(count, inputs, np.int32), np.full(count, outputs, np.int32)
    )
    return Demand(made, "by hand", None, 1.0, True)


def benched(server, demand, url="", path="", per_token=4.0, stop=lambda: False, **more):
    wanted = {name: more.pop(name) for name in OF_ASKING if name in more}

    async def both():
        async with serving(server) as own:
            asked = Wanted(address_of((url or own) + path), characters_per_token=per_token, **wanted)
            return await bench_here(Settings(asked, demand, **more), lambda _: None, stop)

    return run(both())
