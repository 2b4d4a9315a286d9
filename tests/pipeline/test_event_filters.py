"""The event filters against plain Python that follows their definitions: exact times, dictionaries, no surfaces."""

from __future__ import annotations

import math
from datetime import timedelta

import numpy as np
import pytest
from numba import njit

from pipeline.blocks import EVENT_COLUMNS, EventFormat, Events
from pipeline.checks import example_events, example_sensor
from pipeline.errors import BitspikeError
from pipeline.events.background import Background, BackgroundParameters
from pipeline.events.correlation import Correlation, CorrelationParameters
from pipeline.events.hot_pixels import HotPixels, HotPixelsParameters
from pipeline.events.polarity import Polarity, PolarityParameters
from pipeline.events.pooling import Pooling, PoolingParameters
from pipeline.events.rate_guard import RateGuard, RateGuardParameters
from pipeline.events.refractory import Refractory, RefractoryParameters
from pipeline.events.region import Region, RegionParameters
from pipeline.events.surface import fetch_around, supporters

SENSOR = example_sensor()
EVENTS = example_events(8000, SENSOR, seed=5)


def rows(events):
    return list(zip(*(getattr(events, name).tolist() for name in EVENT_COLUMNS), strict=True))


def made(given, start=0, stop=1 << 41):
    columns = np.array(given, np.int64).reshape(-1, 4).T
    return Events(start, stop, *(c.astype(k) for c, k in zip(columns, (np.int64, np.uint16, np.uint16, np.uint8), strict=True)))


def filtered(stage, parameters, events=EVENTS, sensor=SENSOR):
    return rows(stage(parameters, sensor).process(events))


def around(x, y, radius=1):
    for dy in range(-radius, radius + 1):
        for dx in range(-radius, radius + 1):
            if dx or dy:
                yield x + dx, y + dy


def supported(events, window, least, radius=1, polarity=False):
    last, kept = {}, []
    for t, x, y, p in rows(events):
        mark = p if polarity else 0
        near = sum(t - last.get((*place, mark), -math.inf) <= window for place in around(x, y, radius))
        last[x, y, mark] = t
        if near >= least:
            kept.append((t, x, y, p))
    return kept


@pytest.mark.parametrize("window", [1, 50, 400])
@pytest.mark.parametrize("least", [1, 2, 5])
def test_background(window, least):
    kept = filtered(Background, BackgroundParameters(window, least))
    assert kept == supported(EVENTS, window, least)
    assert 0 < len(kept) < len(EVENTS) or (window, least) == (1, 5)


@pytest.mark.parametrize(("radius", "support"), [(1, 1), (2, 4), (3, 9)])
@pytest.mark.parametrize("same", [True, False])
def test_correlation(radius, support, same):
    kept = filtered(Correlation, CorrelationParameters(150, radius, support, same))
    assert kept == supported(EVENTS, 150, support, radius, same)
    assert 0 < len(kept) < len(EVENTS)


@pytest.mark.parametrize("duration", [200, 1000])
def test_background_is_that_of_dv_processing(duration):
    dv = pytest.importorskip("dv_processing")
    theirs, store = dv.noise.BackgroundActivityNoiseFilter((40, 30), timedelta(microseconds=duration)), dv.EventStore()
    for t, x, y, p in rows(EVENTS):
        store.push_back(t + 10_000_000, x, y, bool(p))  # its surface begins at time 0
    theirs.accept(store)
    kept = theirs.generateEvents().numpy()
    expected = [(t - 10_000_000, x, y, p) for t, x, y, p in zip(*(kept[n].tolist() for n in kept.dtype.names), strict=True)]
    assert filtered(Background, BackgroundParameters(duration - 1)) == expected  # it asks for less than the duration


@njit
def counted(surface, now, window, out):
    for row in range(out.shape[0]):
        for column in range(out.shape[1]):
            fetch_around(surface, row + (1 << 20), column)  # which changes nothing, wherever it is
            out[row, column] = supporters(surface, row, column, now, window)


@pytest.mark.parametrize("now", [5, 1 << 31, (1 << 32) - 1])
@pytest.mark.parametrize("window", [0, 3, (1 << 32) - 1])
def test_supporters_are_the_eight_around_within_the_window(now, window):
    ages = np.random.default_rng(1).integers(0, 7, (12, 9)).astype(np.uint32)
    memory = np.concatenate([(now - ages).astype(np.uint32).ravel(), np.zeros(1, np.uint32)])  # and one number after the surface
    found = np.zeros((10, 7), np.uint32)
    counted(memory[:-1].reshape(ages.shape), np.uint32(now), np.uint32(window), found)
    near = ages <= window
    expected = sum(near[dy : dy + 10, dx : dx + 7].astype(int) for dy in range(3) for dx in range(3) if (dy, dx) != (1, 1))
    np.testing.assert_array_equal(found, expected)


