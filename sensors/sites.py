"""Arrangements of electrodes for simulated recordings."""

from __future__ import annotations

from pipeline.errors import BitspikeError

PITCH_UM = 20.0
APART_UM = 200.0  # between tetrodes or wires: too far for a cell to be seen by two
LAYOUTS = ("probe", "tetrodes", "wires")


def electrode_sites(layout: str, channels: int) -> tuple[tuple[tuple[float, float], ...], tuple[int, ...]]:
    """Return the sites (x, y) in micrometres and the group of each channel.

    Parameters
    ----------
    layout : str
        "probe": two columns 20 um apart, all one group. "tetrodes": squares of four 20 um apart, each a group, 200 um from the
        next. "wires": single sites 200 um apart, each a group.
    channels : int
        Number of sites.

    Raises
    ------
    BitspikeError
        There is no such layout, or fewer than one channel.
    """
    if layout not in LAYOUTS:
        raise BitspikeError(f"layout: {layout!r}; choose one of {', '.join(LAYOUTS)}")
    if channels < 1:
        raise BitspikeError(f"channels: {channels}; simulate at least one")
    if layout == "probe":
        return tuple((PITCH_UM * (c % 2), PITCH_UM * (c // 2)) for c in range(channels)), (0,) * channels
    if layout == "wires":
        return tuple((0.0, APART_UM * c) for c in range(channels)), tuple(range(channels))
    sites = tuple((PITCH_UM * (c % 2), PITCH_UM * (c % 4 // 2) + APART_UM * (c // 4)) for c in range(channels))
    return sites, tuple(c // 4 for c in range(channels))
