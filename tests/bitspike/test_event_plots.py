"""Pictures of runs of events show what the run holds; the report shows the pictures."""

from __future__ import annotations

import re

import numpy as np
import pytest

from bitspike import event_plots
from bitspike.event_plots import (
    BRIGHTER,
    DARKER,
    between,
    draw_beside,
    event_image,
    frame,
    montage,
    shown_us,
    time_surface,
    tracks,
    two_colours,
)
from bitspike.event_replay import replay_events
from bitspike.main import run as program
from pipeline.blocks import DOUBLET, Events
from pipeline.chain import parse_chain
from pipeline.checks import example_events, example_sensor
from pipeline.errors import BitspikeError
from sensors.events import write_events

pytest.importorskip("matplotlib")
SENSOR = example_sensor(80, 60)
CHAIN = """
[sensor]
kind = "events"
[[stage]]
name = "region"
left = 10
width = 60
[[stage]]
name = "background"
window_us = 150
[[stage]]
name = "tracker"
seed_px = 4
seed_events = 6
reach_px = [12, 12]
least_events = 60
busy_events = 2
grid = [8, 6, 4]
cell_px = 5
hump_ratio = 2
follow = true
"""


@pytest.fixture(scope="module")
def recording(tmp_path_factory):
    path = tmp_path_factory.mktemp("events") / "made.raw"
    write_events(path, [example_events(20_000, SENSOR, seed=2)], sensor=SENSOR)
    return path


@pytest.fixture(scope="module")
def run(recording, tmp_path_factory):
    return replay_events(recording, parse_chain(CHAIN, "small"), tmp_path_factory.mktemp("runs") / "run")


@pytest.fixture
def figure():
    from matplotlib.figure import Figure

    return Figure()


def title(axes):
    return axes.get_title(loc="left") or axes.get_title()


def test_the_image_has_every_event_in_its_colour(run, figure):
    assert event_image(run, figure)
    assert [axes.get_xlabel() for axes in figure.axes] == ["x, pixels"] * 2
    start, stop = shown_us(run.window("seen"), run)
    assert stop - start in (500, 1000)
    for axes, name in zip(figure.axes, ("seen", "kept"), strict=True):
        events, image = between(run.window(name), start, stop), np.asarray(axes.images[0].get_array())
        assert len(events) > 20
        assert image.shape == (60, 60, 3)
        lit = np.zeros((60, 60), bool)
        lit[events.y, events.x] = True
        assert np.array_equal((image < 1).any(axis=2), lit)
        assert f"{len(events):,} events in {(stop - start) / 1000:g} ms" in title(axes)


def test_colours():
    events = Events(
        0, 9, np.arange(5), *(np.array(c, np.uint16) for c in ([0, 1, 2, 2, 1], [0, 0, 0, 0, 0])), np.array([1, 0, 1, 0, 0])
    )
    image = two_colours(events, 1, 4)[0]
    assert np.array_equal(image[3], [1, 1, 1])
    one = 1 - image[0]
    assert np.allclose(one / one.max(), (1 - np.array(BRIGHTER)) / (1 - min(BRIGHTER)))
    assert np.allclose(image[1], DARKER)  # two events: its full colour
    assert (image[2] <= image[0]).all()
    assert image[2].sum() < image[0].sum() - 0.5
    assert frame(events, 1, 4).tolist() == [[255, 125, 125, 0]]
    assert frame(events, 1, 4, 2).tolist() == [[125, 125]]
    wide = Events(0, 9, events.t_us, events.x + np.uint16(1200), events.y, events.p)
    assert two_colours(wide, 2, 1280).shape == (1, 640, 3)


def test_the_surface_has_the_age_of_each_pixels_last_event(run, figure):
    assert time_surface(run, figure)
    start, stop = shown_us(run.window("kept"), run)
    kept, (axes, bar) = between(run.window("kept"), start, stop), figure.axes
    shown = axes.images[0].get_array()
    last = {(y, x): t for t, x, y in zip(kept.t_us.tolist(), kept.x.tolist(), kept.y.tolist(), strict=True)}
    assert np.isfinite(np.ma.filled(shown, np.nan)).sum() == len(last) > 20
    assert all(shown[place] == pytest.approx((stop - t) / 1000) for place, t in last.items())
    assert bar.get_ylabel() == "age of the pixel's last event, ms"