def test_a_number_follows_the_surface():
    fields = Background.state_layout(Background.needed(BackgroundParameters(), SENSOR)).fields
    (kind, at), (_, after) = fields["last"][:2], fields["outside"][:2]
    assert at + kind.itemsize == after


def test_background_is_correlation_of_radius_one_without_polarity():
    same = filtered(Correlation, CorrelationParameters(200, 1, 2, False))
    assert filtered(Background, BackgroundParameters(200, 2)) == same


@pytest.mark.parametrize("period", [1, 40, 3000])
def test_refractory(period):
    last, kept = {}, []
    for t, x, y, p in rows(EVENTS):
        if t - last.get((x, y), -math.inf) >= period:
            last[x, y] = t
            kept.append((t, x, y, p))
    assert filtered(Refractory, RefractoryParameters(period)) == kept


@pytest.mark.parametrize("transpose", [False, True])
@pytest.mark.parametrize("flip_x", [False, True])
@pytest.mark.parametrize("flip_y", [False, True])
def test_region_is_what_numpy_does_to_a_picture(transpose, flip_x, flip_y):
    stage = Region(RegionParameters(5, 3, 20, 12, transpose, flip_x, flip_y), SENSOR)
    given = stage.process(EVENTS)
    picture = np.zeros((SENSOR.height, SENSOR.width), np.int64)
    np.add.at(picture, (EVENTS.y, EVENTS.x), 1)
    expected = picture[3:15, 5:25]
    expected = expected.T if transpose else expected
    expected = expected[:: -1 if flip_y else 1, :: -1 if flip_x else 1]
    found = np.zeros((stage.output.height, stage.output.width), np.int64)
    np.add.at(found, (given.y, given.x), 1)
    assert np.array_equal(found, expected)
    assert int(stage.state["outside"]) == len(EVENTS) - len(given) > 0


@pytest.mark.parametrize("keep", ["on", "off", "both"])
@pytest.mark.parametrize("invert", [False, True])
def test_polarity(keep, invert):
    wanted = {"on": (1,), "off": (0,), "both": (0, 1)}[keep]
    expected = [(t, x, y, p ^ invert) for t, x, y, p in rows(EVENTS) if p in wanted]
    assert filtered(Polarity, PolarityParameters(keep, invert)) == expected


def test_hot_pixels():
    parameters = HotPixelsParameters(learn_ms=3.0, rate_hz=4000, ratio=2)
    begin = int(EVENTS.t_us[0])
    count = np.zeros((SENSOR.height + 2, SENSOR.width + 2), np.int64)
    for t, x, y, _ in rows(EVENTS):
        count[y + 1, x + 1] += t - begin < 3000
    hot = set()
    for y in range(SENSOR.height):
        for x in range(SENSOR.width):  # of two hot neighbours, the one found first no longer counts for the other
            beside = [count[v + 1, u + 1] for u, v in around(x, y) if (u, v) not in hot]
            if count[y + 1, x + 1] >= 12 and count[y + 1, x + 1] > 2 * max(beside):
                hot.add((x, y))
    assert hot
    stage = HotPixels(parameters, SENSOR)
    expected = [row for row in rows(EVENTS) if row[0] - begin < 3000 or row[1:3] not in hot]
    assert rows(stage.process(EVENTS)) == expected
    assert int(stage.state["found"]) == len(hot)
    assert int(stage.state["dropped"]) == len(EVENTS) - len(expected) > 0


@pytest.mark.parametrize(("rate", "burst"), [(100_000, 5), (1_000_000, 50)])
def test_rate_guard(rate, burst):
    refill, level, before, kept = round(rate * 65536 / 1e6), burst << 16, 0, []
    for row in rows(EVENTS):
        level = min(burst << 16, level + refill * (row[0] - before))
        before = row[0]
        if level >= 1 << 16:
            level -= 1 << 16
            kept.append(row)
    stage = RateGuard(RateGuardParameters(rate, burst), SENSOR)
    assert rows(stage.process(EVENTS)) == kept
    assert int(stage.state["dropped"]) == len(EVENTS) - len(kept) > 0
    assert len(kept) <= burst + rate * 8000 / 1e6 + 1


