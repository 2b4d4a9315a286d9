"""What the C library offers besides `process`: start, reset, what survives lost frames, and refusal of damaged tables."""

from __future__ import annotations

import ctypes

import numpy as np
import pytest

from firmware import build, has
from firmware.native import Native
from pipeline.blocks import Samples, Spikes
from pipeline.chain import load_stages
from pipeline.checks import cut, example_format, example_input, example_of, require_same, run
from pipeline.layout import names
from pipeline.neural.components import Components, ComponentsParameters
from pipeline.stage import REGISTRY

load_stages()
NAMES = [name for name in sorted(REGISTRY) if has(name)]
BAD_TABLES = -3
DAMAGE = {  # scalar fields and values that no design gives them
    "adc": {"gain": -1, "shift": 30, "coupling": 0, "low": 1, "top": 40_000},
    "artefact": {"rail_samples": 256, "rail_channels": 0, "hold": 0, "fixed": 65_536, "noise_stride": 0, "noise_learn": 17},
    "background": {"window": 0, "neighbours": 9, "width": 65, "height": 49},
    "bandpass": {"sections": 5, "gain": 32_768, "scale": 31, "shift": 1},
    "biquad": {"sections": 9, "post_shift": 14},
    "components": {"width": 129, "neighbours": 0, "count": 9},
    "correlation": {"window": 1_000_001, "radius": 4, "support": 0, "width": 0, "height": 49},
    "decimate": {"order": 5, "ratio": 0, "keep": 0, "shift": 32, "taps": 64, "scale": 0},
    "energy": {"spacing": 9, "noise_stride": 0, "noise_learn": 5, "noise_gain": 0, "refractory": 1 << 31},
    "exclusion": {"rounds": 5, "sweep": 1 << 31, "refractory": 1 << 31, "rebound": 1 << 31},
    "extrema": {"width": 2, "neighbours": 0},
    "hot_pixels": {"learn_us": 0, "least": 65_535, "ratio": 101, "width": 65, "height": 0},
    "polarity": {"kept": 0, "invert": 2},
    "pooling": {"cell": 0, "step": 17, "threshold": 255, "width": 65, "height": 49},
    "rate_guard": {"refill": 0, "size": 65_535, "full_us": 0},
    "reference": {"groups": 0},
    "refractory": {"period": 0, "width": 65, "height": 49},
    "region": {"left": 16_385, "top": 16_385, "width": 0, "height": 0, "transpose": 2, "flip_x": 2, "flip_y": 2},
    "sorter": {
        "neighbours": 13,
        "width": 97,
        "before": -1,
        "feature_from": 90,
        "feature_width": 65,
        "dimensions": 9,
        "adapt": 32,
        "arrival": -1,
        "reach": 513,
        "delay": 513,
        "dead": 513,
        "ticks": 0,
        "units": -1,
    },
    "snippets": {"width": 129, "before": 200, "neighbours": 17, "upsample": 3, "tail": 1 << 31},
    "tracker": {
        "width": 65,
        "height": 49,
        "seed_shift": 1,
        "seed_events": 0,
        "reach_x": 0,
        "reach_y": 1281,
        "merge_fine": -1,
        "bin_us": 0,
        "busy": 0,
        "idle_bins": 0,
        "most": 9,
        "hump_ratio": 1,
        "split_ratio": 1,
        "marks": 4,
        "grid_columns": 0,
        "grid_rows": 256,
        "extent_x": 1 << 30,
        "extent_y": 1 << 30,
        "extent_us": 1 << 30,
        "limits": 0,
        "size": 769,
    },
    "threshold": {"fixed": 32_768, "noise_stride": 0, "noise_learn": 17, "noise_gain": 65_537, "refractory": 1 << 31},
}


@pytest.fixture(scope="module")
def library():
    return build.host_library(["gcc"], "-O0", 24)


def call(library, function, *arrays):
    return getattr(ctypes.CDLL(str(library)), function)(*[ctypes.c_void_p(array.ctypes.data) for array in arrays])


def used(name, library, parameters=None):
    """Return a stage on the native engine that has seen some signal."""
    cls, signal = REGISTRY[name], example_of(REGISTRY[name])
    running = cls(parameters or next(iter(cls.examples())), signal, engine=Native(library))
    run(running, example_input(2500, signal), [0, 2500], signal)
    assert running.state.tobytes().strip(b"\0") or name in ("reference", "polarity")
    return running


@pytest.mark.parametrize("name", NAMES)
def test_init_accepts_every_design_and_clears_the_state(name, library):
    for parameters in REGISTRY[name].examples():
        running = used(name, library, parameters)
        assert call(library, f"bs_{name}_init", running.tables, running.state) == 0
        assert not running.state.tobytes().strip(b"\0")


@pytest.mark.parametrize("name", NAMES)
def test_reset_clears_the_state(name, library):
    running = used(name, library)
    call(library, f"bs_{name}_reset", running.state)
    assert not running.state.tobytes().strip(b"\0")


