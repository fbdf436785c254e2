"""Client mixes: rates by window, burstiness, lengths; ServeGen's files and what is wrong with them."""

import json

import numpy as np
import pytest

from tokenworks.errors import TraceError
from tokenworks.spec.demand import Workload
from tokenworks.workload.generate import base_rate_s, generate, rng_of
from tokenworks.workload.lengths import Histogram
from tokenworks.workload.mix import Client, ClientMix, arrivals, mixed
from tokenworks.workload.servegen import classes, packed, read_mix, unpacked
from tokenworks.workload.streams import TICKS_PER_S, joined
from tokenworks.workload.trace_formats import load_mix
from tokenworks.workload.trace_names import FOLDER, mix_ids

Z = 2.576


def client(rate, shape=1.0, weibull=False, inputs=(10,), outputs=(5,)):
    rate = np.asarray(rate, float)
    full = np.full(len(rate), shape)
    return Client(rate, full, np.full(len(rate), weibull), Histogram(list(inputs)), Histogram(list(outputs)))


def times(one, horizon_s, factor=1.0, start_s=0.0, seed=1, window_s=10.0):
    found = []
    for part in arrivals(one, window_s, factor, rng_of(seed), start_s):
        found.append(part)
        if part[-1] > horizon_s:
            return np.concatenate(found)
    raise AssertionError


@pytest.mark.parametrize(
    ("shape", "weibull", "cv"), [(1.0, False, 1.0), (0.25, False, 2.0), (4.0, False, 0.5), (0.5427, True, 2.0)]
)
def test_a_client_has_its_rate_and_its_burstiness_across_windows(shape, weibull, cv):
    """At a constant rate, windows leave no mark: the gaps are those of one renewal process."""
    gaps = np.diff(times(client([5.0, 5.0, 5.0], shape, weibull), 40_000))
    assert abs(gaps.mean() - 0.2) < Z * 0.2 * cv / np.sqrt(len(gaps))
    assert gaps.std() / gaps.mean() == pytest.approx(cv, rel=0.02)
    assert abs(np.corrcoef(gaps[:-1], gaps[1:])[0, 1]) < 4 / np.sqrt(len(gaps))


