"""What the sorter learns from the first spikes of a recording: features, clusters, units, templates. All in integers.

Every channel is learned by itself, from the spikes that are largest there, seen on the channel and its neighbours. Clusters of
neighbouring channels are one unit if their mean waveforms are nearer to each other than two cells' can be told apart.
`firmware/src/learning.c` is the same text in C: the same spikes give the same tables.
"""

from __future__ import annotations

import numpy as np

from classifiers.clustering import LEAST, cluster
from classifiers.fitting import SCALE_BITS
from classifiers.ranking import ranked
from classifiers.sorting import FEATURE_BITS
from classifiers.units import CLUSTER, NOISE_BITS, find_units, write_units
from pipeline.fixed import divide, kernel
from pipeline.neural.principal import principal_components

LARGEST_LEVEL = 32767


@kernel
def describe(waveform, label, row, mean, bounds, scale, samples):  # type: ignore[no-untyped-def]
    """Fill mean waveform, bounds of the scale and noise of the members of a cluster; return how many they are.

    waveform: int16 [n, size], of which `samples` are of channels that there are.  label: int32 [n], the members' is `row`.  mean:
    int16 [size], rounded toward zero.  bounds: int64 [3], two in Q12: three standard deviations, from the median deviation, around
    the median; and the median over the members of what the mean leaves of a sample's square, Q4.  scale: int64 [n], scratch.
    """
    count, energy = 0, np.int64(0)
    for i in range(len(label)):
        count += label[i] == row
    for m in range(len(mean)):
        total = np.int64(0)
        for i in range(len(label)):
            if label[i] == row:
                total += waveform[i, m]
        mean[m] = divide(total, count)
        energy += np.int64(mean[m]) * np.int64(mean[m])
    member = 0
    for i in range(len(label)):
        if label[i] == row:
            dot = np.int64(0)
            for m in range(len(mean)):
                dot += np.int64(waveform[i, m]) * np.int64(mean[m])
            scale[member] = divide(dot << np.int64(SCALE_BITS), max(energy, 1))
            member += 1
    middle = ranked(scale[:count], count // 2)
    for i in range(count):
        scale[i] = abs(scale[i] - middle)
    spread = ranked(scale[:count], count // 2) * 9 // 2
    one = np.int64(1 << SCALE_BITS)
    bounds[1] = min(max(middle + spread, one), 9 * one // 5)
    bounds[0] = min(max(middle - spread, 2 * one // 5), bounds[1])
    member = 0
    for i in range(len(label)):
        if label[i] == row:
            scale[member] = 0
            for m in range(len(mean)):
                away = np.int64(waveform[i, m]) - np.int64(mean[m])
                scale[member] += away * away
            member += 1
    bounds[2] = max((ranked(scale[:count], count // 2) << np.int64(NOISE_BITS)) // samples, np.int64(1))
    return count


def learn_channel(tables: np.ndarray, channel: int, waveform: np.ndarray, amplitude: np.ndarray) -> np.ndarray:
    """Learn features and clusters of one channel, filling its rows of the sorter's tables.

    Parameters
    ----------
    tables : numpy.ndarray
        Of the sorter, designed.
    channel : int
        Which.
    waveform : numpy.ndarray
        int16 [n, neighbours, width].
    amplitude : numpy.ndarray
        int32 [n].

    Returns
    -------
    numpy.ndarray
        int32 [n], the cluster of each spike, the largest first, -1 for those that belong to none.
    """
    n, neighbours, _ = waveform.shape
    tables["level"][channel] = LARGEST_LEVEL
    tables["clusters"][channel] = 0
    if n:  # the smallest spikes of a channel show its detector's threshold
        tables["level"][channel] = min(int(ranked(np.abs(amplitude.astype(np.int64)), n // 50)), LARGEST_LEVEL)
    if n < LEAST:
        return np.full(n, -1, np.int32)
    first, length, dimensions = (int(tables[name]) for name in ("feature_from", "feature_width", "dimensions"))
    seen = np.ascontiguousarray(waveform[:, :, first : first + length]).reshape(n, neighbours * length)
    axes = principal_components(seen, dimensions)
    tables["component"][channel, :dimensions, : neighbours * length] = axes
    features = (seen.astype(np.int64) @ axes.T.astype(np.int64)) >> FEATURE_BITS
    label, centre, inverse, offset = cluster(features.astype(np.int32))
    count = min(len(centre), int(tables["most_clusters"]))
    tables["clusters"][channel] = count
    tables["centre"][channel, :count, :dimensions] = centre[:count]
    tables["inverse"][channel, :count, : inverse.shape[1]] = inverse[:count]
    tables["offset"][channel, :count] = offset[:count]
    return label


def learn(
    tables: np.ndarray, neighbour: np.ndarray, channel: np.ndarray, waveform: np.ndarray, amplitude: np.ndarray
) -> np.ndarray:
    """Learn from spikes; return a copy of the tables with everything filled in.

    Parameters
    ----------
    tables : numpy.ndarray
        As designed.
    neighbour : numpy.ndarray
        int16 [channels, neighbours], the channels that a spike is seen on.
    channel, amplitude : numpy.ndarray
        int32 [n], where the peak is and its value.
    waveform : numpy.ndarray
        int16 [n, neighbours, width].
    """
    learned = tables.copy()
    shape = waveform.shape[1:]
    clusters, means = [], []
    for one in range(len(neighbour)):
        mine = np.flatnonzero(channel == one)
        label = learn_channel(learned, one, waveform[mine], amplitude[mine])
        flat = waveform[mine].reshape(len(mine), shape[0] * shape[1])
        scale, bounds = np.zeros(len(mine), np.int64), np.zeros(3, np.int64)
        samples = max(int((neighbour[one] >= 0).sum()), 1) * shape[1]
        for row in range(int(learned["clusters"][one])):
            mean = np.zeros(shape, np.int16)
            size = describe(flat, label, row, mean.reshape(-1), bounds, scale, samples)
            clusters.append((one, row, size, *bounds[:2], -1, bounds[2]))
            means.append(mean)
    found = np.array(clusters, CLUSTER)
    mean = np.array(means, np.int16).reshape(-1, *shape)
    write_units(learned, found, mean, find_units(found, mean, neighbour, int(tables["most_units"])), neighbour)
    learned["learned"] = 1
    return learned
