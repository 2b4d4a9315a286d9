"""The spike sorter's step, in integers: classify, subtract, look again.

Spikes wait until everything that may overlap them is known, and are then taken largest first. Each is classified by its features
(`gaussian.nearest`); where the features are too far from every cluster, as they are when spikes overlap, by the template that
explains most of the signal. The template, scaled to the spike, is subtracted, and what then stands out of the rest is taken as a
further, hidden spike (matching pursuit, Mallat and Zhang 1993; on spikes, Marre et al. 2012, J. Neurosci. 32, and Pillow et al.
2013, PLoS ONE 8(5): e62123). What is of the same unit as a spike and nearer to it than a cell can fire is the rest of that spike:
it is taken off as well, but not given. Time advances in ticks of `TICK` frames counted from the start of the stream, so the
outcome does not depend on blocks. Waiting is in `waiting`, templates are in `fitting`, and the signal around a spike, turned so
that registers hold frames of one channel, is in `patch`. `firmware/src/sorter.c` is the same in C but for that.
"""

from __future__ import annotations

import numpy as np

from classifiers.fitting import (
    LOCATE,
    SHIFT,
    SHORT,
    explain,
    explained_energy,
    extreme,
    fit_template,
    likely,
    stands_out,
)
from classifiers.gaussian import nearest
from classifiers.patch import cut, place, put_back, whole_frames
from classifiers.waiting import FRAME_MASK, TICK, admit, expected, foremost, ripe, wait
from pipeline import rows
from pipeline.fixed import inlined, kernel, merged
from pipeline.lanes import WIDTH, WIDTH16, load16, splat16, store
from pipeline.memory import scratch
from pipeline.neural.detection import NO_CHANNEL, NO_TIME

FEATURE_BITS = 12  # features are Q3: products in Q15 shifted by this
STACK = 64  # hidden spikes of one
OLDEST = 512  # frames by which a spike may be older than the block that brings it
DEPTH = 3  # hidden spikes below hidden spikes
LATEST = 4  # spikes of a unit that are remembered, as they are not taken in the order of time


@merged
def project(patch, row, first, component, width, dimensions, seen, feature):  # type: ignore[no-untyped-def]
    """Fill the features of the signal from column `first` of the patch on: components in Q15, features in Q3, rounded down.

    seen: int16 [1, channels x width and a register more], scratch.
    """
    for k in range(len(row)):
        for m in range(0, width, WIDTH16):  # what goes beyond the width is overwritten by the next channel
            part = load16(patch, row[k], first + m) if row[k] >= 0 else splat16(0)
            store(seen, 0, k * width + m, part)
    for p in range(dimensions):
        feature[p] = np.int32(rows.dot(seen, 0, 0, component, p, 0, len(row) * width) >> np.int64(FEATURE_BITS))


@merged
def again(latest_of, unit, frame, dead):  # type: ignore[no-untyped-def]
    """Return whether one of the unit's latest spikes is at most `dead` frames away; if not, `frame` is its latest from now on."""
    for k in range(LATEST):
        known = np.int64(latest_of[unit, k])
        if known != 0 and ((frame + 1 - known + dead) & FRAME_MASK) <= 2 * dead:
            return True
    for k in range(LATEST - 1, 0, -1):
        latest_of[unit, k] = latest_of[unit, k - 1]
    latest_of[unit, 0] = (frame & FRAME_MASK) + 1
    return False