def test_every_particle_is_on_the_tracks_and_doublets_are_marked(run, figure):
    assert tracks(run, figure)
    found, begin = run.particles, run.manifest.recording["start"]
    double = (found.flags & DOUBLET) != 0
    assert 0 < double.sum() < len(found)
    for row in range(2):
        axes = figure.axes[2 * row]
        single, marked = (np.asarray(collection.get_offsets()) for collection in axes.collections[:2])
        for points, mine in ((single, ~double), (marked, double)):
            middle = (found.first_us + found.last_us)[mine] / 2e6 - begin / 1e6
            place = (found.path[mine, row] + found.path[mine, row + 2]) / 32
            assert np.allclose(points, np.stack([middle, place], axis=1))
    assert [figure.axes[k].get_ylabel() for k in (0, 2)] == ["x, pixels", "y, pixels"]
    assert figure.axes[0].get_legend().get_texts()[1].get_text() == f"flagged as doublet ({double.sum()})"


def test_many_particles_are_thinned(run, figure, monkeypatch):
    monkeypatch.setattr(event_plots, "MOST_DOTS", 10)
    assert tracks(run, figure)
    assert 5 <= sum(len(collection.get_offsets()) for collection in figure.axes[0].collections[:2]) <= 10
    assert "1 of" in title(figure.axes[0])


def test_the_montage_shows_passages(run, figure):
    assert montage(run, figure)
    shown = [axes for axes in figure.axes if axes.get_visible()]
    assert len(shown) == 12
    for axes in shown:
        number = int(re.match(r"particle (\d+)", title(axes)).group(1))
        events, image = run.passages[number], np.asarray(axes.images[0].get_array())
        assert set(np.unique(image)) <= {0, 125, 255}
        assert np.array_equal(np.stack(np.nonzero(image)), np.stack(np.unique([events.y, events.x], axis=1)))
        left, top, right, bottom = run.particles.box[number]
        assert axes.get_xlim()[0] <= left
        assert axes.get_xlim()[1] >= right
        assert axes.get_ylim()[1] <= top
        assert axes.get_ylim()[0] >= bottom


def test_a_picture_is_not_of_too_many_events(run):
    times = np.arange(20_000, dtype=np.int64)
    events = Events(0, 20_000, times, *(np.zeros(20_000, np.uint16),) * 2, np.zeros(20_000, np.uint8))
    assert shown_us(events, run) == (0, 500)  # a quarter of 60 x 60 pixels have 900 events; the next round length is 1 ms


def test_passages_beside_real_frames(run, tmp_path):
    from PIL import Image

    for number in range(3):
        Image.fromarray(np.full((40, 90), 125 * (number % 3), np.uint8)).save(tmp_path / f"{number}.png")
    ((title, path),) = draw_beside(run, tmp_path, tmp_path / "drawn").items()
    assert title == f"Passages beside frames of {tmp_path.name}"
    with Image.open(path) as image:
        assert min(image.size) > 600
    (tmp_path / "none").mkdir()
    with pytest.raises(BitspikeError, match="holds no frames; give a folder of PNG files"):
        draw_beside(run, tmp_path / "none", tmp_path)


def test_report_and_replay_make_the_page(recording, tmp_path, capsys):
    out = tmp_path / "run"
    assert program(["replay", str(recording), "--chain", "cytometry", "--out", str(out), "--plot"]) == 0
    assert str(out / "report.html") in "".join(line.strip() for line in capsys.readouterr().out.splitlines())
    text = (out / "report.html").read_text()
    sources = re.findall(r'<img src="([^"]+)"', text)
    assert sources[:2] == ["plots/events.png", "plots/surface.png"]
    assert all((out / source).is_file() for source in sources)
    assert "background" in text
    assert program(["report", str(out)]) == 0
    assert (out / "report.html").read_text() == text
    assert program(["report", str(out), "--frames", str(tmp_path)]) == 2
    assert "holds no frames" in capsys.readouterr().err


def test_a_recording_without_particles_has_its_pictures(recording, tmp_path):
    run = replay_events(recording, "camera", tmp_path / "run")
    assert list(event_plots.draw_events(run, tmp_path / "plots")) == ["Events where there were most", "Time surface"]
    assert run.manifest.outputs["window"]["stop"] - run.manifest.outputs["window"]["start"] == 20_000