def test_windows_have_their_own_rates_and_start_may_be_anywhere():
    one = client([0.0, 2.0, 0.0, 8.0])
    for start in (0.0, 15.0, 47.0):
        found = times(one, 40_000, start_s=start) + start
        counts = np.bincount(((found // 10) % 4).astype(int), minlength=4)
        assert counts[0] == counts[2] == 0
        for w, rate in ((1, 2.0), (3, 8.0)):
            assert abs(counts[w] - rate * 10_000) < 4 * np.sqrt(rate * 10_000)


def test_a_mix_is_scaled_as_a_whole_and_names_its_clients():
    mix = ClientMix("two", 10.0, (client([3.0, 1.0], inputs=(7,)), client([2.0, 2.0], inputs=(9,))), "")
    assert (mix.rate_s, mix.span_s) == (4.0, 20.0)
    seconds = 2000.0
    made = joined(list(mixed(mix, 40.0, seconds, rng_of(2), 1000, 0.0)))
    assert made.arrival[-1] < seconds * TICKS_PER_S
    assert abs(len(made) - 40 * seconds) < 4 * np.sqrt(len(made))
    assert (np.diff(made.arrival) >= 0).all()
    for number, tokens in ((0, 7), (1, 9)):
        mine = made.input_tokens[made.tenant == number]
        assert set(mine.tolist()) == {tokens}
        assert abs(len(mine) - 20 * seconds) < 4 * np.sqrt(len(mine))


def test_shipped_mixes_are_small_and_have_the_published_rates():
    assert mix_ids() == ("servegen-deepseek-r1", "servegen-m-large")
    assert sum((FOLDER / f"{name}.npz").stat().st_size for name in mix_ids()) < 200_000
    expected = {"servegen-m-large": (5, 14 * 86_400.0, 1.08669), "servegen-deepseek-r1": (24, 86_400.0, 4.72785)}
    for name, (clients, span, rate) in expected.items():
        mix = load_mix(name)
        assert (len(mix.clients), mix.span_s) == (clients, span)
        assert mix.rate_s == pytest.approx(rate, rel=1e-4)


def test_a_workload_of_a_mix():
    load = Workload.model_validate({"service": "a", "mix": "servegen-deepseek-r1", "tenants": 1})
    made = generate(load, 0, 8.0, 86_400, 1, 0)
    assert base_rate_s(load) == pytest.approx(4.72785, rel=1e-4)
    assert len(made) / 86_400 == pytest.approx(8.0, rel=0.1)  # heavy bursts: the mean of a day still strays
    mix = load_mix("servegen-deepseek-r1")
    share = np.array([c.rate_s.mean() for c in mix.clients]) / mix.rate_s
    want = share @ np.array([c.outputs.mean for c in mix.clients])
    assert made.output_tokens.mean() == pytest.approx(want, rel=0.1)


WINDOWS = "0,2.0,1.5,Gamma,0.4444,1.125\n600,0,0,,0,0\n1200,1.0,1.2,Weibull,0.84,0.9\n"
LENGTHS = {"0": {"input_tokens": "{100: 0.25, 300: 0.75}", "output_tokens": "{7: 1.0}"},
           "600": {"input_tokens": "{}", "output_tokens": "{}"},
           "1200": {"input_tokens": "{600: 1.0}", "output_tokens": "{1: 0.5, 3: 0.5}"}}  # fmt: skip


def folder(path, windows=WINDOWS, lengths=None):
    (path / "chunk-0-trace.csv").write_text(windows)
    (path / "chunk-0-dataset.json").write_text(json.dumps(lengths or LENGTHS))
    return path


def test_a_folder_of_servegen_files(tmp_path):
    folder(tmp_path)
    (tmp_path / "chunk-1-trace.csv").write_text("0,0,0,,0,0\n600,0,0,,0,0\n1200,0,0,,0,0\n")  # asks for nothing
    mix = load_mix(str(tmp_path))
    (only,) = mix.clients
    assert (mix.window_s, mix.rate_s, only.weibull.tolist()) == (600.0, 1.0, [False, False, True])
    assert only.shape.tolist() == [0.4444, 1.0, 0.84]
    # two thirds of the requests come in the first window
    assert only.inputs.mean == pytest.approx(2 / 3 * 250 + 1 / 3 * 600)
    assert only.outputs.mean == pytest.approx(2 / 3 * 7 + 1 / 3 * 2)
    again = unpacked("again", packed(mix, 6), "")
    assert again.rate_s == mix.rate_s
    assert again.clients[0].inputs.mean == pytest.approx(only.inputs.mean, abs=1)
    assert classes(only.outputs, 6).tolist() == [1, 3, 7, 7, 7, 7]


BAD = [
    (WINDOWS.replace("2.0,1.5", "-2,1.5"), None, "chunk-0-trace.csv:1: rate is -2; it must be a finite number of at least 0"),
    (WINDOWS.replace("Weibull", "Pareto"), None, "chunk-0-trace.csv:3: distribution is 'Pareto'; known are Gamma, Weibull and none"),
    (WINDOWS.replace("600,0,0,,0,0", "600,0"), None, "chunk-0-trace.csv:2: a window has 6 fields"),
    (WINDOWS.replace("1.0,1.2", "nan,1.2").replace("2.0", "x"), None, "chunk-0-trace.csv:1: rate is 'x', not a number\n"),
    (WINDOWS.replace("1200", "1300"), None, "windows must have equal lengths"),
    ("0,1,1,,0,0\n", None, "a client needs at least two windows"),
    ("0,0,0,,0,0\n600,0,0,,0,0\n", None, "no client asks for anything"),
    (WINDOWS, {"0": {"input_tokens": "{1: 1}", "output_tokens": "{oops"}}, "chunk-0-dataset.json: "),
    (WINDOWS, {"0": {"text_tokens": "{1: 1}", "output_tokens": "{1: 1}"}}, "no usable input_tokens"),
    (WINDOWS, {"0": {"input_tokens": "{-5: 1}", "output_tokens": "{1: 1}"}}, "input_tokens is -5"),
]  # fmt: skip


@pytest.mark.parametrize(("windows", "lengths", "message"), BAD, ids=range(len(BAD)))
def test_bad_mixes_name_file_and_line(windows, lengths, message, tmp_path):
    with pytest.raises(TraceError) as caught:
        read_mix(folder(tmp_path, windows, lengths))
    assert message in str(caught.value)


def test_no_such_mix(tmp_path):
    with pytest.raises(TraceError, match="Did you mean servegen-m-large"):
        load_mix("servegen-large")
    with pytest.raises(TraceError, match="there is no file like chunk-0-trace"):
        load_mix(str(tmp_path))
