"""A small recording with truth, made of nothing but NumPy, and a chain that is quick on it."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest

from pipeline.blocks import SampleFormat
from pipeline.chain import parse_chain
from sensors.folder import read_folder, write_folder
from sensors.recording import open_recording
from sensors.source import Recording
from sensors.stated import Stated
from sensors.truth import Truth

RATE_HZ, SECONDS, CHANNELS = 24_000.0, 8.0, 8
CHAIN = """
name = "small"
description = "for tests"

[[stage]]
name = "bandpass"
label = "band"

[[stage]]
name = "decimate"
from = "input"
label = "field"
save = true

[[stage]]
name = "threshold"
from = "band"
threshold = 5

[[stage]]
name = "exclusion"

[[stage]]
name = "sorter"
from = ["band", "exclusion"]
learn = 150
"""


def shape(width: float, height: float) -> np.ndarray:
    """Return a spike of 48 samples with its trough at sample 16."""
    t = np.arange(48) - 16
    return -height * np.exp(-0.5 * (t / width) ** 2) + 0.35 * height * np.exp(-0.5 * ((t - 3.5 * width) / (2 * width)) ** 2)


def make_recording(folder: Path, seconds: float = SECONDS, seed: int = 0) -> Recording:
    """Write two tetrodes with two units each on noise of 8 uV, 12 spikes a second and unit."""
    rng = np.random.default_rng(seed)
    frames = round(seconds * RATE_HZ)
    x = rng.normal(0, 40, (frames, CHANNELS)) + 25 * np.sin(np.arange(frames) / RATE_HZ * 2 * np.pi * 8)[:, None]
    units = [(0, 4.0, 700), (1, 7.0, 560), (4, 5.0, 620), (6, 3.2, 820)]
    samples, owners = [], []
    for unit, (channel, width, height) in enumerate(units):
        steps = 120 + rng.exponential(1800, round(seconds * 30)).astype(np.int64)
        times = np.cumsum(steps) + 200 + 50 * unit
        times = times[times < frames - 100]
        first = channel // 4 * 4
        for c in range(first, first + 4):
            part = shape(width, height) * 0.55 ** abs(c - channel)
            for time in times:
                x[time - 16 : time + 32, c] += part
        samples.append(times)
        owners.append(np.full(len(times), unit))
    order = np.argsort(np.concatenate(samples), kind="stable")
    sample, owner = np.concatenate(samples)[order], np.concatenate(owners)[order].astype(np.int32)
    rates = np.bincount(owner) / seconds
    truth = Truth(sample, owner, np.array([u[0] for u in units], np.int32), np.array([u[2] / 40 for u in units]), rates)
    sites = tuple((20.0 * (c % 2), 20.0 * (c % 4 // 2) + 300.0 * (c // 4)) for c in range(CHANNELS))
    signal = SampleFormat(RATE_HZ, CHANNELS, 0.2, 16, sites, tuple(c // 4 for c in range(CHANNELS)))
    write_folder(folder, signal, [np.rint(x).astype(np.int16)], truth)
    return read_folder(folder, Stated())


@pytest.fixture(scope="session")
def recording(tmp_path_factory):
    return make_recording(tmp_path_factory.mktemp("recordings") / "small")


@pytest.fixture(scope="session")
def plan():
    return parse_chain(CHAIN, "small")


@pytest.fixture(scope="session")
def chain_file(tmp_path_factory):
    path = tmp_path_factory.mktemp("chains") / "small.toml"
    path.write_text(CHAIN)
    return path


@pytest.fixture(scope="session")
def finished(recording, plan, tmp_path_factory):
    """A run of the small recording, not to be changed."""
    from bitspike.runner import replay

    return replay(recording, plan, tmp_path_factory.mktemp("runs") / "finished")


@pytest.fixture
def refused(capsys, tmp_path, monkeypatch):
    """A function that runs the program in an empty folder and returns its one line."""
    place = tmp_path / "place"
    place.mkdir()
    monkeypatch.chdir(place)

    from bitspike.main import run

    def check(*arguments):
        before = sorted(place.rglob("*"))
        assert run(list(map(str, arguments))) == 2
        out, err = capsys.readouterr()
        assert out == ""
        assert sorted(place.rglob("*")) == before, "something was left behind"
        (line,) = err.splitlines()
        assert line.startswith("bitspike: ")
        assert "Traceback" not in line
        assert len(line) < 400
        return line.removeprefix("bitspike: ")

    return check


@pytest.fixture(scope="session")
def loud(tmp_path_factory):
    """A recording without gain whose spikes, of 20,000 counts, leave the band's range where that has fractional bits."""
    rng, path = np.random.default_rng(5), tmp_path_factory.mktemp("loud") / "loud.npy"
    x = rng.normal(0, 200, (4 * 24_000, 2))
    shape = -20_000 * np.exp(-((np.arange(-20, 20) / 4.0) ** 2))
    for first in range(1000, len(x) - 100, 480):
        x[first : first + 40, 0] += shape
    np.save(path, np.rint(x).astype(np.int16))
    return open_recording(path, rate_hz=24_000)
