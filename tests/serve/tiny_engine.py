"""llama.cpp's own server over the tiny model, in a process of its own: ``python tiny_engine.py MODEL [embeddings]`` prints its
address."""

import re
import subprocess
import sys
import threading
import urllib.request
from contextlib import contextmanager


@contextmanager
def running(model, mode=""):
    with started(model, mode) as engine:
        yield engine.address


@contextmanager
def started(model, mode=""):
    """The process, with its ``address``. ``mode``: "embeddings" for vectors in place of answers."""
    process = subprocess.Popen(
        [sys.executable, __file__, str(model), mode],
        stdin=subprocess.PIPE,
        stdout=subprocess.PIPE,
        stderr=subprocess.DEVNULL,
        text=True,
    )
    killer = threading.Timer(120, process.kill)
    killer.start()
    try:
        process.address = process.stdout.readline().strip()
        assert process.address.startswith("http://"), "the engine did not start"
        yield process
    finally:
        killer.cancel()
        process.kill()
        process.wait()
        process.stdout.close()
        process.stdin.close()


def counters(address):
    """The engine's own count: (prompt tokens, generated tokens, requests in progress)."""
    page = urllib.request.urlopen(f"{address}/metrics", timeout=10).read().decode()
    of = lambda name: int(float(re.search(rf"^llamacpp:{name} (\S+)$", page, re.MULTILINE).group(1)))  # noqa: E731
    return of("prompt_tokens_total"), of("tokens_predicted_total"), of("requests_processing")


def main(model, mode=""):
    import xllamacpp

    params = xllamacpp.CommonParams()
    params.model.path = model
    params.n_parallel, params.n_ctx = 4, 4 * 2048
    params.n_gpu_layers = params.port = 0
    params.cpuparams.n_threads = params.cpuparams_batch.n_threads = 1
    params.cache_prompt = params.warmup = False
    params.endpoint_metrics = True
    if mode == "embeddings":
        params.embedding = True
        params.pooling_type = xllamacpp.llama_pooling_type.LLAMA_POOLING_TYPE_MEAN
    server = xllamacpp.Server(params)
    sys.stdout.write(f"{server.listening_address}\n")
    sys.stdout.flush()
    sys.stdin.read()  # until the parent has gone


if __name__ == "__main__":
    main(*sys.argv[1:])
