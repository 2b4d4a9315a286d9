"""The tracker on particles whose ways are known: rings that move through a channel, with noise."""

from __future__ import annotations

from dataclasses import dataclass, replace

import numpy as np
import pytest

from pipeline.blocks import DOUBLET, MERGED, SPLIT, EventFormat, Events, concatenate
from pipeline.errors import BitspikeError
from pipeline.events.tensor import SHIFT, reciprocal, unpacked
from pipeline.events.tracker import Tracker, TrackerParameters

SENSOR = EventFormat(200, 120, 15.0)
PARAMETERS = TrackerParameters(
    seed_px=16, seed_events=8, seed_us=60, reach_px=(16, 16), busy_events=6, bin_us=20, idle_bins=3, least_events=200,
    grid=(8, 6, 3), cell_px=5, step_us=150, follow=True, speed_px_us=0.4, longer_percent=40, larger_percent=35,
)  # fmt: skip


@dataclass(frozen=True)
class Ring:
    """A ring of events: begin (us), y (pixels), speed (pixels a us), radius (pixels), events a us, and where along x."""

    begin: int
    y: float = 60.0
    speed: float = 0.4
    radius: float = 6.0
    rate: float = 3.0
    ahead: float = 0.0


def scene(rings, us, noise=0.02, seed=0, sensor=SENSOR):
    rng = np.random.default_rng(seed)
    parts = [rng.integers(0, (us, sensor.width, sensor.height, 2), (int(noise * us), 4))]
    for ring in rings:
        t = rng.uniform(0, sensor.width / ring.speed, int(ring.rate * sensor.width / ring.speed))
        angle = rng.uniform(0, 2 * np.pi, len(t))
        x, y = ring.ahead + ring.speed * t + ring.radius * np.cos(angle), ring.y + ring.radius * np.sin(angle)
        parts.append(np.stack([ring.begin + t, np.floor(x), np.floor(y), np.cos(angle) > 0], 1).astype(np.int64))
    t, x, y, p = np.concatenate(parts).T
    inside = (t >= 0) & (t < us) & (x >= 0) & (x < sensor.width) & (y >= 0) & (y < sensor.height)
    order = np.flatnonzero(inside)[np.argsort(t[inside], kind="stable")]
    return Events(0, us, t[order], *(c[order].astype(k) for c, k in ((x, np.uint16), (y, np.uint16), (p, np.uint8))))


def tracked(rings, us, parameters=PARAMETERS, **how):
    stage = Tracker(parameters, SENSOR)
    return stage, stage.process(scene(rings, us, **how))


def test_one_after_the_other():
    rings = [Ring(700 * k, y=30 + 3 * k) for k in range(20)]
    _, found = tracked(rings, 15_000)
    assert len(found) == 20
    assert np.all(np.diff(found.closed_us) >= 0)
    for k, ring in enumerate(rings):
        assert abs(found.first_us[k] - ring.begin) < 80
        assert abs(found.last_us[k] - ring.begin - 500) < 80
        assert found.closed_us[k] - found.last_us[k] <= 4 * PARAMETERS.bin_us
        assert abs(found.velocity[k, 0] / 1e6 - 0.4) < 0.02
        assert abs(found.velocity[k, 1] / 1e6) < 0.02
        assert np.all(np.abs(found.path[k, 1::2] / 16 - ring.y) < 3)
        assert abs(found.path[k, 2] / 16 - 195) < 12
        assert abs(found.size[k, 1] / 16 - 6 * 4 / np.pi) < 1.5  # twice the mean of |sin| times the radius
        assert 1300 < found.events[k].sum() < 1560
        assert found.box[k, 0] <= 8
        assert found.box[k, 2] >= 190
    assert not found.flags.any()
    assert found.track.tolist() == list(range(20))


