"""The spike sorter's step, in integers: classify, subtract, look again.

Spikes wait until everything that may overlap them is known, and are then taken largest first. Each is classified by its features
(`gaussian.nearest`); where the features are too far from every cluster, as they are when spikes overlap, by the template that
explains most of the signal. The template, scaled to the spike, is subtracted, and what then stands out of the rest is taken as a
further, hidden spike (matching pursuit, Mallat and Zhang 1993; on spikes, Marre et al. 2012, J. Neurosci. 32, and Pillow et al.
2013, PLoS ONE 8(5): e62123). Time advances in ticks of `TICK` frames counted from the start of the stream, so the outcome does
not depend on blocks. `firmware/src/sorter.c` is the same text in C.
"""

from __future__ import annotations

import numpy as np

from classifiers.gaussian import nearest
from pipeline import lanes
from pipeline.fixed import inlined, kernel
from pipeline.neural.detection import NO_CHANNEL, NO_TIME

TICK = 16  # frames
PER_TICK = 16  # spikes that one tick may bring: 24,000 a second at 24 kHz
FRAME_MASK = (1 << 30) - 1
SHIFT = 2  # frames by which a template may be moved to fit
LOCATE = 3  # frames by which the peak may move when neighbours are subtracted
SCALE_BITS = 12
FEATURE_BITS = 12  # features are Q3: products in Q15 shifted by this
SHORT = 3  # candidates that are tried on all channels
STACK = 64  # hidden spikes of one
OLDEST = 512  # frames by which a spike may be older than the block that brings it
DEPTH = 3  # hidden spikes below hidden spikes


