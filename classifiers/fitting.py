"""Templates against the signal, in integers: where a spike's peak is, which units explain it, and taking one off the signal.

`firmware/src/fitting.c` is the same text in C.
"""

from __future__ import annotations

import numpy as np

from pipeline.fixed import inlined, kernel

SHIFT = 2  # frames by which a template may be moved to fit
LOCATE = 3  # frames by which the peak may move when neighbours are subtracted
SCALE_BITS = 12
SHORT = 3  # candidates that are tried on all channels


@inlined
def extreme(ring, frame, channel, sign):  # type: ignore[no-untyped-def]
    """Return the frame of the largest ``sign * signal`` near `frame`."""
    best = frame
    for n in range(frame - LOCATE, frame + LOCATE + 1):
        if sign * np.int32(ring[n & (len(ring) - 1), channel]) > sign * np.int32(ring[best & (len(ring) - 1), channel]):
            best = n
    return best


@kernel
def cut(ring, frame, neighbour, channel, before, width, window):  # type: ignore[no-untyped-def]
    """Copy the signal of `channel` and its neighbours, from `before` frames ahead of `frame`: int16 [neighbours, width]."""
    for k in range(neighbour.shape[1]):
        c = neighbour[channel, k]
        if c < 0:
            window[k, :width] = 0
            continue
        for m in range(width):
            window[k, m] = ring[(frame - before + m) & (len(ring) - 1), c]


@kernel
def best_shift(window, template, width):  # type: ignore[no-untyped-def]
    """Return the shift, 0 to 2 `SHIFT`, at which one row of a template fits best, and its product with the signal there.

    `window` has `SHIFT` frames more than the template at both ends.
    """
    best, chosen = np.int64(0), 0
    for s in range(2 * SHIFT + 1):
        dot = np.int64(0)
        for m in range(width):
            dot += np.int64(window[m + s]) * np.int64(template[m])
        if s == 0 or dot > best:
            best, chosen = dot, s
    return chosen, best


@inlined
def explained_energy(dot, energy, low, high):  # type: ignore[no-untyped-def]
    """Return the energy that a template explains, and its scale in Q12; 0 if the scale would be far below the lowest.

    With scale a held in [low, high], it is 2 a <r, t> - a^2 <t, t>; it counts from a = 0.7 low, where it is 0.4 a^2 <t, t>.
    """
    scale = min(max((dot << np.int64(SCALE_BITS)) // energy, np.int64(low)), np.int64(high))
    own = (((scale * scale) >> np.int64(SCALE_BITS)) * energy) >> np.int64(SCALE_BITS)
    explained = 2 * ((scale * dot) >> np.int64(SCALE_BITS)) - own
    return (explained if explained > (own * 13) >> np.int64(5) else np.int64(0)), scale


@kernel
def fit_template(window, template, neighbours, width, shift):  # type: ignore[no-untyped-def]
    """Return the product of a template with the signal at one shift, over all channels."""
    dot = np.int64(0)
    for k in range(neighbours):
        for m in range(width):
            dot += np.int64(window[k, m + shift]) * np.int64(template[k, m])
    return dot


@kernel
def likely(  # type: ignore[no-untyped-def]
    ring, at, on, before, width, unit_channel, template, row_energy, low, high, candidates, candidate, own, row, short
):
    """Put the units that explain most of the signal of their own channel into `short`, best first; return how many.

    `own` >= 0: only that unit. `row` is scratch, int16.
    """
    count = 0
    gains = np.zeros(SHORT, np.int64)
    for q in range(candidates[on]):
        u = np.int64(candidate[on, q])
        if own >= 0 and u != own:
            continue
        c = unit_channel[u]
        for m in range(width + 2 * SHIFT):
            row[m] = ring[(at - before - SHIFT + m) & (len(ring) - 1), c]
        shift, dot = best_shift(row, template[u, 0], width)
        gain, _ = explained_energy(max(dot, np.int64(0)), row_energy[u], low[u], high[u])
        if gain <= 0:
            continue
        place = count
        while place > 0 and gains[place - 1] < gain:
            place -= 1
        if place >= SHORT:
            continue
        count = min(count + 1, SHORT)
        for k in range(count - 1, place, -1):
            gains[k], short[k, 0], short[k, 1] = gains[k - 1], short[k - 1, 0], short[k - 1, 1]
        gains[place], short[place, 0], short[place, 1] = gain, u, shift
    return count


@kernel
def explain(ring, frame, neighbour, channel, template, before, width, scale):  # type: ignore[no-untyped-def]
    """Take a scaled template out of the signal, rounded to nearest and saturated."""
    half = np.int32(1 << (SCALE_BITS - 1))
    count = 0
    while count < neighbour.shape[1] and neighbour[channel, count] >= 0:
        count += 1
    for m in range(width):
        line = ring[(frame - before + m) & (len(ring) - 1)]
        for k in range(count):
            c = neighbour[channel, k]
            part = np.int32(np.int32(template[k, m]) * np.int32(scale) + half) >> np.int32(SCALE_BITS)
            line[c] = np.int16(min(max(np.int32(line[c]) - part, np.int32(-32768)), np.int32(32767)))


@kernel
def stands_out(ring, frame, channel, neighbour, level, sign, reach):  # type: ignore[no-untyped-def]
    """Return whether the signal has its largest value of the neighbourhood here, beyond the level."""
    value = sign * np.int32(ring[frame & (len(ring) - 1), channel])
    if value < level[channel]:
        return False
    for k in range(neighbour.shape[1]):
        c = neighbour[channel, k]
        if c < 0:
            break
        for n in range(frame - reach, frame + reach + 1):
            other = sign * np.int32(ring[n & (len(ring) - 1), c])
            if other > value or (other == value and (n < frame or (n == frame and c < channel))):
                return False
    return True
