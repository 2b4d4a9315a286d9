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
from sensors.cytometry.holograms import LEVELS, Illumination
from sensors.cytometry.parameters import CytometerParameters
from sensors.cytometry.runs import SENSOR, generator

LAG_STEPS = 10  # for which a pixel is still followed after the particle's light has left it
NORMALS = 1 << 16


@dataclass
class Pixels:
    """State and constants of all pixels: float32 [pixels] unless said otherwise.

    Attributes
    ----------
    level : numpy.ndarray
        v.
    memory : numpy.ndarray
        v at the last event; NaN while the pixel waits to be read out or is held in reset.
    on, off : numpy.ndarray
        Thresholds of the next event.
    on_mean, off_mean : numpy.ndarray
        Thresholds of the pixel, on average.
    leak : numpy.ndarray
        How much the memory falls in a microsecond.
    slowness : numpy.ndarray
        Time constant over the time step, in light without particles.
    noise_hz : numpy.ndarray
        float64: rate of noise events.
    """

    level: np.ndarray
    memory: np.ndarray
    on: np.ndarray
    off: np.ndarray
    on_mean: np.ndarray
    off_mean: np.ndarray
    leak: np.ndarray
    slowness: np.ndarray
    noise_hz: np.ndarray

    @property
    def state(self) -> tuple[np.ndarray, ...]:
        """What the kernels change, and the mean thresholds."""
        return self.level, self.memory, self.on, self.off, self.on_mean, self.off_mean


