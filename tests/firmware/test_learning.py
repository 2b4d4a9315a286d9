"""The same spikes give the same tables in Python and in C, on every machine, to the byte."""

from __future__ import annotations

import numpy as np
import pytest

from classifiers.learning import learn
from classifiers.ranking import ranked
from classifiers.sorter import Sorter, SorterParameters
from firmware import build
from firmware.native import Native
from firmware.target import Target
from pipeline.checks import _Wide, example_format
from pipeline.layout import names, settled

MOST = 24
SMALL = SorterParameters(neighbours=4, features=4, clusters=3, units=9, radius_um=40.0, before_ms=0.5, after_ms=1.0)
NATIVE = Native(build.host_library(["gcc"], "-O1", MOST))
BAD_TABLES, TOO_LITTLE_ROOM, TOO_MANY_SPIKES = -3, -4, -5


@pytest.fixture(scope="module", params=["native", *build.CORES])
def machine(request):
    """Every engine that runs the C library, with its room."""
    if request.param == "native":
        return NATIVE
    return Target(request.param, MOST)


def designed(parameters=SMALL, channels=6, *, engine):
    """Return the tables of a sorter that has learned nothing, laid out for an engine."""
    return Sorter(parameters, example_format(channels, bits=16), engine=_Wide(engine)).tables


def made_up(tables, channels, seed, spikes, size=900):
    """Return channel, waveform and amplitude of spikes of two units a channel or so, some of which are as loud on the next one."""
    rng = np.random.default_rng(seed)
    neighbours, width, before = (int(tables[name]) for name in ("neighbours", "width", "before"))
    t = np.arange(width) - before
    shapes = []
    for home in range(channels):
        for _ in range(int(rng.integers(1, 4))):
            wave = -np.exp(-0.5 * (t / rng.uniform(1.5, 3.5)) ** 2) + rng.uniform(0, 0.6) * np.exp(-0.5 * ((t - 9) / 4.0) ** 2)
            shapes.append((home, size * rng.uniform(0.6, 1.4) * wave, rng.uniform(0.2, 0.97)))
    waveform = rng.normal(0, size / 30, (spikes, neighbours, width))
    channel = np.zeros(spikes, np.int32)
    for i in range(spikes):
        home, wave, spread = shapes[rng.integers(len(shapes))]
        near = tables["neighbour"][home]
        on = near[1] if spread > 0.9 and near[1] >= 0 and rng.random() < 0.3 else home  # as loud there: detected here or there
        for k, c in enumerate(tables["neighbour"][on, :neighbours]):
            away = np.flatnonzero(near == c)
            if c >= 0 and len(away):
                waveform[i, k] += wave * spread ** away[0] * rng.uniform(0.9, 1.1)
        waveform[i, tables["neighbour"][on, :neighbours] < 0] = 0
        channel[i] = on
    waveform[::25] += rng.normal(0, size / 2, waveform[::25].shape)  # some that are of no unit
    waveform = np.rint(np.clip(waveform, -32768, 32767)).astype(np.int16)
    return channel, waveform, waveform[:, 0, before].astype(np.int32)


def learned_in_c(machine, tables, channels, channel, waveform, amplitude):
    """Return the tables that the C makes of spikes, and what it returned."""
    mine = settled(tables)
    most = int(np.bincount(channel[(channel >= 0) & (channel < channels)], minlength=1).max()) if len(channel) else 0
    room = np.zeros(machine.call("bs_sorter_learn_bytes", mine, channels, most), np.uint8).view(np.int64)
    count = machine.call("bs_sorter_learn", mine, room, room.nbytes, channel, waveform, amplitude, channels, len(channel))
    return mine, count


def require_same_tables(machine, tables, channels, channel, waveform, amplitude):
    """Learn on the host and on a machine, and compare every field to the byte."""
    neighbour = tables["neighbour"][:channels, : int(tables["neighbours"])]
    expected = settled(learn(tables, neighbour, channel, waveform, amplitude))
    got, count = learned_in_c(machine, tables, channels, channel, waveform, amplitude)
    for name in names(expected.dtype):
        different = np.argwhere(np.atleast_1d(got[name] != expected[name]))
        where = tuple(different[0]) if len(different) and expected[name].ndim else ()
        assert not len(different), f"{name}{list(where)}: {got[name][where]}, expected {expected[name][where]}"
    assert got.tobytes() == expected.tobytes()
    assert count == expected["units"]
    return expected


@pytest.mark.parametrize("seed", range(4))
def test_same_spikes_same_tables_natively(seed):
    tables = designed(engine=NATIVE)
    learned = require_same_tables(NATIVE, tables, 6, *made_up(tables, 6, seed, 900))
    assert 6 <= learned["units"] <= 9
    assert learned["clusters"].sum() > learned["units"]  # some were joined, or are beyond the most there may be


@pytest.mark.parametrize("seed", range(2))
def test_same_spikes_same_tables(machine, seed):
    tables = designed(engine=machine)
    learned = require_same_tables(machine, tables, 6, *made_up(tables, 2, seed, 240))
    assert learned["clusters"].sum() >= learned["units"] >= 4


@pytest.mark.parametrize("features", [1, 3, 8])
def test_any_number_of_features(machine, features):
    parameters = SorterParameters(neighbours=5, features=features, after_ms=0.6, before_ms=0.3, radius_um=60.0)
    tables = designed(parameters, engine=machine)
    assert require_same_tables(machine, tables, 6, *made_up(tables, 1, 3, 120))["units"]


def test_one_channel(machine):
    tables = designed(channels=1, engine=machine)
    assert require_same_tables(machine, tables, 1, *made_up(tables, 1, 1, 200))["units"]


