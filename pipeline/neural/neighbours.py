"""Which channels see the same spike: the nearest sites, or the members of a tetrode."""

from __future__ import annotations

import numpy as np

from pipeline.blocks import SampleFormat

TETRODE = 4  # so few channels of which nothing is known are taken for one group that sees the same spikes
BUNDLE = 8  # channels of a group that may see the same spikes though their sites are not known; more are an amplifier's port
NONE = -1  # fills the rows of channels with fewer neighbours than there are columns


def nearest_channels(signal: SampleFormat, count: int, radius_um: float) -> np.ndarray:
    """Return the channels that see a channel's spikes, itself first.

    Parameters
    ----------
    signal : SampleFormat
        With geometry: the sites of the same group within `radius_um`, nearest first, ties by number. Without: the members of a
        group of at most `BUNDLE`, by number; where no groups are given, all of at most `TETRODE` channels; else the channel alone.
    count : int
        Columns, the channel itself included.
    radius_um : float
        Micrometres.

    Returns
    -------
    numpy.ndarray
        int16 [channels, count], `NONE` where there is no further one.
    """
    table = np.full((signal.channels, count), NONE, np.int16)
    group = signal.group_of
    sites = np.array(signal.positions_um, np.float64) if signal.positions_um else None
    for channel in range(signal.channels):
        mates = np.flatnonzero(group == group[channel])
        if sites is not None:
            away = np.hypot(*(sites[mates] - sites[channel]).T)
            away[mates == channel] = -1.0
            order = np.lexsort((mates, np.round(away, 3)))
            mates = mates[order][away[order] <= radius_um]
        elif len(mates) <= (BUNDLE if signal.groups else TETRODE):
            mates = np.concatenate([[channel], mates[mates != channel]])
        else:
            mates = np.array([channel])
        table[channel, : len(mates[:count])] = mates[:count]
    return table
