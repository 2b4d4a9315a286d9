"""The simulated recording: the same bits from the same seed, its truth is where the events are, its figures are those measured."""

from __future__ import annotations

import hashlib
from itertools import pairwise

import numpy as np
import pytest

from pipeline.errors import BitspikeError
from sensors.cytometry.calibration import MEASURED, Meter
from sensors.cytometry.optics import hologram
from sensors.cytometry.parameters import Drift
from sensors.cytometry.simulator import NOBODY, CytometerSimulator
from sensors.cytometry.truth import COLUMNS, overlapping, read_particle_truth


def digest(blocks):
    text = hashlib.sha256()
    for column in ("t_us", "x", "y", "p"):
        text.update(np.concatenate([getattr(block, column) for block in blocks]).tobytes())
    return text.hexdigest()


def test_same_seed_same_bits_whatever_the_blocks(coarse, made):
    whole = digest([events for events, _ in made[1]])
    again = CytometerSimulator(coarse)
    blocks = list(again.blocks(3_333))
    assert digest(blocks) == whole
    assert digest(list(again.blocks(10**9))) == whole  # the same simulator once more
    assert all((getattr(again.truth(), name) == getattr(made[2], name)).all() for name in COLUMNS)
    shorter = coarse.with_(seconds=0.01)
    digests = {digest(list(CytometerSimulator(shorter.with_(**change)).blocks())) for change in ({}, {"seed": 12}, {"run": 1})}
    assert len(digests) == 3


def test_blocks_cover_the_recording(made):
    simulator, blocks, _ = made
    assert blocks[0][0].start == 0
    assert blocks[-1][0].stop == simulator.stop_us == 150_000
    for (one, _), (next_, _) in pairwise(blocks):
        assert one.stop == next_.start
    for events, cause in blocks:
        assert (events.t_us.dtype, events.x.dtype, events.y.dtype, events.p.dtype) == (np.int64, np.uint16, np.uint16, np.uint8)
        assert len(events) == len(events.x) == len(events.y) == len(events.p) == len(cause)
        assert (np.diff(events.t_us) >= 0).all()
        assert ((events.t_us >= events.start) & (events.t_us < events.stop)).all()
        assert events.x.max(initial=0) < 160
        assert events.y.max(initial=0) < 120
        assert events.p.max(initial=0) <= 1


def test_no_pixel_is_faster_than_its_refractory_time(made):
    simulator, blocks, _ = made
    t, x, y = (np.concatenate([getattr(events, c) for events, _ in blocks]) for c in ("t_us", "x", "y"))
    order = np.lexsort((t, y.astype(int) * 160 + x))
    same = np.diff((y.astype(int) * 160 + x)[order]) == 0
    late = 12 * simulator.parameters.arbiter.jitter_us  # a late stamp makes what follows look early
    assert np.diff(t[order])[same].min() >= simulator.parameters.pixel.refractory_us - late


def test_truth_says_who_made_which_events(made):
    _, blocks, truth = made
    cause, p = np.concatenate([c for _, c in blocks]), np.concatenate([events.p for events, _ in blocks])
    for i in range(len(truth)):
        assert ((cause == i) & (p == 1)).sum() == truth.on[i]
        assert ((cause == i) & (p == 0)).sum() == truth.off[i]
    assert cause.max() < len(truth)
    assert (cause == -2).mean() < 0.02
    assert 0 < (cause == NOBODY).mean() < 0.5


def test_truth_says_when_and_where(made):
    simulator, blocks, truth = made
    t, x, y = (np.concatenate([getattr(events, c) for events, _ in blocks]) for c in ("t_us", "x", "y"))
    cause = np.concatenate([c for _, c in blocks])
    beam = simulator.parameters.optics.beam_um
    assert truth.exit_us - truth.enter_us == pytest.approx(2 * beam / truth.speed_m_s, abs=2)
    assert (truth.enter_us + truth.exit_us) / 2 == pytest.approx(truth.centre_us, abs=1)
    assert truth.speed_px_us == pytest.approx(truth.speed_m_s * simulator.parameters.optics.magnification / 60, rel=0.02)
    whole = np.flatnonzero((truth.enter_us > 300) & (truth.exit_us < 149_700) & (truth.on > 100) & ~truth.overlap)
    assert len(whole) > 20
    during, ahead, around = [], [], []
    for i in whole:
        mine = np.flatnonzero(cause == i)
        half = (truth.exit_us[i] - truth.enter_us[i]) / 2
        during.append(np.mean(np.abs(t[mine] - truth.centre_us[i]) < 1.3 * half))
        early = t[mine] < np.median(t[mine])
        ahead.append(x[mine][~early].mean() - x[mine][early].mean())
        path_x, path_y = truth.place(i, t[mine])
        radius = np.hypot(x[mine] - path_x, y[mine] - path_y) * 60 / 15 / 20  # in cells of the instrument's own sensor
        around.append(np.mean((radius > 6) & (radius < 15)))
    assert np.mean(during) > 0.9
    assert np.mean(around) > 0.9
    assert np.mean(np.array(ahead) > 0) > 0.9  # what is lit moves with the flow