def test_several_at_a_time():
    rng = np.random.default_rng(1)
    rings = [Ring(int(150 * k + rng.integers(40)), y=[20, 60, 100][k % 3], speed=0.3 + 0.05 * (k % 3)) for k in range(60)]
    stage, found = tracked(rings, 12_000)
    assert len(found) == 60
    assert not found.flags.any()
    for k in range(60):
        mine = [ring for ring in rings if abs(ring.begin - found.first_us[k]) < 80 and abs(ring.y - found.path[k, 1] / 16) < 6]
        assert len(mine) == 1
        assert abs(found.velocity[k, 0] / 1e6 - mine[0].speed) < 0.03
    assert int(stage.state["missed"]) == 0


def test_two_that_travel_together_are_flagged():
    alone = [Ring(800 * k) for k in range(12)]
    pairs = [Ring(800 * (12 + k) + d, y=55 + 10 * (d > 0)) for k in range(8) for d in (0, 25)]
    _, found = tracked(alone + pairs, 17_000)
    assert not (found.flags[found.first_us < 800 * 11.5] & DOUBLET).any()
    for k in range(12, 20):  # as one that is flagged, or as two
        mine = np.abs(found.first_us - 800 * k - 12) < 300
        assert (found.flags[mine] & DOUBLET).any() or np.count_nonzero(mine) == 2
    assert np.count_nonzero(found.flags & DOUBLET) >= 6


def test_two_that_fall_in_with_each_other_are_merged():
    alone = [Ring(900 * k) for k in range(8)]
    parameters = replace(PARAMETERS, merge_px=13, reach_px=(11, 11))
    _, found = tracked([*alone, Ring(9000, y=40, speed=0.2), Ring(9350, y=52, speed=0.5)], 11_000, parameters)
    late = found.first_us > 8500
    assert (found.flags[late] & MERGED).any()
    assert not (found.flags[~late] & MERGED).any()


def bursts(times, us, seed=0):
    """Return events all over the sensor whose rate rises and falls, one hump for each time."""
    rng = np.random.default_rng(seed)
    t = np.concatenate([rng.normal(at, 70, 3000) for at in times]).astype(np.int64)
    t = np.sort(t[(t >= 0) & (t < us)])
    x, y = rng.integers(60, 140, len(t)), rng.integers(20, 100, len(t))
    return Events(0, us, t, x.astype(np.uint16), y.astype(np.uint16), rng.integers(0, 2, len(t)).astype(np.uint8))


WHOLE = TrackerParameters(
    seed_px=64, reach_px=(200, 120), bin_us=20, busy_events=8, idle_bins=4, grid=(10, 6, 4), cell_px=20, hump_ratio=2,
    split_ratio=8, gate_events=(2000, 4000),
)  # fmt: skip


def test_passages_that_fill_the_sensor():
    alone = [1000 * (k + 1) for k in range(20)]
    close, apart = [23_000, 23_220], [25_000, 25_380]
    found = Tracker(WHOLE, SENSOR).process(bursts([*alone, *close, *apart], 27_000))
    assert len(found) == 20 + 1 + 2
    assert not found.flags[:20].any()
    assert found.gate[:20].all()
    assert found.flags[20] & DOUBLET
    assert not found.gate[20]
    assert found.flags[21] & SPLIT
    assert np.all(found.gate_us == found.closed_us)
    assert np.all(found.deadline_us == found.last_us + 1000)
    assert np.all(found.closed_us < found.deadline_us)