def make_pixels(parameters: CytometerParameters, light: Illumination) -> Pixels:
    """Return the pixels of a sensor, each at some moment between two leak events.

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
    memory = (-on * rng.random(pixels, np.float32)).astype(np.float32)
    tau = np.maximum(pixel.response_us * parameters.optics.stray * light.inverse.ravel(), pixel.fastest_us)
    slowness = (tau / parameters.step_us).astype(np.float32)
    return Pixels(np.zeros(pixels, np.float32), memory, on.copy(), off.copy(), on, off, leak, slowness, noise)


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
    level, memory, on, _, _, _ = pixels
    length = np.float32(stop - start)
    leaked = 0
    for pixel in range(len(memory)):
        memory[pixel] -= leak[pixel] * length
        leaked += level[pixel] - memory[pixel] > on[pixel]
    n = len(at)
    t, p = np.empty(n + leaked), np.empty(n + leaked, np.int32)
    polarity, cause = np.ones(n + leaked, np.uint8), np.full(n + leaked, -1, np.int32)
    t[:n], p[:n], polarity[:n], cause[:n] = at, where, brighter, by
    if leaked:
        for pixel in range(len(memory)):
            over = level[pixel] - memory[pixel] - on[pixel]
            if over > 0:
                t[n] = max(start, stop - over / leak[pixel])
                p[n] = pixel
                n += 1
    order = np.argsort(t, kind="mergesort")
    serve(stop, (t[order], p[order], polarity[order], cause[order]), pixels, readout, normals, settings, seed, out)
    let_go(stop, pixels, readout, normals, settings[4], seed)


@njit(cache=True)
def _one(ratio: np.ndarray) -> None:
    for k in range(len(ratio)):
        ratio[k] = np.float32(1)


@njit(cache=True)
def _add(ratio, light, fringe, f, a, inverse, cross):  # type: ignore[no-untyped-def]
    """Add what a particle lit with amplitude a adds, from a table that is moved by the fraction f of a pixel."""
    g = np.float32(1) - f
    for k in range(len(ratio)):
        shown = a * (g * light[k] + f * light[k + 1]) * inverse[k] + (g * fringe[k] + f * fringe[k + 1]) * cross[k]
        ratio[k] += a * shown


@njit(cache=True)
def _logarithm(bits, ratio, mantissa_bits, mantissa, out):  # type: ignore[no-untyped-def]
    """Write the natural logarithm of `ratio` to `out`, to 1e-6; `bits` and `mantissa_bits` are int32 views of the floats."""
    for k in range(len(ratio)):
        ratio[k] = max(ratio[k], np.float32(0.02))
    for k in range(len(ratio)):
        out[k] = np.float32((bits[k] >> 23) - 127)
        mantissa_bits[k] = (bits[k] & 0x7FFFFF) | 0x3F800000
    for k in range(len(ratio)):
        m = mantissa[k] - np.float32(1)
        series = np.float32(0.01420283) * m - np.float32(0.06658805)  # ln(1 + m) / m on [0, 1]: Chebyshev fit of degree 6
        series = series * m + np.float32(0.14943458)
        series = series * m - np.float32(0.23514864)
        series = series * m + np.float32(0.33112052)
        series = series * m - np.float32(0.49987192)
        series = series * m + np.float32(0.99999876)
        out[k] = series * m + out[k] * np.float32(0.6931472)


@njit(cache=True, error_model="numpy")
def _follow(level, before, ratio, slowness, goal):  # type: ignore[no-untyped-def]
    """Take one implicit Euler step of the photoreceptors towards the logarithm of their light; `before` gets what they were."""
    for k in range(len(level)):
        before[k] = level[k]
        level[k] += ratio[k] / (ratio[k] + slowness[k]) * (goal[k] - level[k])


@njit(cache=True)
def _compare(crossed, places, level, memory, on, off):  # type: ignore[no-untyped-def]
    """Write the places of the pixels whose change is beyond a threshold to `places`; return how many there are."""
    found = 0
    for k in range(len(level)):
        change = level[k] - memory[k]
        crossed[k] = np.uint8(change > on[k]) | np.uint8(change < -off[k])
    for k in range(len(level)):
        found |= crossed[k]
    if not found:
        return 0
    n = 0
    for k in range(len(level)):
        places[n] = k  # without a branch: kept only where it counts
        n += crossed[k]
    return n


@njit(cache=True, error_model="numpy")
def busy(first, steps, step_us, noise, tables, half, moves, scene, pixels, leak, slowness, readout, normals, settings, seed, out):  # type: ignore[no-untyped-def]
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
        The illumination's `inverse` and `cross`, and the column of the beam's axis.
    """
    at, where, brighter, by = noise
    inverse, cross, axis = scene
    slot, reach, number, begins, ends, column0, speed, row0, beside, spot = moves
    level, memory, on, off, _, _ = pixels
    height, width = inverse.shape
    particles = len(slot)
    centre, amplitude, radius = np.empty(particles), np.empty(particles, np.float32), np.empty(particles)
    left, right = np.zeros(particles, np.int64), np.zeros(particles, np.int64)
    ratio, before = np.empty(width, np.float32), np.empty(width, np.float32)
    bits = ratio.view(np.int32)
    exponent, mantissa = np.empty(width, np.float32), np.empty(width, np.float32)
    mantissa_bits = mantissa.view(np.int32)
    crossed, places = np.empty(width, np.uint8), np.empty(width + 1, np.int64)
    room = 4096
    t, p, polarity, cause = np.empty(room), np.empty(room, np.int32), np.empty(room, np.uint8), np.empty(room, np.int32)
    sooner = 0
    for pixel in range(len(memory)):
        memory[pixel] -= leak[pixel] * np.float32(steps * step_us)
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
            low, high = width, 0
            for i in range(particles):
                chord = radius[i] * radius[i] - (y - row0[i]) ** 2
                left[i] = right[i] = 0
                if radius[i] > 0 and chord > 0:
                    chord = min(np.sqrt(chord), half - 1.0)
                    left[i] = max(0, int(np.ceil(centre[i] - chord)))
                    right[i] = min(width, int(np.floor(centre[i] + chord)) + 1)
                    if left[i] < right[i]:
                        low, high = min(low, left[i]), max(high, right[i])
            if low >= high:
                continue
            n_row = high - low
            _one(ratio[:n_row])
            for i in range(particles):
                if left[i] < right[i]:
                    offset = half - centre[i]
                    whole = int(np.floor(offset))
                    f = np.float32(offset - whole)
                    columns = slice(left[i] + whole, right[i] + whole + 1)
                    light, fringe = tables[slot[i], 0, y, columns], tables[slot[i], 1, y, columns]
                    near = slice(left[i], right[i])
                    _add(ratio[left[i] - low : right[i] - low], light, fringe, f, amplitude[i], inverse[y, near], cross[y, near])
            base = y * width
            here = slice(base + low, base + high)
            _logarithm(bits[:n_row], ratio[:n_row], mantissa_bits[:n_row], mantissa[:n_row], exponent[:n_row])
            _follow(level[here], before[:n_row], ratio[:n_row], slowness[here], exponent[:n_row])
            crossing = _compare(crossed[:n_row], places, level[here], memory[here], on[here], off[here])
            for found in range(crossing):
                x = low + places[found]
                pixel = base + x
                up = level[pixel] > memory[pixel]
                goal = memory[pixel] + on[pixel] if up else memory[pixel] - off[pixel]
                rise = level[pixel] - before[x - low]
                part = (goal - before[x - low]) / rise if rise != 0 else np.float32(0)
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
