"""`bitspike tables`: what it writes compiles, holds what was tuned or trained, and is refused where it does not fit."""

from __future__ import annotations

import json
import subprocess
from dataclasses import replace

import numpy as np
import pytest

import bitspike
from bitspike.generating import tables
from bitspike.main import run
from bitspike.responses import decibels
from bitspike.training import train
from firmware import build
from firmware.tables import read_image
from pipeline.blocks import SampleFormat
from pipeline.chain import read_chain
from pipeline.errors import BitspikeError
from pipeline.neural.bandpass import Bandpass, BandpassParameters
from pipeline.neural.decimate import Decimate, DecimateParameters

SIGNAL = SampleFormat(24_000, 6)
COMPILERS = {"gcc": ["gcc"], **{core: [*build.zig(), *flags.zig, "-ffreestanding"] for core, flags in build.CORES.items()}}


def compiled(made, room, compiler=("gcc",), include=None):
    """Compile a generated source by itself."""
    folder = made.files["source"].parent
    flags = [*build.COMMON, "-O2", f"-I{include or build.ROOT / 'include'}", f"-I{folder}", *build.macros(room), "-c"]
    build.run([*compiler, *flags, str(made.files["source"]), "-o", str(folder / "chain.o")])


@pytest.fixture(scope="module")
def made(tmp_path_factory):
    return tables("psoc68", tmp_path_factory.mktemp("tables"), like=SIGNAL)


def test_public_name_is_the_function():
    assert bitspike.tables is tables


@pytest.mark.parametrize("compiler", COMPILERS)
def test_it_compiles_without_warnings(made, compiler):
    compiled(made, made.capacity, COMPILERS[compiler])
    compiled(made, build.USUAL, COMPILERS[compiler])


def test_the_printed_command_compiles(tmp_path, monkeypatch):
    root = build.ROOT.parent
    made = tables("field", tmp_path / "here", like=SIGNAL)
    command = made.command().replace("firmware/", f"{root}/firmware/")
    (tmp_path / "objects").mkdir()
    subprocess.run(command, shell=True, check=True, cwd=tmp_path / "objects")
    assert (tmp_path / "objects/field.o").is_file()


@pytest.mark.parametrize(
    ("header", "old", "new", "complaint"),
    [
        ("version.h", "BS_VERSION_PATCH 0", "BS_VERSION_PATCH 9", "these tables are for version"),
        ("version.h", "BS_TABLES_SCHEMA 1", "BS_TABLES_SCHEMA 2", "these tables are of schema 1"),
    ],
)
def test_another_library_is_refused(made, tmp_path, header, old, new, complaint):
    include = tmp_path / "include"
    (include / "bitspike").mkdir(parents=True)
    for path in (build.ROOT / "include/bitspike").glob("*.h"):
        text = path.read_text()
        (include / "bitspike" / path.name).write_text(text.replace(old, new) if path.name == header else text)
    with pytest.raises(BitspikeError, match=f"psoc68: {complaint}.*: generate them again with bitspike tables"):
        compiled(made, made.capacity, include=include)


def test_a_library_without_room_is_refused(made):
    with pytest.raises(BitspikeError, match="psoc68: compile with BS_MAX_CHANNELS = 6 or more"):
        compiled(made, replace(made.capacity, channels=5))


def test_image_holds_what_was_trained(recording, plan, tmp_path):
    run = train(recording, plan, tmp_path / "trained")
    made = tables(plan, tmp_path / "tables", trained=run)
    assert made.generated.chain.signal == recording.format
    held = read_image(made.files["image"]).tables(made.generated.chain)["sorter"]
    units = int(held["units"])
    assert units == run.tables["sorter"]["units"] > 0
    for name in ("template", "centre", "component"):
        theirs = run.tables["sorter"][name]
        np.testing.assert_array_equal(held[name][tuple(slice(n) for n in theirs.shape)], theirs)
    with pytest.raises(BitspikeError, match="was trained at channels = 8, the recording's is 6"):
        tables(plan, tmp_path / "other", like=SIGNAL, trained=run)