@inlined
def _take(at, on, size, start, extent, classes, units, level, ring, latest_of, drift, room, out, count):  # type: ignore[no-untyped-def]
    """Take one spike, and what hides behind it, off the signal; return the new number of outputs."""
    width, before, feature_from, feature_width, dimensions, limit, adapt, reach, dead = extent
    sites, component, clusters, cluster_unit, centre, inverse, offset = classes
    unit_channel, template, energy, row_energy, low, high, candidates, candidate = units
    stack, patch, row, begin, seen, short, feature, moved, apart = room
    out_at, out_channel, out_amplitude, out_unit = out
    stack[0, 0], stack[0, 1], stack[0, 2], stack[0, 3] = at, on, size, 0
    waiting, whole = 1, width + 2 * SHIFT
    while waiting > 0:
        waiting -= 1
        at, on, size, depth = stack[waiting, 0], stack[waiting, 1], stack[waiting, 2], stack[waiting, 3]
        sign = np.int32(1) if size > 0 else np.int32(-1)
        at = extreme(ring, at, on, sign)
        peak = np.int32(ring[at & (len(ring) - 1), on])
        if sign * peak < min(level[on], abs(size)):
            continue  # another spike has explained it
        frame = at - before - SHIFT
        groups = place(sites[on], ring.shape[1], row, begin)
        first = cut(ring, frame, whole, begin, groups, patch)
        project(patch, row, first + SHIFT + feature_from, component[on], feature_width, dimensions, seen, feature)
        for k in range(clusters[on]):
            for a in range(dimensions):
                moved[k, a] = np.int64(centre[on, k, a]) + (np.int64(drift[on, k, a]) >> np.int64(8))
        own = nearest(feature, moved, inverse[on], offset[on], clusters[on], np.int64(limit), dimensions, apart)
        unit, explained, shown = np.int64(-1), np.int64(0), np.int64(on)
        shift, scale = np.int64(0), np.int64(0)
        wanted = np.int64(cluster_unit[on, own]) if own >= 0 else np.int64(-1)
        found = likely(
            ring, at, before, width, patch, first, sites[on], row, unit_channel, template, row_energy, low, high,
            candidate[on, : candidates[on]], wanted, short,
        )  # fmt: skip
        for q in range(found):
            u = short[q, 0]
            if unit_channel[u] != shown:
                shown = np.int64(unit_channel[u])
                groups = place(sites[shown], ring.shape[1], row, begin)
                cut(ring, frame, whole, begin, groups, patch)
            dot = fit_template(patch, row, first + short[q, 1], template[u], width)
            gained, size_of = explained_energy(dot, energy[u], low[u], high[u])
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
        if unit >= 0 and again(latest_of, unit, at + shift, dead):
            pass  # the rest of a spike that was given
        elif count < len(out_at):
            home = unit_channel[unit] if unit >= 0 else on
            out_at[count], out_channel[count], out_unit[count] = at + shift - start, home, unit
            out_amplitude[count] = ring[(at + shift) & (len(ring) - 1), home] if unit >= 0 else peak
            count += 1
        if unit < 0 or scale == 0:
            continue
        home = np.int64(unit_channel[unit])
        if home != shown:
            groups = place(sites[home], ring.shape[1], row, begin)
            cut(ring, frame, whole, begin, groups, patch)
        seen_on = explain(patch, row, first + SHIFT + shift, template[unit], width, scale)
        put_back(ring, frame, whole, begin, groups, patch)
        if depth >= DEPTH:
            continue
        earliest, latest = max(0, before - reach), min(width, before + reach + 1)
        for k in range(seen_on):
            c = sites[home, k]
            if not rows.beyond(patch, row[k], first + SHIFT + shift + earliest, latest - earliest, 0 if sign > 0 else -1, level[c]):
                continue
            for m in range(earliest, latest):
                n = at + shift - before + m
                value = sign * np.int32(ring[n & (len(ring) - 1), c])
                if value < level[c] or value * 4 < abs(np.int32(template[unit, k, m])):
                    continue  # the rest of a large spike is a few per cent of it
                if waiting < len(stack) and stands_out(ring, n, c, sites, level, sign, 2 * LOCATE):
                    stack[waiting, 0], stack[waiting, 1] = n, c
                    stack[waiting, 2], stack[waiting, 3] = np.int32(ring[n & (len(ring) - 1), c]), depth + 1
                    waiting += 1
    return count


@inlined
def _tick(  # type: ignore[no-untyped-def]
    learned, reach, delay, sites, extent, classes, units, level, ring, waiting, wait_at, wait_channel, wait_amplitude,
    latest_of, drift, room, start, done, out, count,
):  # fmt: skip
    """Take the spikes whose turn has come, `done` frames into the block; return the new number of outputs."""
    out_at, out_channel, out_amplitude, out_unit = out
    while True:
        chosen = foremost(waiting, wait_at, wait_channel, wait_amplitude, sites, done, delay, reach)
        if chosen < 0:
            break
        at, on, size = np.int64(wait_at[chosen]), np.int64(wait_channel[chosen]), np.int64(wait_amplitude[chosen])
        waiting[0] -= 1
        for w in range(chosen, waiting[0]):
            wait_at[w], wait_channel[w], wait_amplitude[w] = wait_at[w + 1], wait_channel[w + 1], wait_amplitude[w + 1]
        if learned == 0:
            if count < len(out_at):
                out_at[count], out_channel[count], out_amplitude[count], out_unit[count] = at, on, size, -1
                count += 1
            continue
        count = _take(start + at, on, size, start, extent, classes, units, level, ring, latest_of, drift, room, out, count)
    return count


