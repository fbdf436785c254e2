"""ServeGen's client statistics: a folder with two files a client.

``chunk-N-trace.csv``, without a header: start of a window (s), requests per second, coefficient of variation of the
gaps, their distribution (Gamma, Weibull or none) and its two parameters, shape and scale. ``chunk-N-dataset.json``:
by start of a period, the distributions of input_tokens and output_tokens as texts ``{tokens: share, …}``. A client's
periods are pooled here by how many requests they have; prompts and answers are drawn independently, as published.
"""

from __future__ import annotations

import ast
import csv
import json
from collections.abc import Mapping
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

from tokenworks.errors import TraceError
from tokenworks.workload.arrivals import Floats
from tokenworks.workload.lengths import Histogram
from tokenworks.workload.mix import Client, ClientMix
from tokenworks.workload.trace_rows import MOST_TOKENS, Findings, number

KINDS = ("Gamma", "Weibull", "")
LENGTHS = ("input_tokens", "output_tokens")


def read_mix(folder: Path) -> ClientMix:
    """All clients of a folder that ask for anything. Raises TraceError with file and line."""
    files = sorted(folder.glob("chunk-*-trace.csv"), key=lambda path: (len(path.name), path.name))
    if not files:
        raise TraceError(f"{folder}: no client mix: there is no file like chunk-0-trace.csv")
    clients, widths = list[Client](), dict[float, Path]()
    for path in files:
        windows = _windows(path)
        widths.setdefault(float(windows[1, 0] - windows[0, 0]), path)
        if windows[:, 1].any():
            lengths = _lengths(path.with_name(path.name.replace("trace.csv", "dataset.json")), windows)
            clients.append(Client(windows[:, 1], windows[:, 2], windows[:, 3] > 0, *lengths))
    if len(widths) > 1 or len({len(client.rate_s) for client in clients}) > 1:
        raise TraceError(f"{folder}: the windows of {' and '.join(p.name for p in widths.values())} differ")
    if not clients:
        raise TraceError(f"{folder}: no client asks for anything")
    return ClientMix(folder.name, next(iter(widths)), tuple(clients), str(folder))


def _windows(path: Path) -> Floats:
    """Rows of start, rate, shape, 1 where Weibull."""
    findings, rows = Findings(path), list[tuple[float, float, float, float]]()
    with open(path, newline="", encoding="utf-8", errors="replace") as lines:
        for line, row in enumerate(csv.reader(lines), 1):
            try:
                rows.append(_window(row))
            except ValueError as error:
                findings.add(line, str(error))
    findings.close()
    if len(rows) < 2:
        raise TraceError(f"{path}: a client needs at least two windows")
    found = np.array(rows)
    if not np.allclose(np.diff(found[:, 0]), found[1, 0] - found[0, 0]) or found[1, 0] <= found[0, 0]:
        raise TraceError(f"{path}: windows must have equal lengths")
    return found


def _window(row: list[str]) -> tuple[float, float, float, float]:
    if len(row) != 6:
        raise ValueError(f"a window has 6 fields (start, rate, cv, distribution, shape, scale); here are {len(row)}")
    start, rate, cv = (number(key, text, 0) for key, text in zip(("start", "rate", "cv"), row, strict=False))
    if row[3] not in KINDS:
        raise ValueError(f"distribution is {row[3]!r}; known are Gamma, Weibull and none")
    shape = number("shape", row[4], 0)
    if not shape:  # too few requests for a fit: a Gamma distribution of the same variation, or a Poisson process
        shape = 1 / cv**2 if cv else 1.0
    return start, rate, shape, float(row[3] == "Weibull")


def _lengths(path: Path, windows: Floats) -> list[Histogram]:
    try:
        periods = {float(start): said for start, said in json.loads(path.read_text(encoding="utf-8")).items()}
        found = [_pooled(periods, key, windows) for key in LENGTHS]
    except FileNotFoundError:
        raise TraceError(f"{path}: no such file beside the client's windows") from None
    except json.JSONDecodeError as error:
        raise TraceError(f"{path}:{error.lineno}: not valid JSON: {error.msg}") from None
    except (ValueError, SyntaxError, AttributeError, TypeError) as error:
        raise TraceError(f"{path}: {error}") from None
    return found


def _pooled(periods: Mapping[float, Mapping[str, str]], key: str, windows: Floats) -> Histogram:
    starts = sorted(periods)
    asked = np.bincount(
        np.maximum(0, np.searchsorted(starts, windows[:, 0], side="right") - 1), windows[:, 1], minlength=len(starts)
    )
    mass = dict[int, float]()
    for start, weight in zip(starts, asked, strict=True):
        for tokens, share in ast.literal_eval(periods[start].get(key, "{}")).items():
            length = int(number(key, tokens, 0))
            mass[length] = mass.get(length, 0.0) + weight * number(f"share of {tokens} {key}", share, 0)
    if not sum(mass.values()) or max(mass) > MOST_TOKENS:
        raise ValueError(f"no usable {key} for a client that asks (kinds of tokens other than text are not read)")
    values = sorted(mass)
    return Histogram(np.maximum(1, values), [mass[v] for v in values])


def packed(mix: ClientMix, bins: int) -> dict[str, NDArray[Any]]:
    """A mix as small arrays: lengths as the means of ``bins`` equally likely classes."""
    stack = lambda name: np.array([getattr(client, name) for client in mix.clients])  # noqa: E731
    return {
        "window_s": np.array(mix.window_s),
        "rate_s": stack("rate_s").astype(np.float32),
        "shape": stack("shape").astype(np.float16),
        "weibull": stack("weibull"),
        "inputs": np.array([classes(client.inputs, bins) for client in mix.clients], np.int32),
        "outputs": np.array([classes(client.outputs, bins) for client in mix.clients], np.int32),
    }


def classes(lengths: Histogram, bins: int) -> NDArray[np.float64]:
    """Means of equally likely classes, rounded to whole tokens.

    >>> classes(Histogram([1, 2, 3, 10]), 2).tolist()
    [2.0, 6.0]
    """
    edges = np.arange(bins + 1) / bins
    below = np.concatenate([[0.0], np.cumsum(lengths.values * np.diff(lengths.cumulative, prepend=0.0))])
    sums = np.interp(edges, np.concatenate([[0.0], lengths.cumulative]), below)
    return np.asarray(np.maximum(1, np.rint(np.diff(sums) * bins)))


def unpacked(name: str, data: Mapping[str, NDArray[Any]], source: str) -> ClientMix:
    """The mix in arrays of `packed`."""
    rows = zip(data["rate_s"], data["shape"], data["weibull"], data["inputs"], data["outputs"], strict=True)
    clients = tuple(
        Client(rate.astype(float), shape.astype(float), weibull, Histogram(inputs), Histogram(outputs))
        for rate, shape, weibull, inputs, outputs in rows
    )
    return ClientMix(name, float(data["window_s"]), clients, source)
