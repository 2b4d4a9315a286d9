"""The application: generated C between two rings, on this machine and on emulated devices, gives what the host's chain gives."""

from __future__ import annotations

import ctypes
import shutil

import numpy as np
import pytest

from firmware import build
from firmware.device import Device, split_records
from firmware.generate import Generated
from firmware.room import chain_capacity, laid_chain
from pipeline.blocks import SampleFormat, Samples, concatenate
from pipeline.chain import parse_chain
from pipeline.checks import example_format, example_signal, extreme_signals
from pipeline.errors import BitspikeError

BLOCK = 16
CHAINS = {
    "detection": """
[[stage]]
name = "adc"
bits = 9
[[stage]]
name = "artefact"
[[stage]]
name = "bandpass"
label = "spike-band"
[[stage]]
name = "decimate"
from = "artefact"
label = "field"
save = true
[[stage]]
name = "reference"
from = "spike-band"
[[stage]]
name = "threshold"
threshold = 4
[[stage]]
name = "exclusion"
save = true
""",
    "waveforms": """
[[stage]]
name = "bandpass"
save = true
[[stage]]
name = "energy"
[[stage]]
name = "snippets"
from = ["bandpass", "energy"]
[[stage]]
name = "components"
""",
    "decimated": """
[[stage]]
name = "decimate"
rate_hz = 6000
passband_hz = 2000
[[stage]]
name = "decimate"
label = "slower"
rate_hz = 1000
passband_hz = 300
[[stage]]
name = "decimate"
label = "unused"
from = "decimate"
rate_hz = 500
passband_hz = 100
[[stage]]
name = "bandpass"
from = "decimate"
low_hz = 300
high_hz = 2000
[[stage]]
name = "threshold"
label = "peaks"
save = true
threshold = 3
polarity = "both"
[[stage]]
name = "adc"
from = "slower"
""",
}


def make(text: str, channels: int):
    """Generate a chain; return what was generated and the capacity."""
    plan, signal = parse_chain(text, "some-chain"), example_format(channels)
    room = chain_capacity(plan.build(signal))
    return Generated(laid_chain(plan, signal), room, BLOCK), room


class Here:
    """The application on this machine, watched by sanitizers, on a library with more room than it needs; else as `Device`."""

    def __init__(self, generated, folder, words: int = 4096):
        own, watched = build.ROOT / "image", ["-fsanitize=undefined", "-fno-sanitize-recover=all"]
        library = build.host_library(["gcc", *watched], "-O1", 24)
        held = build.kept_files(generated.files())
        flags = [f"-I{held}", f"-I{own}", f"-I{build.ROOT / 'include'}", *build.macros(24), f"-DBS_RING_WORDS={words}u"]
        flags += [f"-DBS_CHAIN={generated.name}", f"-DBS_CHAIN_MACRO={generated.name.upper()}", "-shared", "-fPIC", *watched]
        sources = [held / f"{generated.name}.c", own / "application.c", library]
        made = folder / f"{generated.name}-{words}.so"
        build.run(["gcc", "-O1", *build.COMMON, *flags, *map(str, sources), f"-Wl,-rpath,{library.parent}", "-o", str(made)])
        self._library = ctypes.CDLL(str(made))
        self.generated = generated

        self._input = (ctypes.c_uint32 * 4).in_dll(self._library, "bs_application_input")
        self._output = (ctypes.c_uint32 * (3 + words)).in_dll(self._library, "bs_application_output")

        ctypes.memset(self._input, 0, 16)
        ctypes.memset(self._output, 0, 12)
        self._library.bs_application_init()

    def interrupt(self, frame):
        held = np.ascontiguousarray(frame, np.int16)
        self._library.bs_application_take(ctypes.c_void_p(held.ctypes.data))

    def run(self):
        self._library.bs_application_run()

    def records(self):
        ring = np.frombuffer(self._output, np.uint32)
        room = len(ring) - 3
        words = ring[3:][(int(ring[1]) + np.arange(int(ring[0] - ring[1]))) % room].copy()
        self._output[1] = self._output[0]
        return split_records(words, self.generated)

    def lost(self):
        return self._input[2], self._output[2]

    def status(self):
        return ctypes.c_int32.in_dll(self._library, "bs_application_status").value


def play(device, x, pause=lambda n: 1 + n % 23):
    """Give frames, let the program run now and then, and return its records."""
    found, wait, pauses = [], 1, 0
    for frame in x:
        device.interrupt(frame)
        wait -= 1
        if wait == 0:
            device.run()
            found += device.records()
            pauses += 1
            wait = pause(pauses)
    device.run()
    assert device.status() == 0
    return found + device.records()


