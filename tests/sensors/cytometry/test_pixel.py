"""The pixels, against a plain model in float64, and the rates of noise and leakage."""

from __future__ import annotations

from dataclasses import replace

import numpy as np
import pytest

from sensors.cytometry.arbiter import OUT, arbiter_state
from sensors.cytometry.holograms import HologramBank, illumination
from sensors.cytometry.optics import beam, hologram
from sensors.cytometry.parameters import Arbiter, Channel, CytometerParameters, Drift, ParticleClass, Pixel
from sensors.cytometry.pixel import busy, idle, make_pixels
from sensors.cytometry.simulator import NOBODY, CytometerSimulator

SMALL = Pixel(width=80, height=60, pitch_um=120.0, jitter=0.0, leak_hz=0.0, shot_hz=0.0, hot_pixels=0)
ALONE = CytometerParameters(rate=0.0, pixel=SMALL, arbiter=Arbiter(0.001, 0.001, 0.0), drift=Drift(0, 0, 0, 0, 0, 0))
SPEED, STEPS, NOTHING = 0.08, 120, tuple(np.empty(0, k) for k in (float, np.int32, np.uint8, np.int32))


def kernel(parameters, amplitude=1.0):
    """One particle of 16 um through the middle; events as (pixel, polarity, time)."""
    pixel, light = parameters.pixel, illumination(parameters)
    pixels, bank = make_pixels(parameters), HologramBank(parameters)
    tables = np.empty((1, 2, pixel.height, 2 * bank.half + 2), np.float32)
    row, step = light.axis[1] + 1.3, parameters.step_us
    reach = np.full_like(bank.table(0, 16.0, row, SPEED * step, tables[0]), pixel.width)  # everywhere, as the plain model
    spot = parameters.optics.beam_um * parameters.optics.magnification / pixel.pitch_um
    column0 = light.axis[0] - SPEED * STEPS * step / 2
    one = (np.int64([0]), reach[None], np.int64([0]), np.int64([0]), np.int64([STEPS]))
    moves = (*one, *(np.float64([v]) for v in (column0, SPEED, row)), np.float32([amplitude]), np.float64([spot]))
    assert (pixel.response_us * light.stray, pixel.fastest_us) == pytest.approx((0.006, 25.0))
    scene = (light.across, light.down, np.float32(light.stray), light.axis[0], np.float32(0.006 / step), np.float32(25 / step))
    out = tuple(np.empty(pixel.width * pixel.height * 40, k) for k in (np.int64, np.uint16, np.uint16, np.uint8, np.int32))
    readout = tuple(arbiter_state(pixel.width, pixel.height).values())
    settings = (1e-6, 1e-6, 0.0, pixel.refractory_us, np.float32(0), pixel.width)
    busy(
        0, STEPS, float(step), NOTHING, tables, bank.half, moves, scene, pixels.state, pixels.leak, readout,
        np.zeros(64, np.float32), settings, 1, out,
    )  # fmt: skip
    t, x, y, p, cause = (column[: readout[1][OUT]] for column in out)
    assert (cause == 0).all()
    return [(int(b) * pixel.width + int(a), int(q), int(s)) for s, a, b, q in zip(t, x, y, p, strict=True)], (column0, row, spot)


def plain(parameters, column0, row, spot):
    """The same pixel by pixel, straight from the equations, in double precision."""
    pixel, optics, step = parameters.pixel, parameters.optics, parameters.step_us
    light, start = illumination(parameters), make_pixels(parameters)
    shape = hologram(16.0, 1.489, optics, pixel.pitch_um, 200)
    pitch = pixel.pitch_um / optics.magnification
    part = (np.arange(24) + 0.5) / 24 - 0.5
    y, x = np.divmod(np.arange(pixel.width * pixel.height), pixel.width)
    u = beam(optics, np.hypot(x - light.axis[0], y - light.axis[1]) * pitch)
    dark = u * u + optics.stray
    tau = np.maximum(pixel.response_us * optics.stray / dark, pixel.fastest_us)
    v, memory, held = np.zeros(len(x)), start.high.astype(float) - start.on, np.zeros(len(x))
    events = []
    for k in range(STEPS):
        centre = column0 + SPEED * step * (k + 0.5)
        a = np.exp(-(((centre - light.axis[0]) / spot) ** 2))
        ratio = np.zeros(len(x))
        for shift in part * SPEED * step:
            r = np.hypot(x - centre - shift, y - row)
            lit, fringe = (np.interp(r, np.arange(200), profile) for profile in (shape.light, shape.fringe))
            ratio += (dark + a * a * lit + a * u * fringe) / dark / len(part)
        before = v
        v = v + ratio / (ratio + tau / step) * (np.log(np.maximum(ratio, 0.02)) - v)
        free = ~np.isnan(memory)
        for q, hit in ((1, free & (v - memory > start.on)), (0, free & (memory - v > start.off))):
            goal = memory + start.on if q else memory - start.off
            for i in np.flatnonzero(hit):
                at = step * (k + np.clip((goal[i] - before[i]) / (v[i] - before[i]), 0, 0.999))
                events.append((int(i), q, int(at)))
                memory[i], held[i] = np.nan, at + pixel.refractory_us
        released = np.isnan(memory) & (held <= step * (k + 1))
        memory[released] = v[released]
    return events


