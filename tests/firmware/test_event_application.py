"""The application with a chain of events, the camera's bytes in and particles out, gives what the host's chain gives."""

from __future__ import annotations

import ctypes

import numpy as np
import pytest

from firmware import build
from firmware.decoding import DECODERS
from firmware.device import Device, split_records
from firmware.event_generate import GeneratedEvents
from firmware.room import chain_capacity, laid_chain
from pipeline.blocks import EVENT_COLUMNS
from pipeline.chain import parse_chain
from pipeline.checks import example_events, example_sensor
from pipeline.errors import BitspikeError
from sensors.events import open_events, write_events

EVENTS = 64  # of a block
SENSOR = example_sensor(64, 48)
CHAIN = """
[sensor]
kind = "events"

[[stage]]
name = "region"
left = 2
width = 60

[[stage]]
name = "hot_pixels"
label = "hot-pixels"
learn_ms = 2

[[stage]]
name = "background"
window_us = 150
save = true

[[stage]]
name = "polarity"
keep = "on"
save = true

[[stage]]
name = "tracker"
from = "background"
seed_px = 4
seed_events = 6
reach_px = [12, 12]
least_events = 60
busy_events = 2
grid = [8, 6, 4]
cell_px = 5
follow = true
"""


def make(text=CHAIN, decoder="evt3", events=EVENTS):
    plan = parse_chain(text, "small")
    chain = laid_chain(plan, SENSOR)
    return GeneratedEvents(chain, chain_capacity(chain), events, decoder)


@pytest.fixture(scope="module", params=DECODERS)
def stream(request, tmp_path_factory):
    """A decoder, the words of some events, and the events."""
    path = tmp_path_factory.mktemp("stream") / "made.raw"
    write_events(path, [example_events(6000, SENSOR, seed=3)], request.param, sensor=SENSOR)
    content = path.read_bytes()
    return request.param, content[content.index(b"% end\n") + 6 :], open_events(path).read()


class Here:
    """The application on this machine, watched by sanitizers, on a library with more room than it needs; else as `Device`."""

    def __init__(self, generated, folder, words=1 << 16):
        own, watched = build.ROOT / "image", ["-fsanitize=undefined", "-fno-sanitize-recover=all"]
        library = build.host_library(["gcc", *watched], "-O1", 24)
        held = build.kept_files(generated.files())
        flags = [f"-I{held}", f"-I{own}", f"-I{build.ROOT / 'include'}", *build.macros(24), f"-DBS_RING_WORDS={words}u"]
        flags += [f"-DBS_CHAIN={generated.name}", f"-DBS_CHAIN_MACRO={generated.name.upper()}", "-shared", "-fPIC", *watched]
        sources = [held / f"{generated.name}.c", own / "events.c", library]
        made = folder / f"{generated.name}.so"
        build.run(["gcc", "-O1", *build.COMMON, *flags, *map(str, sources), f"-Wl,-rpath,{library.parent}", "-o", str(made)])
        self._library, self.generated = ctypes.CDLL(str(made)), generated
        self._input = (ctypes.c_uint32 * 4).in_dll(self._library, "bs_application_input")
        self._output = (ctypes.c_uint32 * (3 + words)).in_dll(self._library, "bs_application_output")
        self._library.bs_application_init()

    def interrupt(self, data):
        self._library.bs_application_take(ctypes.c_void_p(data.ctypes.data), ctypes.c_uint32(len(data)))

    def run(self):
        self._library.bs_application_run()

    def records(self):
        ring = np.frombuffer(self._output, np.uint32)
        words = ring[3:][(int(ring[1]) + np.arange(int(ring[0] - ring[1]))) % (len(ring) - 3)].copy()
        self._output[1] = self._output[0]
        return split_records(words, self.generated)

    def lost(self):
        return self._input[2], self._output[2]

    def status(self):
        return ctypes.c_int32.in_dll(self._library, "bs_application_status").value