@pytest.mark.parametrize(("cell", "tau", "threshold"), [(5, 300.0, 4.0), (8, 40.0, 2.0), (3, 20_000.0, 6.5)])
def test_pooling_is_near_the_neuron_in_floating_point(cell, tau, threshold):
    stage = Pooling(PoolingParameters(cell, tau, threshold), SENSOR)
    given = stage.process(EVENTS)
    v, last, fired = {}, {}, []
    for t, x, y, p in rows(EVENTS):
        at = x // cell, y // cell, p
        level = v.get(at, 0.0) * math.exp(-(t - last.get(at, t)) / tau) + 1
        last[at] = t
        if level >= threshold:
            fired.append((t, *at))
            level -= threshold
        v[at] = level
    assert stage.output.width == -(-SENSOR.width // cell)
    assert len(fired) > 50
    assert abs(len(given) - len(fired)) <= 0.02 * len(fired)
    assert len(set(rows(given)) & set(fired)) >= 0.9 * len(fired)


def test_pooling_without_threshold_only_makes_the_grid_coarser():
    assert filtered(Pooling, PoolingParameters(7, threshold=1)) == [(t, x // 7, y // 7, p) for t, x, y, p in rows(EVENTS)]


@pytest.mark.parametrize("offset", [0, (1 << 32) - 300, (1 << 40) + 12345])
def test_the_clock_may_wrap(offset):
    later = made([(t + offset, x, y, p) for t, x, y, p in rows(EVENTS)])
    for stage, parameters in (
        (Background, BackgroundParameters(300)),
        (Correlation, CorrelationParameters(300)),
        (Refractory, RefractoryParameters(100)),
        (Pooling, PoolingParameters(4)),
        (HotPixels, HotPixelsParameters(2.0, 4000, 2)),
        (RateGuard, RateGuardParameters(200_000, 5)),
    ):
        expected = [(t + offset, *rest) for t, *rest in filtered(stage, parameters)]
        assert filtered(stage, parameters, later) == expected, stage.name


@pytest.mark.parametrize("silence", [1 << 20, 1 << 31, 1 << 32, (1 << 32) + 50, 3 << 33])
@pytest.mark.parametrize("busy", [False, True])
def test_no_age_is_mistaken_after_a_silence(silence, busy):
    between = [(t, 30, 20, 0) for t in range(1000, silence, 1 << 24)] if busy else []
    events = made([(0, 5, 5, 1), *between, (silence, 6, 5, 1), (silence + 10, 5, 5, 1), (silence + 12, 7, 5, 1)])
    kept = filtered(Background, BackgroundParameters(100), events)
    assert kept == supported(events, 100, 1) == [(silence + 10, 5, 5, 1), (silence + 12, 7, 5, 1)]


@pytest.mark.parametrize(
    ("stage", "parameters", "words"),
    [
        (Region, RegionParameters(left=40), "left, width"),
        (Region, RegionParameters(height=31), "top, height"),
    ],
)
def test_a_region_off_the_sensor_is_refused(stage, parameters, words):
    with pytest.raises(BitspikeError, match=words):
        stage(parameters, SENSOR)


def test_a_sensor_that_is_too_tall_is_refused():
    with pytest.raises(BitspikeError, match="rows"):
        Background(BackgroundParameters(), EventFormat(16, 4096))


@pytest.mark.parametrize(
    "make",
    [
        lambda: BackgroundParameters(neighbours=9),
        lambda: CorrelationParameters(radius=1, support=9),
        lambda: RefractoryParameters(0),
        lambda: PolarityParameters("bright"),
        lambda: HotPixelsParameters(learn_ms=0),
        lambda: RateGuardParameters(rate_hz=1),
        lambda: PoolingParameters(threshold=0.5),
    ],
)
def test_bad_parameters_are_refused(make):
    with pytest.raises(BitspikeError, match="choose"):
        make()


def test_columns_of_another_type_and_events_outside_their_block_are_refused():
    stage = Background(BackgroundParameters(), SENSOR)
    wrong = Events(0, 10, np.zeros(1, np.int64), np.zeros(1, np.int32), np.zeros(1, np.uint16), np.zeros(1, np.uint8))
    with pytest.raises(BitspikeError, match="x must be uint16"):
        stage.process(wrong)
    with pytest.raises(BitspikeError, match="outside their block"):
        stage.process(made([(50, 1, 1, 0)], 0, 10))
