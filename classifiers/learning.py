"""What the sorter learns from the first spikes of a recording: features, clusters, units, templates. All in integers.

Every channel is learned by itself, from the spikes that are largest there, seen on the channel and its neighbours. Clusters of
neighbouring channels whose mean waveforms are the same up to a tenth of their energy are one unit.
"""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np

from classifiers.clustering import LEAST, cluster
from classifiers.sorting import FEATURE_BITS, SCALE_BITS
from pipeline.fixed import divide, kernel
from pipeline.neural.principal import principal_components

SAME_BESIDE = 10  # clusters of two channels are one unit if their mean waveforms differ by less than this part of the energy
SAME_HERE = 32  # the same for clusters of one channel
MOVE = 4  # frames by which the same unit's peak may differ from channel to channel


@dataclass
class Cluster:
    """Spikes of one shape with their peak on one channel.

    Attributes
    ----------
    channel : int
        Where the peak is.
    row : int
        Its place among the clusters of the channel.
    size : int
        Spikes that it was learned from.
    mean : numpy.ndarray
        int32 [neighbours, width]: mean waveform.
    scale : tuple of int
        Smallest and largest scale of the mean waveform among its spikes, Q12.
    unit : int
        Of the recording.
    """

    channel: int
    row: int
    size: int
    mean: np.ndarray
    scale: tuple[int, int]
    unit: int = -1


@kernel
def _scales(waveform, mean, energy, scale):  # type: ignore[no-untyped-def]
    """Fill the scale of each waveform, int16 [n, size], that fits it to the mean, Q12."""
    for i in range(len(waveform)):
        dot = np.int64(0)
        for m in range(len(mean)):
            dot += np.int64(waveform[i, m]) * np.int64(mean[m])
        scale[i] = divide(dot << np.int64(SCALE_BITS), energy)


