"""What the pixels of an event camera make of the light, near particles in time steps and elsewhere in one go.

A pixel's photoreceptor follows the logarithm of its light, x, with a time constant tau that falls as the light grows ::

    v' = (x - v) / tau

x is counted from the light without particles, so that a pixel that sees none has v = 0. A pixel remembers its v at the last event.
Once v exceeds that memory by its `on` threshold, or falls below by its `off` threshold, it asks to be read out (Lichtsteiner et al.
2008, doi 10.1109/JSSC.2007.914337). Leakage lowers the memory steadily, so that pixels in still light make `on` events at
`leak_hz`. Noise events come as Poisson processes whose rates differ from pixel to pixel, as in v2e (Hu et al. 2021,
doi 10.1109/CVPRW53098.2021.00144). Thresholds differ between pixels, and from event to event.
"""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
from numba import njit

from sensors.cytometry.arbiter import let_go, serve
from sensors.cytometry.holograms import LEVELS
from sensors.cytometry.parameters import CytometerParameters
from sensors.cytometry.runs import SENSOR, generator

LAG_STEPS = 10  # for which a pixel is still followed after the particle's light has left it
NORMALS = 1 << 16
CHUNK = 64  # pixels of a row that are looked at together


@dataclass
class Pixels:
    """State and constants of all pixels: float32 [pixels] unless said otherwise.

    Attributes
    ----------
    level : numpy.ndarray
        v.
    high, low : numpy.ndarray
        v at which the next event comes, brighter or darker; NaN while the pixel waits to be read out or is held in reset.
    on, off : numpy.ndarray
        Thresholds on average: `high` and `low` are about as far from the v that the pixel remembers.
    leak : numpy.ndarray
        How much the memory falls in a microsecond.
    noise_hz : numpy.ndarray
        float64: rate of noise events.
    """

    level: np.ndarray
    high: np.ndarray
    low: np.ndarray
    on: np.ndarray
    off: np.ndarray
    leak: np.ndarray
    noise_hz: np.ndarray

    @property
    def state(self) -> tuple[np.ndarray, ...]:
        """What the kernels change, and the thresholds."""
        return self.level, self.high, self.low, self.on, self.off


def make_pixels(parameters: CytometerParameters) -> Pixels:
    """Return the pixels of a sensor, each at some moment between two leak events.

    Where particles pass, brighter events have left the memory anywhere between still light and where a darker event comes.

    Parameters
    ----------
    parameters : CytometerParameters
        As they are under the run's conditions; the pattern of mismatch is that of the seed, the same in every run.
    """
    pixel, rng = parameters.pixel, generator(parameters, SENSOR)
    pixels = pixel.width * pixel.height

    def unequal(mean: float, spread: float) -> np.ndarray:
        return (mean * np.maximum(1 + spread * rng.standard_normal(pixels), 0.2)).astype(np.float32)

    on, off = unequal(pixel.on_threshold, pixel.mismatch), unequal(pixel.off_threshold, pixel.mismatch)
    leak = unequal(pixel.leak_hz * pixel.on_threshold * 1e-6, 0.3)
    spread = pixel.shot_spread
    noise = pixel.shot_hz * np.exp(spread * rng.standard_normal(pixels) - spread * spread / 2)
    hot = rng.choice(pixels, min(pixel.hot_pixels, pixels), replace=False)
    noise[hot] = pixel.hot_hz
    part = rng.random(pixels, np.float32)
    high = on + off * part if parameters.rate > 0 else on * part
    return Pixels(np.zeros(pixels, np.float32), high, high - on - off, on, off, leak, noise)


@njit(cache=True)
def idle(start, stop, noise, pixels, leak, readout, normals, settings, seed, out):  # type: ignore[no-untyped-def]
    """Pass a stretch without particles: noise events and leak events only.

    Parameters
    ----------
    start, stop : float
        Microseconds.
    noise : tuple
        Time, pixel, polarity and cause of noise events, as `serve` takes what the pixels ask.
    """
    at, where, brighter, by = noise
    level, high, low, _, _ = pixels
    length = np.float32(stop - start)
    leaked = 0
    for pixel in range(len(level)):
        high[pixel] -= leak[pixel] * length
        low[pixel] -= leak[pixel] * length
        leaked += level[pixel] > high[pixel]
    n = len(at)
    t, p = np.empty(n + leaked), np.empty(n + leaked, np.int32)
    polarity, cause = np.ones(n + leaked, np.uint8), np.full(n + leaked, -1, np.int32)
    t[:n], p[:n], polarity[:n], cause[:n] = at, where, brighter, by
    if leaked:
        for pixel in range(len(level)):
            over = level[pixel] - high[pixel]
            if over > 0:
                t[n] = max(start, stop - over / leak[pixel]) if leak[pixel] > 0 else start  # or left behind by a passage
                p[n] = pixel
                n += 1
    order = np.argsort(t, kind="mergesort")
    serve(stop, (t[order], p[order], polarity[order], cause[order]), pixels, readout, normals, settings, seed, out)
    let_go(stop, pixels, readout, normals, settings[4], seed)