def require_same(records, chain, blocks):
    """Compare all records with what the chain gives for these blocks on the host."""
    outputs = [chain.process(block) for block in blocks]
    compared = 0
    for label in {record.label for record in records}:
        mine = [record for record in records if record.label == label]
        whole = [output[label] for output in outputs]
        if isinstance(whole[0], Samples):
            got = np.concatenate([record.columns["data"] for record in mine])
            expected = np.concatenate([block.data for block in whole])
            flags = np.concatenate([block.frame_flags for block in whole])
            np.testing.assert_array_equal(got, expected[: len(got)], label)
            np.testing.assert_array_equal(np.concatenate([r.columns["flags"] for r in mine]), flags[: len(got)], label)
            assert len(got) >= len(expected) - BLOCK
            compared += got.size
        else:
            expected = concatenate(whole)
            for column in mine[0].columns:
                given = np.concatenate([r.columns[column] + (r.frame if column == "at" else 0) for r in mine])
                wanted = getattr(expected, "sample" if column == "at" else column)
                np.testing.assert_array_equal(given, wanted.reshape(given.shape), f"{label}: {column}")
            compared += len(expected)
    return compared


@pytest.mark.parametrize("name", CHAINS)
def test_application_here(tmp_path, name):
    generated, _ = make(CHAINS[name], 5)
    assert generated.left_out == []
    x = example_signal(8000, generated.chain.signal, seed=2)
    records = play(Here(generated, tmp_path), x)
    labels = {record.label for record in records}
    assert labels == set(generated.kept)
    assert require_same(records, generated.chain, [Samples(0, x[: len(x) // BLOCK * BLOCK])]) > 800


@pytest.mark.parametrize("core", build.CORES)
@pytest.mark.parametrize("toolchain", ["zig", "gcc"])
def test_application_on_a_device(core, toolchain):
    if toolchain == "gcc" and not any(map(shutil.which, build.CORES[core].gcc)):
        pytest.skip(f"no {' or '.join(build.CORES[core].gcc)} on the path")
    generated, room = make(CHAINS["detection"], 16)
    device = Device(core, build.application(core, generated.name, generated.files(), room, toolchain), generated)
    x = example_signal(2000, generated.chain.signal, seed=3)
    records = play(device, x)
    assert {record.label for record in records} == {"field", "exclusion"}
    assert require_same(records, generated.chain, [Samples(0, x[: len(x) // BLOCK * BLOCK])]) > 100
    assert device.lost() == (0, 0)
    assert device.ram_bytes < 32 * 1024
    assert device.flash_bytes < 32 * 1024


def test_lost_frames_are_a_gap(tmp_path):
    """The ring holds 64 frames: of 100 at once the last 36 are lost, and the chain is told where."""
    generated, _ = make(CHAINS["detection"], 5)
    device = Here(generated, tmp_path)
    x = example_signal(6200, generated.chain.signal, seed=4)
    records = play(device, x[:3000], lambda _: 8)  # 2992 of which 3000 - 2992 % 16 wait
    taken = 3000 // BLOCK * BLOCK
    for frame in x[3000:3100]:
        device.interrupt(frame)
    room_left = 64 - (3000 - taken)
    lost = 100 - room_left
    device.run()
    records += device.records()
    assert device.lost()[0] == lost
    records += play(device, x[3100:])
    held = 3000 + room_left
    assert require_same(records, generated.chain, [Samples(0, x[:held]), Samples(3100, x[3100:])]) > 1000
    assert device.lost() == (lost, 0)


def test_results_that_find_no_room_are_counted(tmp_path):
    generated, _ = make(CHAINS["detection"], 5)
    device = Here(generated, tmp_path, words=128)
    x = example_signal(4000, generated.chain.signal)
    for n, frame in enumerate(x):
        device.interrupt(frame)
        if n % 16 == 15:
            device.run()
    assert device.lost()[0] == 0
    first, lost = device.records(), device.lost()[1]
    assert lost > 50
    assert [record.frame for record in first if record.label == "field"] == sorted(r.frame for r in first if r.label == "field")
    device.interrupt(x[0])
    assert device.records() == []


def test_full_scale_input(tmp_path):
    generated, _ = make(CHAINS["detection"], 3)
    for what, x in extreme_signals(1200, generated.chain.signal):
        generated.chain.reset()
        records = play(Here(generated, tmp_path, words=1 << 15), x, lambda _: 40)
        assert require_same(records, generated.chain, [Samples(0, x[: len(x) // BLOCK * BLOCK])]) > 0, what


@pytest.mark.parametrize(("label", "other"), [("init", None), ("int", None), ("a-b", "a_b"), ("field", "field-phase")])
def test_labels_that_are_no_names_in_c(label, other):
    text = f'[[stage]]\nname = "adc"\nlabel = "{label}"\n' + (f'[[stage]]\nname = "adc"\nlabel = "{other}"\n' if other else "")
    with pytest.raises(BitspikeError, match=f"label '{other or label}' is no free name in C; choose another"):
        make(text, 2)


def test_stages_without_c_are_left_out():
    plan, signal = parse_chain(CHAINS["detection"]), SampleFormat(24_000, 4)
    chain = laid_chain(plan, signal)
    generated = Generated(chain, chain_capacity(chain), BLOCK, runs=lambda stage: stage != "reference")
    assert generated.left_out == ["reference", "threshold", "exclusion"]
    assert generated.kept == ["spike-band", "field"]
    assert b"bs_reference" not in generated.files()["chain_chain.c"]
    with pytest.raises(BitspikeError, match="none of its stages is in the C library"):
        Generated(chain, chain_capacity(chain), BLOCK, runs=lambda _: False)