@inlined
def keep(x, first, stop, ring, start, channels):  # type: ignore[no-untyped-def]
    """Copy frames of the block into the ring: those of all the ticks since the last in which a spike was taken, as nobody looks
    in between; in C, where a block is a few frames, tick by tick."""
    while first < stop:
        at = (start + first) & (len(ring) - 1)
        step = min(stop - first, len(ring) - at)
        rows.move(x, first, ring, at, step, channels)
        first += step


@kernel
def process(  # type: ignore[no-untyped-def]
    learned, neighbours, width, before, feature_from, feature_width, dimensions, limit, adapt, arrival, reach, delay,
    dead, ticks, most_clusters, most_units, most_candidates, units,  # noqa: ARG001
    neighbour, component, clusters, cluster_unit, centre, inverse, offset,
    unit_channel, template, energy, row_energy, low, high, candidates, candidate, level,
    frame, ring, tick_of, tick_spikes, arriving, arrive_at, arrive_channel, arrive_amplitude, waiting, wait_at, wait_channel,
    wait_amplitude, latest_of, drift, dropped, x, spike_at, spike_channel, spike_amplitude,
    out_at, out_channel, out_amplitude, out_unit, frames, channels, spikes, room,
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
    stack, short = scratch((STACK, 4), np.int64), scratch((SHORT, 3), np.int64)
    patch = scratch((WIDTH * neighbours + 1, whole_frames(width + 2 * SHIFT)), np.int16)
    row, begin = scratch((neighbours,), np.int64), scratch((neighbours,), np.int64)
    seen = scratch((1, neighbours * feature_width + WIDTH16), np.int16)
    feature, apart = scratch((dimensions,), np.int32), scratch((dimensions,), np.int64)
    moved = scratch((centre.shape[1], centre.shape[2]), np.int64)
    extent = width, before, feature_from, feature_width, dimensions, limit, adapt, reach, dead
    classes = sites, component, clusters, cluster_unit, centre, inverse, offset
    templates = unit_channel, template, energy, row_energy, low, high, candidates, candidate
    scratches = stack, patch, row, begin, seen, short, feature, moved, apart
    out = out_at[:room], out_channel[:room], out_amplitude[:room], out_unit[:room]
    next_spike, copied = 0, 0
    for done in range(TICK - start % TICK, frames + 1, TICK):
        due = done - arrival
        if (arriving[0] > 0 and arrive_at[0] <= due) or (next_spike < spikes and spike_at[next_spike] <= due):
            next_spike = admit(
                due, arriving, arrive_at, arrive_channel, arrive_amplitude, waiting, wait_at, wait_channel, wait_amplitude,
                dropped, start, tick_of, tick_spikes, ticks, next_spike, spikes, spike_at, spike_channel, spike_amplitude,
            )  # fmt: skip
        if ripe(waiting, wait_at, done - delay):
            keep(x, copied, done, ring, start, channels)
            copied = done
            count = _tick(
                learned, reach, delay, sites, extent, classes, templates, level, ring, waiting, wait_at, wait_channel,
                wait_amplitude, latest_of, drift, scratches, start, done, out, count,
            )  # fmt: skip
    keep(x, copied, frames, ring, start, channels)
    for i in range(next_spike, spikes):
        if expected(tick_of, tick_spikes, ticks, start + spike_at[i], dropped):
            wait(arriving, arrive_at, arrive_channel, arrive_amplitude, dropped, spike_at[i], spike_channel[i], spike_amplitude[i])
    for a in range(arriving[0]):
        arrive_at[a] -= frames
    for w in range(waiting[0]):
        wait_at[w] -= frames
    frame[0] = (start + frames) & FRAME_MASK
    return count