def test_events_are_those_of_the_plain_model():
    """The table's interpolation and single precision move a few events across a threshold or a microsecond, no more."""
    ours, where = kernel(ALONE)
    theirs = plain(ALONE, *where)
    assert len(theirs) > 1000
    near = {(i, q, t + d) for i, q, t in theirs for d in range(-6, 7)}
    assert sum(event in near for event in ours) > 0.9 * len(ours)
    known = {(i, q) for i, q, _ in theirs}
    assert sum((i, q) in known for i, q, _ in ours) > 0.99 * len(ours)
    assert len(ours) == pytest.approx(len(theirs), rel=0.03)
    assert sum(q for _, q, _ in ours) == pytest.approx(sum(q for _, q, _ in theirs), rel=0.03)


def test_a_particle_in_the_dark_makes_no_events():
    assert kernel(ALONE, amplitude=0.0)[0] == []


def test_time_steps_are_short_enough():
    """A third of the step gives nearly as many events (where pixels are as coarse as the light's average over a step)."""
    simulators = [CytometerSimulator(ALONE.with_(step_us=step, seconds=0.01, rate=900.0, seed=3)) for step in (15, 5)]
    counts = [sum(len(block) for block in simulator.blocks()) for simulator in simulators]
    assert counts[0] == pytest.approx(counts[1], rel=0.15)


def test_noise_comes_at_its_rate():
    noisy = replace(SMALL, shot_hz=40.0, shot_spread=0.5, hot_pixels=5, hot_hz=900.0, refractory_us=0.0)
    simulator = CytometerSimulator(ALONE.with_(pixel=noisy, rate=0.0, seconds=2.0))
    blocks = list(simulator.labelled_blocks())
    counts = np.zeros((60, 80))
    for events, cause in blocks:
        assert (cause == NOBODY).all()
        np.add.at(counts, (events.y, events.x), 1)
    assert sorted(counts.ravel())[-5:] == pytest.approx([1800] * 5, rel=0.1)
    quiet = np.sort(counts.ravel())[:-5]
    assert quiet.mean() / 2 == pytest.approx(40, rel=0.05)
    assert quiet.std() / quiet.mean() == pytest.approx(np.sqrt(np.exp(0.25) - 1), rel=0.2)  # log-normal
    on = sum(int(events.p.sum()) for events, _ in blocks)
    assert on / counts.sum() == pytest.approx(0.5, abs=0.01)
    rate = [len(events) for events, _ in blocks]
    assert np.var(rate) / np.mean(rate) == pytest.approx(1, abs=0.3)


def test_leakage_makes_brighter_events_at_its_rate():
    leaky = replace(SMALL, leak_hz=5.0, mismatch=0.0)
    simulator = CytometerSimulator(ALONE.with_(pixel=leaky, rate=0.0, seconds=2.0))
    times, pixels = [], []
    for events in simulator.blocks():
        assert (events.p == 1).all()
        times.append(events.t_us)
        pixels.append(events.y.astype(int) * 80 + events.x)
    t, pixel = np.concatenate(times), np.concatenate(pixels)
    assert len(t) / 2 / (80 * 60) == pytest.approx(5, rel=0.03)
    at = t[pixel == np.bincount(pixel).argmax()]
    assert np.diff(at) == pytest.approx(np.full(len(at) - 1, np.diff(at).mean()), rel=0.02)  # regular


def test_a_hot_pixel_cannot_be_faster_than_its_refractory_time():
    slow = replace(SMALL, hot_pixels=1, hot_hz=10_000.0, refractory_us=500.0)
    simulator = CytometerSimulator(ALONE.with_(pixel=slow, rate=0.0, seconds=0.5))
    t = np.concatenate([events.t_us for events in simulator.blocks()])
    assert np.diff(t).min() >= 500
    assert len(t) / 0.5 == pytest.approx(1 / (500e-6 + 100e-6), rel=0.1)


def test_the_sensors_pattern_is_the_same_in_every_run():
    def pattern(**changes):
        parameters = CytometerParameters(pixel=SMALL, **changes)
        return make_pixels(parameters)

    one, other, another = pattern(seed=4, run=0), pattern(seed=4, run=9), pattern(seed=5, run=0)
    assert (one.on == other.on).all()
    assert (one.noise_hz == other.noise_hz).all()
    assert (one.on != another.on).any()
    assert one.on.std() / one.on.mean() == pytest.approx(0.28, abs=0.02)


def test_idle_time_is_the_same_in_one_stretch_or_many():
    parameters = CytometerParameters(
        rate=0.0, pixel=replace(SMALL, leak_hz=3.0), classes=(ParticleClass(),), channel=Channel(), arbiter=Arbiter(1.0, 1.0, 0.0)
    )

    def leaked(stops):
        pixels = make_pixels(parameters)
        readout = tuple(arbiter_state(80, 60).values())
        out = tuple(np.empty(80 * 60 * 4, k) for k in (np.int64, np.uint16, np.uint16, np.uint8, np.int32))
        settings, start = (1e-3, 1e-3, 0.0, 40.0, np.float32(0), 80), 0.0
        for stop in stops:
            idle(start, float(stop), NOTHING, pixels.state, pixels.leak, readout, np.zeros(64, np.float32), settings, 1, out)
            start = float(stop)
        first = (c[: readout[1][OUT]][::-1].tolist() for c in out[:3])
        return {(x, y): t for t, x, y in zip(*first, strict=True)}

    once, often = leaked([60_000]), leaked(range(5000, 60_001, 5000))
    assert once.keys() == often.keys()
    assert max(abs(once[k] - often[k]) for k in once) <= 20
