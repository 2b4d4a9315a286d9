"""Pictures of filters: what was asked for and what the integers do, and how far they are from each other."""

from __future__ import annotations

import io

import numpy as np

from bitspike.plots import COLOURS, STYLE, need_matplotlib
from pipeline.chain import Chain
from pipeline.stage import Stage

POINTS, FLOOR_DB = 2000, -140.0


def draw_responses(chain: Chain) -> dict[str, bytes]:
    """Draw the response of every filter of a chain; return the pictures, as PNG, by the filters' labels.

    Raises
    ------
    MissingExtraError
        The ``plot`` extra is not installed.
    """
    need_matplotlib()
    drawn = {}
    for label, running in chain.stages.items():
        hz = np.geomspace(running.signal.rate_hz / 1e4, running.signal.rate_hz / 2, POINTS)
        curves = {what: decibels(gain) for what, gain in running.responses(hz).items()}
        if curves:
            drawn[label] = _picture(label, running, hz, curves)
    return drawn


def decibels(gain: np.ndarray) -> np.ndarray:
    """Return a gain in dB, no less than `FLOOR_DB`."""
    return np.maximum(20 * np.log10(np.maximum(np.abs(gain), 1e-12)), FLOOR_DB)


def _picture(label: str, running: Stage, hz: np.ndarray, curves: dict[str, np.ndarray]) -> bytes:
    import matplotlib as mpl
    from matplotlib.figure import Figure

    with mpl.rc_context(STYLE):
        figure = Figure(figsize=(7, 4.5), layout="constrained")
        both = len(curves) > 1
        above, *below = figure.subplots(1 + both, 1, sharex=True, squeeze=False, height_ratios=[3, 1][: 1 + both])[:, 0]
        for (what, curve), colour, width in zip(curves.items(), COLOURS, (2.5, 1.0), strict=False):
            above.semilogx(hz, curve, color=colour, lw=width, label=what)
        above.set(title=f"{label}: {running.name} at {running.signal.rate_hz:g} Hz", ylabel="gain, dB")
        above.legend(frameon=False)
        for axes in below:
            first, second = list(curves.values())[:2]
            seen = np.maximum(first, second) > FLOOR_DB
            axes.semilogx(hz[seen], (second - first)[seen], color=COLOURS[2], lw=1.0)
            axes.set(ylabel="difference, dB")
        [above, *below][-1].set(xlabel="Hz")
        file = io.BytesIO()
        figure.savefig(file, format="png")
    return file.getvalue()