def play(device, data, rng):
    """Give bytes in whole words, let the program run now and then, and return its records."""
    found, at, word = [], 0, device.generated.word_bytes()
    while at < len(data):
        size = word * int(rng.integers(1, 400 // word))
        device.interrupt(np.frombuffer(data[at : at + size], np.uint8))
        at += size
        if rng.integers(3) == 0:
            device.run()
            found += device.records()
    device.run()
    assert device.status() == 0
    return found + device.records()


def require_same(records, generated, events):
    """Compare events and particles with what the host's chain gives; return how many there are by label."""
    generated.chain.reset()
    outputs, counts = generated.chain.process(events), {}
    for label in {record.label for record in records}:
        mine, expected = [record for record in records if record.label == label], outputs[label]
        columns = {name: np.concatenate([record.columns[name] for record in mine]) for name in mine[0].columns}
        if "t" in columns:
            for name, column in zip(EVENT_COLUMNS, ("t", "x", "y", "p"), strict=True):
                np.testing.assert_array_equal(columns[column], getattr(expected, name), f"{label}: {name}")
            counts[label] = len(columns["t"])
        else:
            n = counts[label] = len(columns["records"])
            assert len(expected) - 1 <= n <= len(expected)  # one may be over with the end of the block only
            np.testing.assert_array_equal(columns["records"][:, 0], expected.track[:n])
            np.testing.assert_array_equal(columns["records"][:, 8:10], expected.events[:n])
            np.testing.assert_array_equal(columns["records"][:, 14:18], expected.box[:n])
            np.testing.assert_array_equal(columns["tensors"], expected.tensor[:n])
    return counts


def test_here(stream, tmp_path):
    decoder, data, events = stream
    device = Here(make(decoder=decoder), tmp_path)
    counts = require_same(play(device, data, np.random.default_rng(1)), device.generated, events)
    assert counts["background"] > counts["polarity"] > 500
    assert counts["tracker"] > 3
    assert device.lost() == (0, 0)


def test_on_a_device(stream):
    decoder, data, events = stream
    generated, core = make(decoder=decoder), {"evt2": "rv32imc", "evt3": "cortex-m4"}[decoder]
    image = build.application(core, generated.name, generated.files(), generated.capacity, program="events")
    device, found = Device(core, image, generated), []
    for at in range(0, len(data), 400):
        device.interrupt(np.frombuffer(data[at : at + 400], np.uint8))
        device.run()
        found += device.records()
    assert require_same(found, generated, events)["tracker"] > 3
    assert device.lost() == (0, 0)


def test_lost_bytes_are_a_gap(tmp_path, stream):
    """What comes while the ring is full is lost, whole words of it; what follows is decoded and filtered as ever."""
    decoder, data, events = stream
    generated = make(decoder=decoder)
    device = Here(generated, tmp_path)
    half, words = np.frombuffer(data[: len(data) // 8 * 4], np.uint8), generated.word_bytes()
    for at in range(0, len(half), 400):
        device.interrupt(half[at : at + 400])  # the ring holds 8192 bytes
    assert device.lost()[0] == len(half) - 8192 // 400 * 400
    device.run()
    before = {record.label: record for record in device.records()}
    rest = play(device, data[len(half) :], np.random.default_rng(3))
    assert {"background", "polarity"} <= set(before)
    later = np.concatenate([record.columns["t"] for record in rest if record.label == "background"])
    assert len(later) > 300
    assert later.max() <= events.t_us[-1]
    assert len(half) % words == 0


@pytest.mark.parametrize("label", ["t", "decoder", "events", "init"])
def test_labels_that_are_no_names_in_c(label):
    text = f'[sensor]\nkind = "events"\n[[stage]]\nname = "polarity"\nlabel = "{label}"\n'
    with pytest.raises(BitspikeError, match=f"label '{label}' is no free name in C; choose another"):
        make(text)


def test_memory_is_shared_where_nobody_else_needs_it():
    """Region and hot pixels write over what they take; what is handed out stays until the end, and a branch needs its own."""
    generated = make()
    assert generated.memory["int64_t"] == 2 * EVENTS
    line = (
        CHAIN.replace("save = true", "").replace('from = "background"', "").replace('[[stage]]\nname = "polarity"\nkeep = "on"', "")
    )
    assert make(line).memory["int64_t"] == EVENTS
    assert generated.kept == ["background", "polarity", "tracker"]


@pytest.mark.parametrize("events", [11, 65_537])
def test_blocks_that_make_no_sense(events):
    with pytest.raises(BitspikeError, match=f"events: {events}; choose 12 to 65536"):
        make(events=events)