@pytest.mark.parametrize("name", NAMES)
def test_gap_keeps_what_the_host_keeps(name, library):
    running = used(name, library)
    kept = set(running.keeps_on_gap)
    if kept in (set(), set(names(running.state.dtype))):
        assert not hasattr(ctypes.CDLL(str(library)), f"bs_{name}_gap")  # all is forgotten, or nothing
        return
    state = running.state.copy()
    call(library, f"bs_{name}_gap", state)
    running.gap(100)
    for field in names(state.dtype):
        np.testing.assert_array_equal(state[field], running.state[field], field)


@pytest.mark.parametrize(("name", "field"), [(name, field) for name in NAMES for field in DAMAGE[name]])
def test_damaged_tables_are_refused(name, field, library):
    cls = REGISTRY[name]
    running = cls(next(iter(cls.examples())), example_of(cls), engine=Native(library))
    running.tables[field] = np.array(DAMAGE[name][field]).astype(running.tables[field].dtype)
    assert call(library, f"bs_{name}_init", running.tables, running.state) == BAD_TABLES


@pytest.mark.parametrize(
    ("name", "field", "value"),
    [
        ("components", "neighbours", 25),
        ("decimate", "ratio", 1 << 25),
        ("decimate", "keep", 1 << 24),
        ("energy", "noise_stride", 1 << 31),
        ("extrema", "neighbours", 25),
        ("snippets", "wait", 1 << 24),
    ],
)
def test_what_is_too_large_is_refused(name, field, value, library):
    """What could make a sum wrap, or a loop endless."""
    cls = REGISTRY[name]
    running = cls(next(iter(cls.examples())), example_format(), engine=Native(library))
    running.tables[field] = value
    assert call(library, f"bs_{name}_init", running.tables, running.state) == BAD_TABLES


@pytest.mark.parametrize("value", [-2, 24, 32767])
def test_channels_that_there_are_not_are_refused(value, library):
    running = REGISTRY["snippets"](REGISTRY["snippets"].Parameters(), example_format(), engine=Native(library))
    running.tables["near"][5, 1] = value
    assert call(library, "bs_snippets_init", running.tables, running.state) == BAD_TABLES


@pytest.mark.parametrize(("field", "index", "value"), [("members", 3, 24), ("begin", 1, 25), ("begin", 1, 0), ("shift", 0, 64)])
def test_damaged_lists_are_refused(field, index, value, library):
    cls = REGISTRY["reference"]
    running = cls(next(iter(cls.examples())), example_format(), engine=Native(library))
    running.tables[field][index] = value
    assert call(library, "bs_reference_init", running.tables, running.state) == BAD_TABLES


@pytest.mark.parametrize(
    ("field", "index", "value"),
    [
        ("neighbour", (23, 0), 24), ("clusters", 3, 9), ("clusters", 23, -1), ("cluster_unit", (0, 1), 2), ("unit_channel", 1, 24),
        ("candidates", 2, 33), ("candidate", (2, 0), 2), ("energy", 0, 0), ("row_energy", 1, -1), ("low", 0, -1), ("low", 1, 5000),
        ("high", 1, 40_000),
    ],
)  # fmt: skip
def test_damage_of_what_a_sorter_learned_is_refused(field, index, value, library):
    cls = REGISTRY["sorter"]
    running = cls(next(iter(cls.examples())), example_format(), engine=Native(library))
    t = running.tables
    t["units"], t["clusters"][0], t["candidates"][2] = 2, 2, 1
    t["energy"][:2] = t["row_energy"][:2] = 1
    t["high"][:2] = 4096
    assert call(library, "bs_sorter_init", t, running.state) == 0
    t[field][index] = value
    assert call(library, "bs_sorter_init", t, running.state) == BAD_TABLES


def test_spikes_that_no_detector_gives_are_refused_alike(engine):
    signal = example_format()
    x = np.zeros((100, signal.channels), np.int16)
    for name in ("exclusion", "snippets", "sorter"):
        cls = REGISTRY[name]
        for sample, channel in ((-1000, 0), (500, 0), (50, 6), (50, -1)):
            spikes = Spikes(0, 100, np.array([sample]), np.array([channel], np.int32), np.array([-100], np.int32))
            blocks = [Samples(0, x) if kind is Samples else spikes for kind in cls.takes]
            messages = []
            for running in (cls(cls.Parameters(), signal), cls(cls.Parameters(), signal, engine=engine)):
                with pytest.raises(Exception, match="a spike") as caught:
                    running.process(*blocks)
                messages.append(str(caught.value))
            assert messages[0] == messages[1]


def test_components_with_learned_tables(engine):
    """The largest that mean and axes can be, on waveforms at full scale."""
    signal, rng = example_format(), np.random.default_rng(1)
    stages = [Components(ComponentsParameters(8), signal), Components(ComponentsParameters(8), signal, engine=engine)]
    for field in ("mean", "axes"):
        values = rng.integers(-32768, 32767, stages[0].tables[field].shape, endpoint=True)
        for running in stages:
            running.tables[field] = values
    x = rng.integers(-32768, 32767, (3000, signal.channels), endpoint=True).astype(np.int16)
    for blocks in cut(Components, x, [0, 1000, 3000], signal):
        expected, got = (running.process(*blocks) for running in stages)
        assert len(expected) > 100
        require_same("components", "learned tables", got, expected)