def test_command_prints_what_was_proved_and_where_it_lies(capsys, tmp_path):
    assert run(["tables", "psoc68", "--channels", "16", "-o", str(tmp_path / "out")]) == 0
    text = " ".join(capsys.readouterr().out.split())
    for word in (
        "no accumulator can overflow",
        "SNDR against float64",
        "flash",
        "RAM",
        "psoc68.h",
        "psoc68_init once",
        "BS_MAX_CHANNELS=16",
    ):
        assert word in text
    assert run(["tables", "psoc68", "--channels", "16", "--rate", "30000", "-o", str(tmp_path / "out"), "--json"]) == 0
    found = json.loads(capsys.readouterr().out)
    assert found["rate_hz"] == 30_000
    assert found["block_frames"] == 30
    assert sorted(path.name for path in (tmp_path / "out").iterdir()) == ["psoc68.bin", "psoc68.c", "psoc68.h"]
    assert [stage["label"] for stage in found["stages"]] == [step.label for step in read_chain("psoc68").steps]


def test_responses_are_drawn(tmp_path):
    made = tables("psoc68", tmp_path, like=SIGNAL, explain=True)
    drawn = [path for what, path in made.files.items() if what.startswith("response")]
    assert [path.name for path in drawn] == ["psoc68-spike_band.png", "psoc68-field.png"]
    assert all(path.read_bytes()[:4] == b"\x89PNG" for path in drawn)


@pytest.mark.parametrize(
    "stage", [Bandpass(BandpassParameters(), SampleFormat(24_000, 1)), Decimate(DecimateParameters(), SampleFormat(24_000, 1))]
)
def test_responses_are_those_of_the_filter(stage):
    """Against the filter's own answer to sines, in the pass-band and beside it; the ideal one is that of SciPy."""
    rate = stage.signal.rate_hz
    for hz in (100.0, 200.0, 1000.0, 3000.0):
        quantised, ideal = (float(stage.responses(np.array([hz]))[name][0]) for name in ("quantised", "ideal"))
        assert abs(decibels(np.array([quantised]))[0] - decibels(np.array([ideal]))[0]) < 0.3 or ideal < 1e-3
        if isinstance(stage, Bandpass):
            from scipy import signal as design

            sos = design.butter(2, [300, 6000], "band", fs=rate, output="sos")
            assert ideal == pytest.approx(abs(design.freqz_sos(sos, [hz], fs=rate)[1][0]), rel=1e-9)
            t = np.arange(24_000) / rate
            x = np.rint(8000 * np.sin(2 * np.pi * hz * t)).astype(np.int16)[:, None]
            y = stage.process(bitspike.Samples(stage.position or 0, x)).data[12_000:, 0].astype(float)
            scale = 2.0 ** stage.proofs["fractional bits of the output"]
            assert np.std(y) / scale * np.sqrt(2) / 8000 == pytest.approx(quantised, rel=2e-3)


@pytest.mark.parametrize(
    ("arguments", "complaint"),
    [
        (["none.toml"], "chain none.toml: no such file"),
        (["psoc68", "--channels", "69"], "takes at most 68 channels"),
        (["psoc68", "--rate", "1000"], "stage bandpass: a rate of 1000 Hz leaves no band"),
        (["psoc68", "--like", "none.wav"], "none.wav"),
        (["psoc68", "--trained", "none"], "none: holds no manifest.json"),
        (["psoc68", "--block-ms", "0"], "block_ms: 0"),
        (["psoc68", "--spikes", "0"], "spikes: 0; choose 1 to 65536"),
        (["psoc68", "--width", "64", "--height", "48"], "width: the chain psoc68 is of electrodes"),
        (["cytometry", "--channels", "4"], "channels: the chain cytometry is of an event camera"),
        (["psoc68", "-o", "file"], "file: cannot be written (File exists); choose another folder"),
    ],
)
def test_bad_input_is_one_line(capsys, tmp_path, monkeypatch, arguments, complaint):
    monkeypatch.chdir(tmp_path)
    (tmp_path / "file").write_text("x")
    assert run(["tables", *arguments]) == 2
    error = capsys.readouterr().err
    assert complaint in error
    assert error.count("\n") == 1
    assert [path.name for path in tmp_path.iterdir()] == ["file"]