@pytest.mark.parametrize("spikes", [0, 1, 19, 20, 41])
def test_few_spikes(machine, spikes):
    tables = designed(engine=machine)
    channel, waveform, amplitude = made_up(tables, 6, 4, spikes)
    require_same_tables(machine, tables, 6, np.full_like(channel, 2), waveform, amplitude)


@pytest.mark.parametrize("what", ["random", "ends", "equal", "zero", "opposite"])
def test_full_scale_and_degenerate_waveforms(machine, what):
    tables, rng = designed(engine=machine), np.random.default_rng(5)
    shape = (120, int(tables["neighbours"]), int(tables["width"]))
    waveform = {
        "random": rng.integers(-32768, 32767, shape, endpoint=True),
        "ends": np.where(rng.random(shape) < 0.5, -32768, 32767),
        "equal": np.full(shape, -32768),
        "zero": np.zeros(shape),
        "opposite": np.where(np.arange(shape[0]) % 2 == 0, -32768, 32767)[:, None, None] * np.ones(shape),
    }[what].astype(np.int16)
    channel = rng.choice([0, 1, 1, -1, 6], len(waveform)).astype(np.int32)  # of channels that there are not, none is learned
    require_same_tables(machine, tables, 6, channel, waveform, np.full(len(channel), -(2**31), np.int32))


def test_what_was_learned_before_does_not_matter(machine):
    tables = designed(engine=machine)
    once = learned_in_c(machine, tables, 6, *made_up(tables, 2, 0, 120))[0]
    require_same_tables(machine, once, 6, *made_up(tables, 2, 7, 60))


def test_too_little_room_and_bad_tables_are_refused():
    machine, tables = NATIVE, settled(designed(engine=NATIVE))
    spikes = made_up(tables, 6, 0, 100)
    needed = machine.call("bs_sorter_learn_bytes", tables, 6, int(np.bincount(spikes[0]).max()))
    room = np.zeros(needed // 8 + 1, np.int64)
    before = tables.tobytes()
    assert machine.call("bs_sorter_learn", tables, room, needed - 1, *spikes, 6, 100) == TOO_LITTLE_ROOM
    odd = room.view(np.uint8)[4:]
    assert machine.call("bs_sorter_learn", tables, odd, needed, *spikes, 6, 100) == TOO_LITTLE_ROOM
    many = np.zeros(2**14 + 1, np.int32)
    assert machine.call("bs_sorter_learn", tables, room, needed, many, spikes[1], many, 6, len(many)) == TOO_MANY_SPIKES
    assert tables.tobytes() == before
    for field, value in (("neighbours", 13), ("width", 97), ("dimensions", 9), ("feature_from", 90), ("most_clusters", 0)):
        bad = tables.copy()
        bad[field] = value
        assert machine.call("bs_sorter_learn", bad, room, needed, *spikes, 6, 100) == BAD_TABLES
        assert machine.call("bs_sorter_learn_bytes", bad, 6, 100) == 0
    bad = tables.copy()
    bad["neighbour"][5, 1] = 6
    assert machine.call("bs_sorter_learn", bad, room, needed, *spikes, 6, 100) == BAD_TABLES


@pytest.mark.parametrize("n", [1, 2, 7, 300])
def test_ranked_is_what_sorting_gives(n):
    rng = np.random.default_rng(n)
    for values in (rng.integers(-(2**60), 2**60, n), rng.integers(-3, 3, n)):
        assert [ranked(values, rank) for rank in range(n)] == sorted(values)


PARTS = ("gaussian", "ranking", "clustering", "principal", "units", "learning")
MUTATIONS = [
    ("gaussian", "(BS_INVERSE_BITS - BS_WHITE_BITS)", "(BS_INVERSE_BITS - BS_WHITE_BITS + 1)"),
    ("gaussian", "(trace / (int32_t)dimensions >> 6) + 1", "(trace / (int32_t)dimensions >> 5) + 1"),
    ("gaussian", "rest * rest >> 30", "rest * rest >> 31"),
    ("clustering", "#define DEPTH 12", "#define DEPTH 1200"),
    ("clustering", "logarithm - 2 * (int32_t)bs_log2_q8", "logarithm - (int32_t)bs_log2_q8"),
    ("ranking", "if (below > rank)", "if (below >= rank)"),
    ("principal", "#define ROUNDS 40", "#define ROUNDS 38"),
    ("principal", "(1 << (AXIS_BITS - 16))", "(1 << (AXIS_BITS - 17))"),
    ("units", "#define SAME 32", "#define SAME 8"),
    ("units", "#define NEAR 100", "#define NEAR 1000000"),
    ("units", "(n + m) / (n * m)", "(n + m)"),
    ("learning", "bs_ranked(scale, count, count / 2) * 9 / 2", "bs_ranked(scale, count, count / 2) * 4"),
    ("learning", "n / 50", "n / 49"),
]


@pytest.mark.parametrize(("name", "old", "new"), MUTATIONS)
def test_mutation_is_noticed(copy, name, old, new):
    file = copy / "src" / f"{name}.c"
    text = file.read_text()
    assert old in text
    file.write_text(text.replace(old, new))
    for other in build.sources(copy):
        if other.stem not in (*PARTS, "version"):
            other.unlink()  # compiling them takes time
    changed = Native(build.host_library(["gcc"], "-O1", MOST, copy))
    tables = designed(engine=changed)
    with pytest.raises(AssertionError, match=r"\w+\[.*\]: -?\d+, expected -?\d+"):
        all(require_same_tables(changed, tables, 6, *made_up(tables, 6, seed, 900)) is not None for seed in range(2))