@inlined
def _extreme(ring, frame, channel, sign):  # type: ignore[no-untyped-def]
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
def project(window, component, neighbours, first, width, dimensions, seen, feature):  # type: ignore[no-untyped-def]
    """Fill the features of one window: components in Q15, features in Q3, rounded down. `seen` is scratch, int16."""
    for k in range(neighbours):
        for m in range(width):
            seen[0, k * width + m] = window[k, first + m]
    for p in range(dimensions):
        total = lanes.dot_any(seen, 0, 0, component, p, 0, neighbours * width)
        feature[p] = np.int32(total >> np.int64(FEATURE_BITS))


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
def _likely(  # type: ignore[no-untyped-def]
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
def subtract(ring, frame, neighbour, channel, template, before, width, scale):  # type: ignore[no-untyped-def]
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
def _stands_out(ring, frame, channel, neighbour, level, sign, reach):  # type: ignore[no-untyped-def]
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


@kernel
def _take(  # type: ignore[no-untyped-def]
    at, on, size, start, width, before, feature_from, feature_width, dimensions, limit, adapt, reach, neighbours,
    neighbour, component, clusters, cluster_unit, centre, inverse, offset,
    unit_channel, template, energy, row_energy, low, high, candidates, candidate, level,
    ring, drift, stack, window, row, seen, short, feature, moved, scratch,
    out_at, out_channel, out_amplitude, out_unit, count, room,
):  # fmt: skip
    """Take one spike, and what hides behind it, off the signal; return the new number of outputs."""
    stack[0, 0], stack[0, 1], stack[0, 2], stack[0, 3] = at, on, size, 0
    waiting = 1
    while waiting > 0:
        waiting -= 1
        at, on, size, depth = stack[waiting, 0], stack[waiting, 1], stack[waiting, 2], stack[waiting, 3]
        sign = np.int32(1) if size > 0 else np.int32(-1)
        at = _extreme(ring, at, on, sign)
        peak = np.int32(ring[at & (len(ring) - 1), on])
        if sign * peak < min(level[on], abs(size)):
            continue  # another spike has explained it
        cut(ring, at, neighbour, on, before + SHIFT, width + 2 * SHIFT, window)
        project(window, component[on], neighbours, SHIFT + feature_from, feature_width, dimensions, seen, feature)
        for k in range(clusters[on]):
            for a in range(dimensions):
                moved[k, a] = np.int64(centre[on, k, a]) + (np.int64(drift[on, k, a]) >> np.int64(8))
        own = nearest(feature, moved, inverse[on], offset[on], clusters[on], np.int64(limit), dimensions, scratch)
        unit, explained, shown = np.int64(-1), np.int64(0), np.int64(on)
        shift, scale = np.int64(0), np.int64(0)
        wanted = np.int64(cluster_unit[on, own]) if own >= 0 else np.int64(-1)
        found = _likely(
            ring, at, on, before, width, unit_channel, template, row_energy, low, high, candidates, candidate, wanted, row, short
        )
        for q in range(found):
            u = short[q, 0]
            if unit_channel[u] != shown:
                shown = np.int64(unit_channel[u])
                cut(ring, at, neighbour, shown, before + SHIFT, width + 2 * SHIFT, window)
            gained, size_of = explained_energy(
                fit_template(window, template[u], neighbours, width, short[q, 1]), energy[u], low[u], high[u]
            )
            if gained > explained:
                unit, explained, shift, scale = u, gained, short[q, 1] - SHIFT, size_of
        if unit < 0 and own >= 0:
            unit, scale = np.int64(cluster_unit[on, own]), np.int64(0)  # known by its features, but not to be subtracted
        if own >= 0 and depth == 0:
            for a in range(dimensions):
                away = ((np.int64(feature[a]) - np.int64(centre[on, own, a])) << np.int64(8)) - np.int64(drift[on, own, a])
                drift[on, own, a] = np.int32(
                    min(max(drift[on, own, a] + (away >> np.int64(adapt)), np.int64(-(2**31))), np.int64(2**31 - 1))
                )
        if count < room:
            place = unit_channel[unit] if unit >= 0 else on
            out_at[count], out_channel[count], out_unit[count] = at + shift - start, place, unit
            out_amplitude[count] = ring[(at + shift) & (len(ring) - 1), place] if unit >= 0 else peak
            count += 1
        if unit < 0 or scale == 0:
            continue
        home = unit_channel[unit]
        subtract(ring, at + shift, neighbour, home, template[unit], before, width, scale)
        if depth >= DEPTH:
            continue
        for k in range(neighbours):
            c = neighbour[home, k]
            if c < 0:
                break
            for m in range(max(0, before - reach), min(width, before + reach + 1)):
                n = at + shift - before + m
                value = sign * np.int32(ring[n & (len(ring) - 1), c])
                if value < level[c] or value * 4 < abs(np.int32(template[unit, k, m])):
                    continue  # the rest of a large spike is a few per cent of it
                if waiting < len(stack) and _stands_out(ring, n, c, neighbour, level, sign, 2 * LOCATE):
                    stack[waiting, 0], stack[waiting, 1] = n, c
                    stack[waiting, 2], stack[waiting, 3] = np.int32(ring[n & (len(ring) - 1), c]), depth + 1
                    waiting += 1
    return count


@kernel
def _wait(waiting, wait_at, wait_channel, wait_amplitude, dropped, at, channel, amplitude):  # type: ignore[no-untyped-def]
    """Put a spike on a list; where that is full, drop and count it."""
    w = waiting[0]
    if w == len(wait_at):
        dropped[0] += 1
        return
    wait_at[w], wait_channel[w], wait_amplitude[w] = at, channel, amplitude
    waiting[0] += 1


@kernel
def _expected(tick_of, tick_spikes, ticks, frame, dropped):  # type: ignore[no-untyped-def]
    """Return whether a spike is among the first `PER_TICK` of its tick, else count it as dropped: so no list can be filled by one
    block that another cut of the stream would not fill."""
    tick = np.int32((frame & FRAME_MASK) // TICK)
    k = tick % ticks
    if tick_of[k] != tick:
        tick_of[k], tick_spikes[k] = tick, 0
    if tick_spikes[k] == PER_TICK:
        dropped[0] += 1
        return False
    tick_spikes[k] += 1
    return True


@kernel
def _admit(  # type: ignore[no-untyped-def]
    due, arriving, arrive_at, arrive_channel, arrive_amplitude, waiting, wait_at, wait_channel, wait_amplitude, dropped,
    start, tick_of, tick_spikes, ticks, next_spike, spikes, spike_at, spike_channel, spike_amplitude,
):  # fmt: skip
    """Let the spikes up to `due` wait their turn: those that arrived with earlier blocks, then this block's; return how far."""
    first = 0
    while first < arriving[0] and arrive_at[first] <= due:
        one, on, size = arrive_at[first], arrive_channel[first], arrive_amplitude[first]
        _wait(waiting, wait_at, wait_channel, wait_amplitude, dropped, one, on, size)
        first += 1
    arriving[0] -= first
    if first > 0:
        for a in range(arriving[0]):
            arrive_at[a], arrive_channel[a] = arrive_at[a + first], arrive_channel[a + first]
            arrive_amplitude[a] = arrive_amplitude[a + first]
    while arriving[0] == 0 and next_spike < spikes and spike_at[next_spike] <= due:
        one, on, size = spike_at[next_spike], spike_channel[next_spike], spike_amplitude[next_spike]
        if _expected(tick_of, tick_spikes, ticks, start + one, dropped):
            _wait(waiting, wait_at, wait_channel, wait_amplitude, dropped, one, on, size)
        next_spike += 1
    return next_spike


@kernel
def _next(waiting, wait_at, wait_channel, wait_amplitude, sites, now, delay, reach):  # type: ignore[no-untyped-def]
    """Return the largest spike that has waited long enough and that no larger, later one nearby holds back; -1 if none.

    Being held back ends after two ticks. Whatever could overlap a spike is known by then (`delay` sees to that).
    """
    chosen = -1
    for w in range(waiting[0]):
        age = now - wait_at[w]
        if age < delay or (chosen >= 0 and abs(wait_amplitude[w]) <= abs(wait_amplitude[chosen])):
            continue
        held = False
        if age < delay + 2 * TICK:
            for v in range(waiting[0]):
                other = now - wait_at[v]
                if other < delay and age - other <= reach and abs(wait_amplitude[v]) > abs(wait_amplitude[w]):
                    for k in range(sites.shape[1]):
                        held = held or sites[wait_channel[w], k] == wait_channel[v]
        if not held:
            chosen = w
    return chosen


@kernel
def _ripe(waiting, wait_at, due):  # type: ignore[no-untyped-def]
    """Return whether a spike has waited since frame `due`."""
    oldest = due + 1
    for w in range(waiting[0]):
        oldest = min(oldest, wait_at[w])
    return oldest <= due


@kernel
def _tick(  # type: ignore[no-untyped-def]
    learned, neighbours, width, before, feature_from, feature_width, dimensions, limit, adapt, reach, delay,
    sites, component, clusters, cluster_unit, centre, inverse, offset,
    unit_channel, template, energy, row_energy, low, high, candidates, candidate, level,
    ring, waiting, wait_at, wait_channel, wait_amplitude, drift,
    start, done, out_at, out_channel, out_amplitude, out_unit, count, room,
):  # fmt: skip
    """Take the spikes whose turn has come, `done` frames into the block; return the new number of outputs."""
    stack, short = np.zeros((STACK, 4), np.int64), np.zeros((SHORT, 2), np.int64)
    window, row = np.zeros((neighbours, width + 2 * SHIFT), np.int16), np.zeros(width + 2 * SHIFT, np.int16)
    seen = np.zeros((1, neighbours * feature_width), np.int16)
    feature, scratch = np.zeros(dimensions, np.int32), np.zeros(dimensions, np.int64)
    moved = np.zeros(centre.shape[1:], np.int64)
    while True:
        chosen = _next(waiting, wait_at, wait_channel, wait_amplitude, sites, done, delay, reach)
        if chosen < 0:
            break
        at, on, size = np.int64(wait_at[chosen]), np.int64(wait_channel[chosen]), np.int64(wait_amplitude[chosen])
        waiting[0] -= 1
        for w in range(chosen, waiting[0]):
            wait_at[w], wait_channel[w], wait_amplitude[w] = wait_at[w + 1], wait_channel[w + 1], wait_amplitude[w + 1]
        if learned == 0:
            if count < room:
                out_at[count], out_channel[count], out_amplitude[count], out_unit[count] = at, on, size, -1
                count += 1
            continue
        count = _take(
            start + at, on, size, start, width, before, feature_from, feature_width, dimensions, limit, adapt, reach,
            neighbours, sites, component, clusters, cluster_unit, centre, inverse, offset,
            unit_channel, template, energy, row_energy, low, high, candidates, candidate, level,
            ring, drift, stack, window, row, seen, short, feature, moved, scratch,
            out_at, out_channel, out_amplitude, out_unit, count, room,
        )  # fmt: skip
    return count


@kernel
def process(  # type: ignore[no-untyped-def]
    learned, neighbours, width, before, feature_from, feature_width, dimensions, limit, adapt, arrival, reach, delay,
    ticks, most_clusters, most_units, most_candidates, units,  # noqa: ARG001
    neighbour, component, clusters, cluster_unit, centre, inverse, offset,
    unit_channel, template, energy, row_energy, low, high, candidates, candidate, level,
    frame, ring, tick_of, tick_spikes, arriving, arrive_at, arrive_channel, arrive_amplitude, waiting, wait_at, wait_channel,
    wait_amplitude, drift, dropped, x, spike_at, spike_channel, spike_amplitude, out_at, out_channel, out_amplitude, out_unit,
    frames, channels, spikes, room,
):  # fmt: skip
    """Sort the spikes of one block; return how many came out.

    x: int16 [frames, channels].  spike_at: int32 [spikes], frames from the block's start, perhaps negative.  out_*: int32.
    Frames are counted from the start of the stream, modulo 2^30, of which the ring keeps the last; waiting spikes are kept
    by their frame from the start of the block. A spike of a channel that there is not, or of a time outside the block and the
    `OLDEST` frames before it, is not taken in: the result is `NO_CHANNEL` or `NO_TIME`, and nothing has changed.
    """
    for i in range(spikes):
        if spike_channel[i] < 0 or spike_channel[i] >= channels:
            return NO_CHANNEL
        if spike_at[i] < -OLDEST or spike_at[i] >= frames:
            return NO_TIME
    count = 0
    sites = neighbour[:, :neighbours]
    start = np.int64(frame[0])
    done, next_spike = 0, 0
    while done < frames:
        step = min(frames - done, TICK - (start + done) % TICK)
        lanes.move(x, done, ring, (start + done) & (len(ring) - 1), step, channels)  # a tick ends where the ring does, or before
        done += step
        if (start + done) % TICK != 0:
            break
        next_spike = _admit(
            done - arrival, arriving, arrive_at, arrive_channel, arrive_amplitude, waiting, wait_at, wait_channel, wait_amplitude,
            dropped, start, tick_of, tick_spikes, ticks, next_spike, spikes, spike_at, spike_channel, spike_amplitude,
        )  # fmt: skip
        if _ripe(waiting, wait_at, done - delay):
            count = _tick(
                learned, neighbours, width, before, feature_from, feature_width, dimensions, limit, adapt, reach, delay,
                sites, component, clusters, cluster_unit, centre, inverse, offset,
                unit_channel, template, energy, row_energy, low, high, candidates, candidate, level,
                ring, waiting, wait_at, wait_channel, wait_amplitude, drift,
                start, done, out_at, out_channel, out_amplitude, out_unit, count, room,
            )  # fmt: skip
    for i in range(next_spike, spikes):
        if _expected(tick_of, tick_spikes, ticks, start + spike_at[i], dropped):
            _wait(arriving, arrive_at, arrive_channel, arrive_amplitude, dropped, spike_at[i], spike_channel[i], spike_amplitude[i])
    for a in range(arriving[0]):
        arrive_at[a] -= frames
    for w in range(waiting[0]):
        wait_at[w] -= frames
    frame[0] = (start + frames) & FRAME_MASK
    return count