def learn_channel(tables: np.ndarray, channel: int, waveform: np.ndarray, amplitude: np.ndarray) -> list[Cluster]:
    """Learn one channel, filling its rows of the sorter's tables.

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
    list of Cluster
        Largest first; empty where there are too few spikes.
    """
    n, neighbours, _ = waveform.shape
    tables["level"][channel] = np.iinfo(np.int16).max
    if n:  # the smallest spikes of a channel show its detector's threshold
        tables["level"][channel] = min(int(np.sort(np.abs(amplitude))[n // 50]), np.iinfo(np.int16).max)
    if n < LEAST:
        return []
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
    return [_describe(channel, row, waveform[label == row]) for row in range(count) if (label == row).any()]


def _describe(channel: int, row: int, members: np.ndarray) -> Cluster:
    n = len(members)
    total = members.astype(np.int64).sum(axis=0)
    mean = np.where(total < 0, -(-total // n), total // n).astype(np.int32)
    energy = max(int((mean.astype(np.int64) ** 2).sum()), 1)
    scale = np.zeros(n, np.int64)
    _scales(members.reshape(n, -1), mean.reshape(-1), energy, scale)
    ordered = np.sort(scale)
    middle = int(ordered[n // 2])
    spread = int(np.sort(np.abs(scale - middle))[n // 2]) * 9 // 2  # three standard deviations, from the median deviation
    one = 1 << SCALE_BITS
    return Cluster(channel, row, n, mean, (max(middle - spread, 2 * one // 5), min(max(middle + spread, one), 9 * one // 5)))


def find_units(tables: np.ndarray, clusters: list[Cluster], neighbour: np.ndarray) -> list[Cluster]:
    """Give every cluster its unit; return the cluster that shows each unit best, by unit.

    Largest first, each joins the unit of the cluster most like it. On one channel, where the features have told clusters apart,
    only those are joined that sampling between the same two frames has parted, which differ very little.
    """
    order = sorted(
        range(len(clusters)), key=lambda i: (-int(np.abs(clusters[i].mean[0]).max()), clusters[i].channel, clusters[i].row)
    )
    units: list[list[Cluster]] = []
    for i in order:
        one = clusters[i]
        best, closest = -1, 0.0
        for u, members in enumerate(units):
            for shown in members:
                if shown.channel not in neighbour[one.channel]:
                    continue
                difference, energy = compare(one, shown, neighbour)
                same = SAME_HERE if shown.channel == one.channel else SAME_BESIDE
                if difference * same < energy and (best < 0 or difference / energy < closest):
                    best, closest = u, difference / energy
        if best < 0:
            units.append([one])
        else:
            units[best].append(one)
    units.sort(key=lambda members: -sum(one.size for one in members))
    for members in units[tables["most_units"] :]:
        for one in members:
            tables["cluster_unit"][one.channel, one.row] = -1
    units = sorted(units[: tables["most_units"]], key=lambda members: (members[0].channel, members[0].row))
    for u, members in enumerate(units):
        for one in members:
            one.unit = u
            tables["cluster_unit"][one.channel, one.row] = u
    return [members[0] for members in units]


def compare(one: Cluster, other: Cluster, neighbour: np.ndarray) -> tuple[int, int]:
    """Return how different two mean waveforms are, at the best shift, and the larger energy of the two, on their common channels.

    A shift by a fraction of a frame changes a waveform by a multiple of its derivative; that part of the difference does not count.
    """
    mine = {int(c): k for k, c in enumerate(neighbour[one.channel]) if c >= 0}
    theirs = {int(c): k for k, c in enumerate(neighbour[other.channel]) if c >= 0}
    common = [c for c in mine if c in theirs]
    a = one.mean[[mine[c] for c in common]].astype(np.int64)
    b = other.mean[[theirs[c] for c in common]].astype(np.int64)
    slope = np.zeros_like(b)
    slope[:, 1:-1] = b[:, 2:] - b[:, :-2]
    width = a.shape[1]
    middle = a[:, MOVE : width - MOVE]
    energy = max(int((middle**2).sum()), int((b[:, MOVE : width - MOVE] ** 2).sum()), 1)
    least = energy
    for s in range(-MOVE, MOVE + 1):
        seen = slice(MOVE + s, width - MOVE + s)
        difference, along = middle - b[:, seen], slope[:, seen]
        dot, length = int((difference * along).sum()), max(int((along**2).sum()), 1)
        least = min(least, int((difference**2).sum()) - dot * dot // length)
    return least, energy


def write_units(tables: np.ndarray, shown: list[Cluster], neighbour: np.ndarray) -> None:
    """Fill the units' rows of the tables: templates, energies, scales, and which of them reach each channel."""
    tables["units"] = len(shown)
    for u, one in enumerate(shown):
        neighbours, width = one.mean.shape
        tables["unit_channel"][u] = one.channel
        tables["template"][u, :neighbours, :width] = one.mean
        tables["energy"][u] = max(int((one.mean.astype(np.int64) ** 2).sum()), 1)
        tables["row_energy"][u] = max(int((one.mean[0].astype(np.int64) ** 2).sum()), 1)
        tables["low"][u], tables["high"][u] = one.scale
    for channel in range(len(neighbour)):
        reaching = [u for u, one in enumerate(shown) if channel in neighbour[one.channel]]
        near = {int(c): k for k, c in enumerate(neighbour[channel]) if c >= 0}
        reaching.sort(key=lambda u: (near.get(shown[u].channel, len(near)), u))
        reaching = reaching[: tables["most_candidates"]]
        tables["candidates"][channel] = len(reaching)
        tables["candidate"][channel, : len(reaching)] = reaching


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
    clusters: list[Cluster] = []
    for one in range(len(neighbour)):
        mine = np.flatnonzero(channel == one)
        clusters += learn_channel(learned, one, waveform[mine], amplitude[mine])
    write_units(learned, find_units(learned, clusters, neighbour), neighbour)
    learned["learned"] = 1
    return learned
