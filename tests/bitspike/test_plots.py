"""Pictures show what the run holds; the report shows the pictures."""

from __future__ import annotations

import re
import shutil

import numpy as np
import pytest

from bitspike.plots import colour, draw_all, features, raster, tap, traces, waveforms
from bitspike.report import write_report
from bitspike.runner import replay
from bitspike.runs import Run
from bitspike.scoring import score
from pipeline.chain import read_chain
from sensors.recording import open_recording

pytest.importorskip("matplotlib")


@pytest.fixture
def figure():
    from matplotlib.figure import Figure

    return Figure()


def dots(axes):
    return np.concatenate([np.asarray(collection.get_offsets()) for collection in axes.collections])


def test_every_spike_of_the_stretch_is_marked_at_its_peak(finished, figure):
    assert traces(finished, figure)
    (axes,) = figure.axes
    first, frames = finished.manifest.outputs["traces"]["stretches"][0]
    spikes = finished.spikes
    inside = (spikes.sample >= first) & (spikes.sample < first + frames)
    assert inside.sum() > 5
    assert sorted(np.round(dots(axes)[:, 0] * 24_000).astype(int)) == spikes.sample[inside].tolist()
    drawn = [line for line in axes.lines if len(line.get_xdata()) == frames]
    assert len(drawn) == 8
    for x, y in dots(axes):
        assert any(line.get_ydata()[round(x * 24_000) - first] == y for line in drawn)


def test_waveforms_show_each_units_mean(finished, figure):
    assert waveforms(finished, figure)
    shown = [axes for axes in figure.axes if axes.get_visible()]
    assert len(shown) == len(finished.units)
    for axes in shown:
        unit, channel = map(int, re.match(r"unit (\d+), channel (\d+)", axes.get_title(loc="left") or axes.get_title()).groups())
        mean = finished.templates[unit, :, channel] * finished.signal.uv_per_count
        assert any(np.array_equal(line.get_ydata(), mean) for line in axes.lines)


def test_one_channel_is_one(loud, tmp_path):
    np.save(tmp_path / "one.npy", loud.read()[:24_000, :1])
    run = replay(open_recording(tmp_path / "one.npy", rate_hz=24_000), read_chain("probe"), tmp_path / "run")
    assert "<dd>1 channel at 24000 Hz, 1.00 s</dd>" in write_report(run).read_text()


def test_raster_has_every_spike(finished, figure):
    assert raster(finished, figure)
    assert len(dots(figure.axes[0])) == len(finished.spikes)


def test_features_are_principal_components(finished, figure):
    assert features(finished, figure)
    owner = finished.array("snippets/unit")
    shown = [axes for axes in figure.axes if axes.get_visible()]
    assert sum(len(dots(axes)) for axes in shown) == len(owner)
    for axes in shown:
        points = dots(axes)
        assert abs(np.corrcoef(points.T)[0, 1]) < 1e-6
        assert points[:, 0].var() > points[:, 1].var()


def test_a_saved_output_is_drawn_with_its_spectrum(finished, figure):
    assert tap(finished, figure, "field")
    left, right = figure.axes
    assert len(right.lines) == 8
    frequency, power = right.lines[0].get_xdata(), right.lines[0].get_ydata()
    assert frequency[np.argmax(power)] == 8.0  # the sine in the recording
    assert left.get_xlim()[1] == pytest.approx(8.0, abs=0.01)


def test_the_report_shows_pictures_and_numbers(finished, tmp_path):
    from PIL import Image

    shutil.copytree(finished.path, tmp_path / "run")
    run = Run(tmp_path / "run")
    page = write_report(run, score(run))
    text = page.read_text()
    sources = re.findall(r'<img src="([^"]+)"', text)
    assert sources == [f"plots/{name}.png" for name in ("traces", "waveforms", "raster", "features", "tap-field")]
    for source in sources:
        with Image.open(page.parent / source) as image:
            pixels = np.asarray(image.convert("L"))
        assert min(pixels.shape) > 150
        assert 0.001 < (pixels < 200).mean() < 0.6
    assert run.manifest.recording["sha256"] in text
    assert "detection F1" in text


def test_there_is_something_to_see_without_units_or_spikes(recording, plan, tmp_path):
    few = replay(recording, plan, tmp_path / "few", stop_s=0.3)
    assert few.units == []
    assert sorted(path.stem for path in draw_all(few, tmp_path / "a").values()) == ["raster", "tap-field", "traces"]
    field = replay(recording, read_chain("field"), tmp_path / "field", stop_s=2.0)
    assert [path.stem for path in draw_all(field, tmp_path / "b").values()] == ["tap-field"]
    assert "Spikes" not in write_report(field).read_text()


def test_units_keep_their_colour_and_the_unsorted_are_grey():
    assert colour(-1) == "#9aa0a6"
    assert colour(3) == colour(15) != colour(4)
