"""The readout of an event sensor: pixels ask, rows are served in turn, and a pixel that waits is held.

A pixel that saw a change asks and then does nothing more until its row is read out. The arbiter goes around the rows and reads all
waiting pixels of the next row that has any, which takes `row_ns` and `event_ns` for each of them; they share one time stamp, taken
then and late by an exponentially distributed jitter, but never before the last one. A pixel that was read out stays in reset for
the refractory time, then remembers the light it sees at that moment. Under load rows wait: time stamps come late, and pixels that
wait miss changes.
"""

from __future__ import annotations

from typing import Any

import numpy as np
from numba import njit

# What `clock` holds, float64: when the readout is free, the last time stamp.
FREE, STAMP = range(2)
# What `count` holds, int64: the next row, pixels waiting, first and number of held pixels, random numbers drawn, events put out.
ROW, WAITING, FIRST, HELD, DRAWN, OUT = range(6)


def arbiter_state(width: int, height: int) -> dict[str, Any]:
    """Return the arbiter's state for a sensor, with nothing waiting and nothing held."""
    pixels = width * height
    return {
        "clock": np.array([-1e300, -1e300]),
        "count": np.zeros(6, np.int64),
        "head": np.full(height, -1, np.int32),
        "following": np.empty(pixels, np.int32),
        "asked": np.empty(pixels, np.uint8),
        "cause": np.empty(pixels, np.int32),
        "held": np.empty(pixels, np.int32),
        "release": np.empty(pixels),
    }


@njit(cache=True)
def uniform(seed: int, n: int) -> float:
    """Return the n-th random number in [0, 1) of a seed: splitmix64 (Steele, Lea and Flood 2014)."""
    z = np.uint64(seed) + np.uint64(n) * np.uint64(0x9E3779B97F4A7C15)
    z = (z ^ (z >> np.uint64(30))) * np.uint64(0xBF58476D1CE4E5B9)
    z = (z ^ (z >> np.uint64(27))) * np.uint64(0x94D049BB133111EB)
    z = z ^ (z >> np.uint64(31))
    return float(z >> np.uint64(11)) * (1.0 / 9007199254740992.0)


@njit(cache=True)
def let_go(now, pixels, readout, normals, jitter, seed):  # type: ignore[no-untyped-def]
    """Release the pixels whose refractory time is over: each remembers the light it sees, and draws its next thresholds."""
    level, high, low, on, off = pixels
    count, held, release = readout[1], readout[6], readout[7]
    capacity = len(held)
    while count[HELD] > 0 and release[count[FIRST]] <= now:
        pixel = held[count[FIRST]]
        count[FIRST] = (count[FIRST] + 1) % capacity
        count[HELD] -= 1
        count[DRAWN] += 1
        first = int(uniform(seed, count[DRAWN]) * (len(normals) - 1))
        high[pixel] = level[pixel] + on[pixel] * (np.float32(1) + jitter * normals[first])
        low[pixel] = level[pixel] - off[pixel] * (np.float32(1) + jitter * normals[first + 1])


@njit(cache=True)
def take_in(now, i, asks, pixels, readout, normals, jitter, width, seed):  # type: ignore[no-untyped-def]
    """Let the pixels ask that do so until now, from the i-th on; return the index of the next. Who waits or is held cannot ask."""
    at, where, brighter, by = asks
    high, low = pixels[1], pixels[2]
    _, count, head, following, asked, cause, _, _ = readout
    while i < len(at) and at[i] <= now:
        let_go(at[i], pixels, readout, normals, jitter, seed)
        pixel = where[i]
        if not np.isnan(high[pixel]):
            high[pixel] = low[pixel] = np.nan
            asked[pixel], cause[pixel] = brighter[i], by[i]
            row = pixel // width
            following[pixel] = head[row]
            head[row] = pixel
            count[WAITING] += 1
        i += 1
    return i


@njit(cache=True)
def serve(until, asks, pixels, readout, normals, settings, seed, out):  # type: ignore[no-untyped-def]
    """Take in what the pixels ask, in order of time, and read rows out until a moment.

    Parameters
    ----------
    until : float
        Microseconds; rows whose turn comes later wait for the next call.
    asks : tuple
        Time (float64, ascending), pixel, polarity and particle (-1 for noise) of each event wished for, before `until`.
    pixels, readout : tuple
        State; the levels at which a pixel asks are NaN while it waits or is held.
    settings : tuple
        Row, event and jitter times and refractory time in microseconds, the thresholds' jitter, and the sensor's width.
    out : tuple
        Columns for the events: t_us, x, y, p, particle.
    """
    at = asks[0]
    clock, count, head, following, asked, cause, held, release = readout
    row_us, event_us, late_us, refractory_us, jitter, width = settings
    out_t, out_x, out_y, out_p, out_by = out
    height, capacity = len(head), len(held)
    line = np.empty(width, np.int32)
    i, total = 0, len(at)
    while True:
        now = clock[FREE]
        if count[WAITING] == 0:
            if i == total:
                break
            now = max(now, at[i])
        now = min(now, until)
        i = take_in(now, i, asks, pixels, readout, normals, jitter, width, seed)
        if now >= until or count[OUT] + width > len(out_t):
            break
        if count[WAITING] == 0:
            continue
        row = count[ROW]
        while head[row] < 0:
            row = row + 1 if row + 1 < height else 0
        count[ROW] = row + 1 if row + 1 < height else 0
        n = 0
        pixel = head[row]
        while pixel >= 0:
            k = n
            while k > 0 and line[k - 1] > pixel:
                line[k] = line[k - 1]
                k -= 1
            line[k] = pixel
            n += 1
            pixel = following[pixel]
        head[row] = -1
        count[WAITING] -= n
        clock[FREE] = now + row_us + n * event_us
        count[DRAWN] += 1
        stamp = now - late_us * np.log(1 - uniform(seed, count[DRAWN]))
        clock[STAMP] = max(clock[STAMP], stamp)
        for k in range(n):
            pixel = line[k]
            to = count[OUT]
            out_t[to] = int(np.floor(clock[STAMP]))
            out_x[to], out_y[to] = pixel - row * width, row
            out_p[to], out_by[to] = asked[pixel], cause[pixel]
            count[OUT] += 1
            behind = (count[FIRST] + count[HELD]) % capacity
            held[behind] = pixel
            release[behind] = clock[FREE] + refractory_us
            count[HELD] += 1
    take_in(np.inf, i, asks, pixels, readout, normals, jitter, width, seed)  # the readout is late: they wait
