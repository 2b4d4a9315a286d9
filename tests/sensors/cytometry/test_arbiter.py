"""The readout, against a plain model that keeps sets of waiting pixels."""

from __future__ import annotations

import numpy as np
import pytest
from scipy import stats

from sensors.cytometry.arbiter import OUT, WAITING, arbiter_state, serve, uniform

WIDTH, HEIGHT, ROW_US, EVENT_US, REFRACTORY_US = 16, 12, 0.2, 0.05, 7.0


def served(asks, stops, late_us=0.0, refractory_us=REFRACTORY_US):
    """Run the kernel over several calls; return the columns t, x, y, p, cause."""
    pixels = tuple(np.full(WIDTH * HEIGHT, value, np.float32) for value in (0.5, 0.7, 0.3, 0.2, 0.2))
    readout = tuple(arbiter_state(WIDTH, HEIGHT).values())
    out = tuple(np.empty(10_000, kind) for kind in (np.int64, np.uint16, np.uint16, np.uint8, np.int32))
    settings = (ROW_US, EVENT_US, late_us, refractory_us, np.float32(0), WIDTH)
    normals, first = np.zeros(64, np.float32), 0
    for stop in stops:
        last = int(np.searchsorted(asks[0], stop))
        part = tuple(column[first:last] for column in asks)
        serve(float(stop), part, pixels, readout, normals, settings, 1, out)
        first = last
    return [column[: readout[1][OUT]] for column in out], readout[1][WAITING]


def plain(asks, stop):
    """The same in plain Python, without jitter."""
    times, pixels, brighter, cause = (column.tolist() for column in asks)
    waiting, held, free, row, out, i = {}, {}, -1e9, 0, [], 0
    while True:
        now = free
        if not waiting:
            if i == len(times):
                return out
            now = max(free, times[i])
        now = min(now, stop)
        while i < len(times) and times[i] <= now:
            if pixels[i] not in waiting and held.get(pixels[i], -1e9) <= times[i]:
                waiting[pixels[i]] = (brighter[i], cause[i])
            i += 1
        if now >= stop:
            return out
        if not waiting:
            continue
        rows = {pixel // WIDTH for pixel in waiting}
        row = min((r for r in rows if r >= row), default=min(rows))
        mine = sorted(pixel for pixel in waiting if pixel // WIDTH == row)
        free = now + ROW_US + EVENT_US * len(mine)
        for pixel in mine:
            out.append((int(np.floor(now)), pixel % WIDTH, row, *waiting.pop(pixel)))
            held[pixel] = free + REFRACTORY_US
        row = row + 1 if row + 1 < HEIGHT else 0


def drawn(count, length_us, seed):
    rng = np.random.default_rng(seed)
    t = np.sort(rng.uniform(0, length_us, count))
    pixel = rng.integers(0, WIDTH * HEIGHT, count).astype(np.int32)
    return t, pixel, rng.integers(0, 2, count, np.uint8), rng.integers(-1, 5, count).astype(np.int32)


@pytest.mark.parametrize("count", [0, 1, 60, 800, 4000])  # from hardly anything to four times what can be read out
def test_rows_are_served_as_in_a_plain_model(count):
    asks = drawn(count, 300.0, count)
    columns, _ = served(asks, [400.0])
    assert list(zip(*(c.tolist() for c in columns), strict=True)) == plain(asks, 400.0)


def test_calls_may_be_split_anywhere_while_the_readout_keeps_up():
    asks = drawn(300, 300.0, 3)
    whole, _ = served(asks, [400.0], late_us=0.5)
    split, _ = served(asks, np.arange(10, 401, 10), late_us=0.5)
    assert all((a == b).all() for a, b in zip(whole, split, strict=True))


def test_back_pressure_bounds_the_rate_and_loses_nobody_who_waits():
    pixel = np.arange(WIDTH * HEIGHT, dtype=np.int32)
    asks = (np.zeros(len(pixel)), pixel, np.ones(len(pixel), np.uint8), np.full(len(pixel), -1, np.int32))
    columns, waiting = served(asks, [2.0, 4.0, 6.0])
    assert len(columns[0]) == 6 * WIDTH  # a full row takes 1 us
    assert waiting == 6 * WIDTH
    columns, waiting = served(asks, [2.0, 40.0])
    assert waiting == 0
    assert sorted((columns[2].astype(int) * WIDTH + columns[1]).tolist()) == pixel.tolist()
    assert (np.diff(columns[0]) >= 0).all()
    assert (columns[0] == columns[2]).all()  # row r begins at r microseconds


def test_jitter_is_late_and_keeps_the_order():
    t = np.arange(0, 3000.0, 10)
    pixel = (np.arange(len(t)) % (WIDTH * HEIGHT)).astype(np.int32)
    columns, _ = served(
        (t, pixel, np.ones(len(t), np.uint8), np.full(len(t), -1, np.int32)), [4000.0], late_us=2.0, refractory_us=0.0
    )
    late = columns[0] - t
    assert (late >= 0).all()
    assert (np.diff(columns[0]) >= 0).all()
    assert late.mean() + 0.5 == pytest.approx(2.0, abs=0.4)


def test_random_numbers_are_uniform_and_follow_the_seed():
    drawn = np.array([uniform(5, n) for n in range(20_000)])
    assert stats.kstest(drawn, "uniform").pvalue > 0.001
    assert abs(np.corrcoef(drawn[1:], drawn[:-1])[0, 1]) < 0.02
    assert [uniform(5, n) for n in range(3)] == drawn[:3].tolist()
    assert uniform(6, 0) != uniform(5, 0)