def test_overlap_is_that_of_the_intervals():
    rng = np.random.default_rng(3)
    enter = rng.integers(0, 3000, 200)
    leave = enter + rng.integers(0, 20, 200)
    slow = [any(i != j and enter[i] <= leave[j] and enter[j] <= leave[i] for j in range(200)) for i in range(200)]
    assert 0 < sum(slow) < 200
    assert overlapping(enter, leave).tolist() == slow
    assert overlapping(np.array([5]), np.array([9])).tolist() == [False]
    assert overlapping(np.array([0, 100, 10]), np.array([200, 110, 20])).tolist() == [True, True, True]


def ring_radii(parameters):
    """Return for each class its passages' median distance of events from the middle of the rings, which moves with the particle."""
    simulator = CytometerSimulator(parameters)
    blocks = list(simulator.labelled_blocks())
    truth, cause = simulator.truth(), np.concatenate([c for _, c in blocks])
    t, x, y = (np.concatenate([getattr(events, c) for events, _ in blocks]) for c in ("t_us", "x", "y"))
    found = [[], []]
    for i in np.flatnonzero(~truth.overlap & (truth.on > 100)):
        mine = cause == i
        path_x, path_y = truth.place(i, t[mine])
        found[truth.kind[i]].append(np.median(np.hypot(x[mine] - path_x, y[mine] - path_y)))
    assert min(map(len, found)) >= 8
    return [np.array(one) for one in found]


def test_rings_are_where_the_optics_puts_them(coarse):
    """Events come where the first ring of scattered light outshines the direct beam: from its crest, 1.6 wavelengths over the
    diameter off the axis, to half of that light outside. So 16 and 20 um lie about 6 of these coarse pixels apart, and no passage
    of one class looks like the other's."""
    parameters = coarse.with_(drift=Drift(0, 0, 0, 0, 0, 0), seconds=0.06)
    small, large = ring_radii(parameters)
    for one, radii in zip(parameters.classes, (small, large), strict=True):
        light = hologram(one.diameter_um, one.index, parameters.optics, parameters.pixel.pitch_um, 110).light
        dark = int(
            1.15 * 0.6328 / one.diameter_um * parameters.optics.sensor_mm / 0.06
        )  # between the spot in the middle and the ring
        crest = dark + int(light[dark : 2 * dark].argmax())
        half = crest + int(np.argmax(light[crest:] < light[crest] / 2))
        assert crest < np.median(radii) < half
        assert radii.std() < 2.5
    assert np.median(small) - np.median(large) > 5
    assert small.min() > large.max()


def test_runs_differ(coarse):
    """The drift between two runs moves a class's ring by more than its passages differ from each other."""
    one, other = (ring_radii(coarse.with_(run=run, seconds=0.06)) for run in (1, 2))
    moved = [abs(np.median(a) - np.median(b)) for a, b in zip(one, other, strict=True)]
    spread = [np.hypot(a.std(), b.std()) for a, b in zip(one, other, strict=True)]
    assert max(np.divide(moved, spread)) > 1.5


def test_figures_are_those_measured(full):
    """Medians lie inside the measured ranges; the mean rate is that of some 40 particles, the fullest millisecond is saturated."""
    simulator, blocks, truth = full
    meter = Meter(simulator.format)
    for block in blocks:
        meter.add(block)
    figures = meter.figures(truth)
    assert figures["passages"] >= 20
    assert len(figures["classes"]) == 2
    assert figures["dark_centre"] < 0.05
    every = {f.name: (f.low, f.high) for f in MEASURED}
    for found in figures["classes"].values():
        for name in ("events", "on_off", "duration_us", "ring_cells", "active_cells"):
            low, high = every[name]
            assert low <= found[name][1] <= high, name
    assert figures["rate_mev_s"] == pytest.approx(3.6, rel=0.25)
    assert figures["burst_mev_s"] == pytest.approx(39, rel=0.04)


def test_truth_is_read_as_it_was_written(made, tmp_path):
    truth = made[2]
    for name in ("a.npz", "b.npz"):
        truth.write(tmp_path / name)
    assert (tmp_path / "a.npz").read_bytes() == (tmp_path / "b.npz").read_bytes()
    again = read_particle_truth(tmp_path / "a.npz")
    for name, kind in COLUMNS.items():
        assert getattr(again, name).dtype == kind
        assert (getattr(again, name) == getattr(truth, name)).all()


@pytest.mark.parametrize(
    ("change", "message"),
    [
        (lambda c: c.pop("speed_px_us"), "no column speed_px_us; a particle truth holds kind, diameter_um"),
        (lambda c: c.update(on=c["on"][:-1]), "on has shape"),
        (lambda c: c.update(exit_us=c["enter_us"] - 5), "exit_us is before enter_us"),
        (lambda c: c.update(centre_us=c["centre_us"][::-1]), "centre_us is not ascending"),
        (lambda c: c.update(kind=c["kind"] + 0.5), "not a readable particle truth"),
    ],
)
def test_damaged_truth_is_refused(made, tmp_path, change, message):
    columns = {name: getattr(made[2], name) for name in COLUMNS}
    change(columns)
    np.savez(tmp_path / "t.npz", **columns)
    with pytest.raises(BitspikeError, match=message):
        read_particle_truth(tmp_path / "t.npz")
    with pytest.raises(BitspikeError, match="no such file"):
        read_particle_truth(tmp_path / "none.npz")