@njit(cache=True, error_model="numpy")
def _dark(n, u, across, down, stray, inverse, ratio):  # type: ignore[no-untyped-def]
    """Write the beam's amplitude u on a row, and one over the light without particles; set the light relative to that to 1."""
    for k in range(n):
        u[k] = across[k] * down
        inverse[k] = np.float32(1) / (u[k] * u[k] + stray)
        ratio[k] = np.float32(1)


@njit(cache=True)
def _add(ratio, light, fringe, f, a, u, inverse):  # type: ignore[no-untyped-def]
    """Add what a particle lit with amplitude a adds, from a table that is moved by the fraction f of a pixel."""
    g = np.float32(1) - f
    for k in range(len(ratio)):
        shown = a * (g * light[k] + f * light[k + 1]) + (g * fringe[k] + f * fringe[k + 1]) * u[k]
        ratio[k] += a * shown * inverse[k]


@njit(cache=True)
def _logarithm(n, bits, ratio, mantissa_bits, mantissa, out):  # type: ignore[no-untyped-def]
    """Write the natural logarithm of `ratio` to `out`, to 1e-5; `bits` and `mantissa_bits` are int32 views of the floats."""
    least, half = np.float32(0.02), np.float32(0.5)
    for k in range(n):
        ratio[k] = half * (ratio[k] + least + abs(ratio[k] - least))  # the larger of both: a comparison would not be vectorised
    for k in range(n):
        out[k] = np.float32(bits[k]) * np.float32(2.0**-23) - np.float32(127)  # exponent + mantissa - 1, without a shift
        mantissa_bits[k] = (bits[k] & 0x7FFFFF) | 0x3F800000
    for k in range(n):
        m = mantissa[k] - np.float32(1)
        series = np.float32(0.01420283) * m - np.float32(0.06658805)  # ln(1 + m) / m on [0, 1]: Chebyshev fit of degree 6
        series = series * m + np.float32(0.14943458)
        series = series * m - np.float32(0.23514864)
        series = series * m + np.float32(0.33112052)
        series = series * m - np.float32(0.49987192)
        series = series * m + np.float32(0.99999876)
        out[k] = series * m + (out[k] - m) * np.float32(0.6931472)


@njit(cache=True, error_model="numpy")
def _follow(n, level, before, ratio, inverse, slow, fast, goal):  # type: ignore[no-untyped-def]
    """Take one implicit Euler step of the photoreceptors towards the logarithm of their light; `before` gets what they were.

    `slow` and `fast` are the time constants in stray light and in bright light, over the time step; the former for `inverse` = 1.
    """
    for k in range(n):
        before[k] = level[k]
        tau = slow * inverse[k]
        tau = tau if tau > fast else fast
        level[k] += ratio[k] / (ratio[k] + tau) * (goal[k] - level[k])


@njit(cache=True)
def _compare(n, crossed, places, level, high, low):  # type: ignore[no-untyped-def]
    """Write the places of the pixels whose level is beyond a threshold to `places`; return how many there are."""
    for k in range(n):
        crossed[k] = np.uint8(level[k] > high[k]) | np.uint8(level[k] < low[k])
    count = 0
    for start in range(0, n, CHUNK):
        found = np.uint8(0)
        for k in range(start, min(start + CHUNK, n)):
            found |= crossed[k]
        if found:
            for k in range(start, min(start + CHUNK, n)):
                places[count] = k  # without a branch: kept only where it counts
                count += crossed[k]
    return count


