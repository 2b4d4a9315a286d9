"""Templates against the signal, in integers: where a spike's peak is, which units explain it, and taking one off the signal.

`firmware/src/fitting.c` computes the same in C: there frames of a channel are fetched where they are needed, and what is explained
is taken off the ring itself; here the signal around a spike is a `patch`, in which a register holds frames of one channel.
"""

from __future__ import annotations

import numpy as np

from pipeline import rows
from pipeline.fixed import linked, merged, saturate16
from pipeline.lanes import WIDTH, clipped, load, store

SHIFT = 2  # frames by which a template may be moved to fit
LOCATE = 3  # frames by which the peak may move when neighbours are subtracted
SCALE_BITS = 12
SHORT = 3  # candidates that are tried on all channels


@merged
def extreme(ring, frame, channel, sign):  # type: ignore[no-untyped-def]
    """Return the frame of the largest ``sign * signal`` near `frame`."""
    best = frame
    for n in range(frame - LOCATE, frame + LOCATE + 1):
        if sign * np.int32(ring[n & (len(ring) - 1), channel]) > sign * np.int32(ring[best & (len(ring) - 1), channel]):
            best = n
    return best


@merged
def best_shift(patch, line, first, template, width):  # type: ignore[no-untyped-def]
    """Return the shift, 0 to 2 `SHIFT`, at which one row of a template fits best, and its product with the signal there.

    The signal is `line` of the patch from column `first` on, with `SHIFT` frames more than the template at both ends.
    """
    best, chosen = np.int64(0), 0
    for s in range(2 * SHIFT + 1):
        dot = rows.dot(patch, line, first + s, template, 0, 0, width)
        if s == 0 or dot > best:
            best, chosen = dot, s
    return chosen, best


@merged
def explained_energy(dot, energy, low, high):  # type: ignore[no-untyped-def]
    """Return the energy that a template explains, and its scale in Q12; 0 if the scale would be far below the lowest.

    With scale a held in [low, high], it is 2 a <r, t> - a^2 <t, t>; it counts from a = 0.7 low, where it is 0.4 a^2 <t, t>.
    """
    scale = min(max((dot << np.int64(SCALE_BITS)) // energy, np.int64(low)), np.int64(high))
    own = (((scale * scale) >> np.int64(SCALE_BITS)) * energy) >> np.int64(SCALE_BITS)
    explained = 2 * ((scale * dot) >> np.int64(SCALE_BITS)) - own
    return (explained if explained > (own * 13) >> np.int64(5) else np.int64(0)), scale


@merged
def fit_template(patch, row, first, template, width):  # type: ignore[no-untyped-def]
    """Return the product of a template with the signal from column `first` of the patch on, over all channels."""
    dot = np.int64(0)
    for k in range(len(row)):
        if row[k] >= 0:
            dot += rows.dot(patch, row[k], first, template, k, 0, width)
    return dot


@linked
def likely(  # type: ignore[no-untyped-def]
    ring, at, before, width, patch, first, near, row, unit_channel, template, row_energy, low, high, candidate, own, short
):
    """Put the units that explain most of the signal of their own channel into `short`, best first; return how many.

    `own` >= 0: only that unit. A channel that is not among those of the patch goes into its last row.
    """
    count, spare = 0, len(patch) - 1
    for q in range(len(candidate)):
        u = np.int64(candidate[q])
        if own >= 0 and u != own:
            continue
        c = unit_channel[u]
        line = np.int64(spare)
        for k in range(len(near)):
            if near[k] == c:
                line = np.int64(row[k])
        if line == spare:
            for m in range(width + 2 * SHIFT):
                patch[spare, first + m] = ring[(at - before - SHIFT + m) & (len(ring) - 1), c]
        shift, dot = best_shift(patch, line, first, template[u], width)
        gain, _ = explained_energy(max(dot, np.int64(0)), row_energy[u], low[u], high[u])
        if gain <= 0:
            continue
        place = count
        while place > 0 and short[place - 1, 2] < gain:
            place -= 1
        if place >= SHORT:
            continue
        count = min(count + 1, SHORT)
        for k in range(count - 1, place, -1):
            short[k, 0], short[k, 1], short[k, 2] = short[k - 1, 0], short[k - 1, 1], short[k - 1, 2]
        short[place, 0], short[place, 1], short[place, 2] = u, shift, gain
    return count


@merged
def explain(patch, row, first, template, width, scale):  # type: ignore[no-untyped-def]
    """Take a scaled template out of the signal from column `first` of the patch on, rounded to nearest and saturated; return
    from how many channels: those before the first that is none."""
    half = np.int32(1 << (SCALE_BITS - 1))
    whole = width - width % WIDTH
    count = 0
    while count < len(row) and row[count] >= 0:
        for m in range(0, whole, WIDTH):
            part = (load(template, count, m) * scale + half) >> SCALE_BITS
            store(patch, row[count], first + m, clipped(load(patch, row[count], first + m) - part, -32768, 32767))
        for m in range(whole, width):
            rest = np.int32(np.int32(template[count, m]) * np.int32(scale) + half) >> np.int32(SCALE_BITS)
            patch[row[count], first + m] = saturate16(np.int32(patch[row[count], first + m]) - rest)
        count += 1
    return count


@linked
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