@pytest.mark.parametrize("follow", [False, True])
def test_the_tensor_is_the_events_counted_in_cells(follow):
    parameters = TrackerParameters(
        seed_px=256, seed_events=2, reach_px=(400, 400), grid=(9, 7, 5), cell_px=23, step_us=70, follow=follow, split_ratio=1000,
        hump_ratio=1000, least_events=50,
    )  # fmt: skip
    events = bursts([500], 2000, seed=3)
    stage = Tracker(parameters, SENSOR)
    found = stage.process(events)
    assert len(found) == 1
    bits = unpacked(found.tensor, *parameters.grid)[0]
    expected = np.zeros((5, 2, 7, 9), np.uint8)
    middle = found.path[0, :2] / 16 - np.array([9, 7]) * 23 / 2 if follow else np.zeros(2)
    inside = (events.t_us >= found.first_us[0]) & (events.t_us <= found.closed_us[0])
    for t, x, y, p in zip(*(getattr(events, c)[inside].tolist() for c in ("t_us", "x", "y", "p")), strict=True):
        u, v, s = int(x - middle[0]) // 23, int(y - middle[1]) // 23, (t - int(found.first_us[0])) // 70
        if s < 5 and 0 <= u < 9 and 0 <= v < 7:
            expected[s, p, v, u] = 1
    different = np.count_nonzero(bits != expected)
    assert bits.sum() > 100
    assert different <= (0.25 * expected.sum() if follow else 1)  # the event before the seed is in no tensor; the middle moves


@pytest.mark.parametrize("divisor", [1, 5, 20, 23, 70, 150, 256])
def test_reciprocals_are_exact(divisor):
    most = 255 * divisor if divisor < 60 else 12 * divisor
    factor = reciprocal(divisor, most)
    values = np.arange(most + 1)
    assert np.array_equal(values * factor >> SHIFT, values // divisor)


def test_noise_is_no_particle():
    stage, found = tracked([], 50_000, noise=0.1)
    assert len(found) == 0
    assert int(stage.state["passages"]) == int(stage.state["discarded"])


def test_more_than_can_be_followed_are_counted():
    stage, found = tracked([Ring(0, y=20), Ring(0, y=60), Ring(0, y=100)], 2000, replace(PARAMETERS, tracks=2))
    assert len(found) == 2
    assert int(stage.state["missed"]) > 0


def test_a_long_passage_is_cut():
    events = scene([], 12_000, noise=2.0)
    found = Tracker(WHOLE, SENSOR).process(events)
    assert len(found) >= 2
    assert np.all(found.last_us - found.first_us <= 200 * WHOLE.bin_us + 100)


def test_any_cut_and_late_clocks_give_the_same():
    events = scene([Ring(700 * k, y=30 + 5 * k) for k in range(8)], 8000)
    whole = Tracker(PARAMETERS, SENSOR).process(events)
    offset = (1 << 32) - 3000
    stage, parts = Tracker(PARAMETERS, SENSOR), []
    for begin in range(0, 8000, 37):
        i, j = np.searchsorted(events.t_us, (begin, begin + 37))
        columns = (events.t_us[i:j] + offset, events.x[i:j], events.y[i:j], events.p[i:j])
        parts.append(stage.process(Events(begin + offset, min(begin + 37, 8000) + offset, *columns)))
    cut = concatenate(parts)
    for name in ("first_us", "last_us", "closed_us", "deadline_us"):
        assert np.array_equal(getattr(cut, name), getattr(whole, name) + offset)
    for name in ("path", "events", "velocity", "size", "box", "flags", "gate", "tensor", "track"):
        assert np.array_equal(getattr(cut, name), getattr(whole, name))


@pytest.mark.parametrize(
    ("changes", "words"),
    [
        ({"seed_px": 5}, "power of two"),
        ({"reach_px": (1,)}, "reach_px"),
        ({"grid": (0, 1, 1)}, "grid"),
        ({"gate_events": (5, 4)}, "gate_events"),
        ({"idle_bins": 50, "bin_us": 100}, "exit"),
        ({"step_us": 1, "grid": (8, 8, 255), "cell_px": 1}, None),
    ],
)
def test_what_cannot_be_is_refused(changes, words):
    if words is None:
        Tracker(TrackerParameters(**changes), SENSOR)
        return
    with pytest.raises(BitspikeError, match=words):
        Tracker(TrackerParameters(**changes), SENSOR)