@njit(cache=True, error_model="numpy")
def busy(first, steps, step_us, noise, tables, half, moves, scene, pixels, leak, readout, normals, settings, seed, out):  # type: ignore[no-untyped-def]
    """Pass time steps in which particles are lit: pixels within their reach follow the light.

    Parameters
    ----------
    first, steps : int
        The steps, counted from time 0.
    step_us : float
        Length of a step.
    noise : tuple
        As for `idle`.
    tables : numpy.ndarray
        float32 [slots, 2, height, columns]: see `sensors.cytometry.holograms.HologramBank.table`.
    half : int
        Columns of a table on each side of its particle's centre.
    moves : tuple
        For each particle: slot, reach, number, first and last step, column
        at time 0, speed in pixels per microsecond, row, the beam's amplitude in its row, and the beam's radius in pixels.
    scene : tuple
        The beam's amplitude along a row and along a column (their product is that of a pixel), the stray light, the column of the
        beam's axis, and the time constants over the time step: the one in stray light times `stray`, and the fastest.
    """
    at, where, brighter, by = noise
    across, down, stray, axis, slow, fast = scene
    slot, reach, number, begins, ends, column0, speed, row0, beside, spot = moves
    level, high, low, _, _ = pixels
    height, width = len(down), len(across)
    particles = len(slot)
    centre, amplitude, radius = np.empty(particles), np.empty(particles, np.float32), np.empty(particles)
    left, right = np.zeros(particles, np.int64), np.zeros(particles, np.int64)
    ratio, before = np.empty(width, np.float32), np.empty(width, np.float32)
    u, inverse = np.empty(width, np.float32), np.empty(width, np.float32)
    bits = ratio.view(np.int32)
    goals, mantissa = np.empty(width, np.float32), np.empty(width, np.float32)
    mantissa_bits = mantissa.view(np.int32)
    crossed, places = np.empty(width, np.uint8), np.empty(width + 1, np.int64)
    room = 4096
    t, p, polarity, cause = np.empty(room), np.empty(room, np.int32), np.empty(room, np.uint8), np.empty(room, np.int32)
    sooner = 0
    for pixel in range(len(level)):
        high[pixel] -= leak[pixel] * np.float32(steps * step_us)
        low[pixel] -= leak[pixel] * np.float32(steps * step_us)
    for step in range(first, first + steps):
        begin = step * step_us
        for i in range(particles):
            centre[i], amplitude[i], radius[i] = 0.0, np.float32(0), -1.0
            if begins[i] <= step < ends[i]:
                centre[i] = column0[i] + speed[i] * (begin + 0.5 * step_us)
                amplitude[i] = beside[i] * np.exp(-(((centre[i] - axis) / spot[i]) ** 2))
                past = centre[i] - speed[i] * LAG_STEPS * step_us
                most = max(amplitude[i], beside[i] * np.exp(-(((past - axis) / spot[i]) ** 2)))
                radius[i] = reach[i, min(int(most * LEVELS) + 1, LEVELS)]
        n = 0
        for y in range(height):
            first_x, end_x = width, 0
            for i in range(particles):
                chord = radius[i] * radius[i] - (y - row0[i]) ** 2
                left[i] = right[i] = 0
                if radius[i] > 0 and chord > 0:
                    chord = min(np.sqrt(chord), half - 1.0)
                    left[i] = max(0, int(np.ceil(centre[i] - chord)))
                    right[i] = min(width, int(np.floor(centre[i] + chord)) + 1)
                    if left[i] < right[i]:
                        first_x, end_x = min(first_x, left[i]), max(end_x, right[i])
            if first_x >= end_x:
                continue
            n_row = end_x - first_x
            _dark(n_row, u, across[first_x:end_x], down[y], stray, inverse, ratio)
            for i in range(particles):
                if left[i] < right[i]:
                    offset = half - centre[i]
                    whole = int(np.floor(offset))
                    f = np.float32(offset - whole)
                    columns = slice(left[i] + whole, right[i] + whole + 1)
                    light, fringe = tables[slot[i], 0, y, columns], tables[slot[i], 1, y, columns]
                    near = slice(left[i] - first_x, right[i] - first_x)
                    _add(ratio[near], light, fringe, f, amplitude[i], u[near], inverse[near])
            base = y * width
            here = slice(base + first_x, base + end_x)
            levels = level[here]
            _logarithm(n_row, bits, ratio, mantissa_bits, mantissa, goals)
            _follow(n_row, levels, before, ratio, inverse, slow, fast, goals)
            crossing = _compare(n_row, crossed, places, levels, high[here], low[here])
            for found in range(crossing):
                x = first_x + places[found]
                pixel = base + x
                up = level[pixel] > high[pixel]
                goal = high[pixel] if up else low[pixel]
                rise = level[pixel] - before[x - first_x]
                part = (goal - before[x - first_x]) / rise if rise != 0 else np.float32(0)
                best, strongest = -1, np.float32(-1)
                for i in range(particles):
                    if left[i] <= x < right[i]:
                        light = amplitude[i] ** 2 * tables[slot[i], 0, y, x + int(np.floor(half - centre[i]))]
                        if light > strongest:
                            best, strongest = number[i], light
                if n == len(t):
                    t, p = np.append(t, np.empty(n)), np.append(p, np.empty(n, np.int32))
                    polarity, cause = np.append(polarity, np.empty(n, np.uint8)), np.append(cause, np.empty(n, np.int32))
                t[n] = begin + step_us * min(max(part, np.float32(0)), np.float32(0.999))
                p[n], polarity[n], cause[n] = pixel, up, best
                n += 1
        later = sooner
        while later < len(at) and at[later] < begin + step_us:
            later += 1
        all_t, all_p = np.append(t[:n], at[sooner:later]), np.append(p[:n], where[sooner:later])
        all_polarity, all_cause = np.append(polarity[:n], brighter[sooner:later]), np.append(cause[:n], by[sooner:later])
        sooner = later
        order = np.argsort(all_t, kind="mergesort")
        asks = (all_t[order], all_p[order], all_polarity[order], all_cause[order])
        serve(begin + step_us, asks, pixels, readout, normals, settings, seed, out)
        let_go(begin + step_us, pixels, readout, normals, settings[4], seed)
