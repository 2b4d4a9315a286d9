"""Units: which clusters of neighbouring channels are of one cell, and what the tables say of each. All in integers.

`firmware/src/units.c` is the same text in C.
"""

from __future__ import annotations

import numpy as np

from pipeline.fixed import kernel
from pipeline.layout import layout

SAME = 32  # clusters are one unit if their mean waveforms differ by less than this part of the energy,
ALIKE = 8  # or those of two channels by less than this part,
NEAR = 100  # and by less than so many times the noise of a sample, besides what spikes of other cells may move a mean by
NOISE_BITS = 4  # fractional bits of that noise
MOVE = 4  # frames by which the same unit's peak may differ from channel to channel
SHIFTS = 2 * MOVE + 1
RATIO_BITS = 20  # of a difference relative to an energy
DOT_BITS = 31  # of a product of waveforms that is to be squared

# Spikes of one shape with their peak on one channel: that channel, their place among its clusters, how many they are, the smallest
# and largest scale of the mean waveform among them in Q12, their unit, and their noise: the mean square of what the mean waveform
# leaves of a sample, Q4.
CLUSTER = layout(channel="i4", row="i4", size="i4", low="i4", high="i4", unit="i4", noise="i8")


@kernel
def compare(mean, one, other, near, beside, difference, along, dot):  # type: ignore[no-untyped-def]
    """Return how different two mean waveforms are at the best shift, the larger energy of the two, and the samples compared: all of
    common channels.

    A shift by a fraction of a frame changes a waveform by a multiple of its derivative; that part of the difference does not count.

    mean: int16 [clusters, neighbours, width], of which rows `one` and `other`.  near, beside: int16 [neighbours], the channels that
    they are seen on.  difference, along, dot: int64 [SHIFTS], scratch.
    """
    neighbours, width = mean.shape[1:]
    difference[:], along[:], dot[:] = 0, 0, 0
    mine, theirs, samples = np.int64(0), np.int64(0), np.int64(0)
    for k in range(neighbours):
        j = 0
        while j < neighbours and (near[k] < 0 or beside[j] != near[k]):
            j += 1
        if j == neighbours:
            continue
        samples += width - 2 * MOVE
        for m in range(MOVE, width - MOVE):
            here, there = np.int64(mean[one, k, m]), np.int64(mean[other, j, m])
            mine += here * here
            theirs += there * there
            for s in range(SHIFTS):
                at = m + s - MOVE
                away, slope = here - np.int64(mean[other, j, at]), np.int64(0)
                if 0 < at < width - 1:
                    slope = np.int64(mean[other, j, at + 1]) - np.int64(mean[other, j, at - 1])
                difference[s] += away * away
                along[s] += slope * slope
                dot[s] += away * slope
    energy = max(mine, theirs, np.int64(1))
    least = energy
    for s in range(SHIFTS):
        product, bits = abs(dot[s]), 0
        while product >= np.int64(1) << np.int64(DOT_BITS):
            product >>= np.int64(1)
            bits += 2
        least = min(least, difference[s] - product * product // max(along[s] >> np.int64(bits), np.int64(1)))
    return max(least, np.int64(0)), energy, samples


@kernel
def likeness(clusters, mean, one, other, neighbour, difference, along, dot):  # type: ignore[no-untyped-def]
    """Return how different two clusters are relative to the energy, Q20, -1 if too different to be one unit.

    The noise that is left in two means makes them differ by samples * noise * (1 / n + 1 / m); that does not count. What remains is
    the squared distance of two cells, or of a cell from itself where spikes of others are among the members of `one`: they move
    the mean by no more than they add to the noise. On one channel, where the features have told clusters apart, only those are one
    unit that sampling between the same two frames has parted, which differ very little.
    """
    here, there = clusters[one], clusters[other]
    near, beside = neighbour[here.channel], neighbour[there.channel]
    least, energy, samples = compare(mean, one, other, near, beside, difference, along, dot)
    noise, n, m = min(here.noise, there.noise), np.int64(here.size), np.int64(there.size)
    least = max(least - ((samples * noise * (n + m) // (n * m)) >> np.int64(NOISE_BITS)), np.int64(0))
    reach = (NEAR * noise + samples * (here.noise - noise)) >> np.int64(NOISE_BITS)
    alike = here.channel != there.channel and least * ALIKE < energy and least < reach
    if not alike and least * SAME >= energy:
        return np.int64(-1)
    return (least << np.int64(RATIO_BITS)) // energy


@kernel
def find_units(clusters, mean, neighbour, most):  # type: ignore[no-untyped-def]
    """Give every cluster its unit, -1 for those of units beyond `most`; return the cluster that shows each unit best, by unit.

    Those of the most spikes first, each joins the unit of the cluster most like it. The units of the most spikes are kept.

    clusters: `CLUSTER` [n], by channel and row.  mean: int16 [n, neighbours, width].  neighbour: int16 [channels, neighbours].
    """
    n = len(clusters)
    shown, total, kept = np.zeros(n, np.int32), np.zeros(n, np.int64), np.zeros(n, np.uint8)
    difference, along, dot = np.zeros(SHIFTS, np.int64), np.zeros(SHIFTS, np.int64), np.zeros(SHIFTS, np.int64)
    for i in range(n):
        clusters[i].unit = -1
    found = 0
    for _ in range(n):
        chosen = -1
        for i in range(n):
            if clusters[i].unit < 0 and (chosen < 0 or clusters[i].size > clusters[chosen].size):
                chosen = i
        near, best, closest = neighbour[clusters[chosen].channel], -1, np.int64(0)
        for i in range(n):
            beside = False
            for k in range(len(near)):
                beside = beside or near[k] == clusters[i].channel
            if clusters[i].unit < 0 or not beside:
                continue
            ratio = likeness(clusters, mean, chosen, i, neighbour, difference, along, dot)
            if ratio >= 0 and (best < 0 or ratio < closest):
                best, closest = clusters[i].unit, ratio
        if best < 0:
            best = found
            shown[best], total[best] = chosen, 0
            found += 1
        clusters[chosen].unit = best
        total[best] += clusters[chosen].size
    for u in range(found):
        larger = 0
        for v in range(found):
            larger += total[v] > total[u] or (total[v] == total[u] and v < u)
        kept[u] = larger < most
    number, best_shown, count = np.full(n, -1, np.int32), np.zeros(n, np.int32), 0
    for i in range(n):  # by channel and row
        u = clusters[i].unit
        if shown[u] == i and kept[u]:
            number[u], best_shown[count] = count, i
            count += 1
    for i in range(n):
        clusters[i].unit = number[clusters[i].unit]
    return best_shown[:count]


def write_units(tables: np.ndarray, clusters: np.ndarray, mean: np.ndarray, shown: np.ndarray, neighbour: np.ndarray) -> None:
    """Fill the units' rows of the tables: templates, energies, scales, and which of them reach each channel, nearest first."""
    for one in clusters:
        tables["cluster_unit"][one["channel"], one["row"]] = one["unit"]
    tables["units"] = len(shown)
    _, neighbours, width = mean.shape
    for u, i in enumerate(shown):
        tables["unit_channel"][u] = clusters["channel"][i]
        tables["template"][u, :neighbours, :width] = mean[i]
        square = mean[i].astype(np.int64) ** 2
        tables["energy"][u] = max(int(square.sum()), 1)
        tables["row_energy"][u] = max(int(square[0].sum()), 1)
        tables["low"][u], tables["high"][u] = clusters["low"][i], clusters["high"][i]
    homes = clusters["channel"][shown]
    for channel in range(len(neighbour)):
        near = [c for c in neighbour[channel] if c >= 0]
        reaching = [u for c in near for u in range(len(shown)) if homes[u] == c and channel in neighbour[c]]
        reaching += [u for u in range(len(shown)) if homes[u] not in near and channel in neighbour[homes[u]]]
        reaching = reaching[: tables["most_candidates"]]
        tables["candidates"][channel] = len(reaching)
        tables["candidate"][channel, : len(reaching)] = reaching
