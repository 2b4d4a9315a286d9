"""Each particle's hologram on the pixel grid, computed once and moved: float32 tables for the pixels' kernel."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
from numba import njit

from sensors.cytometry.optics import Hologram, beam, hologram
from sensors.cytometry.parameters import CytometerParameters

FAINTEST = 0.06  # change of a pixel's light, relative, that is not simulated
LEVELS = 64  # steps of the beam's amplitude at the particle, for its reach


@dataclass(frozen=True)
class Illumination:
    """The light without particles, relative to the beam's peak: ``(across[x] down[y])^2 + stray``.

    Attributes
    ----------
    across, down : numpy.ndarray
        float32 [width] and [height]: the beam's amplitude by column and by row; a Gaussian beam's is their product.
    stray : float
        Stray light.
    axis : tuple of float
        Where the beam's axis meets the sensor: column, row.
    """

    across: np.ndarray
    down: np.ndarray
    stray: float
    axis: tuple[float, float]


def illumination(parameters: CytometerParameters) -> Illumination:
    """Return the light on every pixel without particles."""
    pixel, optics = parameters.pixel, parameters.optics
    axis = (pixel.width / 2 - 0.5 + optics.beam_px[0], pixel.height / 2 - 0.5 + optics.beam_px[1])
    pitch = pixel.pitch_um / optics.magnification
    across, down = (
        beam(optics, (np.arange(n) - middle) * pitch).astype(np.float32)
        for n, middle in zip((pixel.width, pixel.height), axis, strict=True)
    )
    return Illumination(across, down, optics.stray, axis)


class HologramBank:
    """Makes the tables that the kernel moves; radial profiles of spheres of the same class and diameter are computed once.

    Parameters
    ----------
    parameters : CytometerParameters
        As they are under the run's conditions.

    Attributes
    ----------
    half : int
        Columns of a table on each side of the particle's centre.
    """

    def __init__(self, parameters: CytometerParameters) -> None:
        self._parameters = parameters
        self._profiles: dict[tuple[int, float], Hologram] = {}
        pixel, optics = parameters.pixel, parameters.optics
        self._radii = int(0.9 * np.hypot(pixel.width, pixel.height))
        u = beam(optics, np.arange(self._radii) * (pixel.pitch_um / optics.magnification))
        self._flank = np.maximum.accumulate((u / (u * u + optics.stray))[::-1])[::-1]  # as far from the axis or further
        largest = max(self._reach(kind, one.diameter_um)[-1] for kind, one in enumerate(parameters.classes))
        self.half = int(min(1.1 * largest + 8, pixel.width + 8))

    def table(self, kind: int, diameter_um: float, row: float, travel_px: float, table: np.ndarray) -> np.ndarray:
        """Fill the table of a particle whose centre moves along a row, and return its reach.

        Parameters
        ----------
        row : float
            The row of its centre; it may lie between or outside the sensor's.
        travel_px : float
            How far it moves in a time step: the light is averaged over this length.
        table : numpy.ndarray
            float32 [2, height, 2 half + 2] to be filled: light and fringe (see `Hologram`) at columns -half to half + 1 from the
            particle's centre.

        Returns
        -------
        numpy.ndarray
            float32 [LEVELS + 1]: radius in pixels within which the particle matters where the beam has the amplitude i / LEVELS.
        """
        shape = self._profile(kind, diameter_um)
        _spread(shape.light, shape.fringe, row, max(travel_px, 1e-3), self.half, table)
        return self._reach(kind, diameter_um)

    def _profile(self, kind: int, diameter_um: float) -> Hologram:
        key = (kind, diameter_um)
        if key not in self._profiles:
            index, pitch = self._parameters.classes[kind].index, self._parameters.pixel.pitch_um
            self._profiles[key] = hologram(diameter_um, index, self._parameters.optics, pitch, self._radii)
        return self._profiles[key]

    def _reach(self, kind: int, diameter_um: float) -> np.ndarray:
        shape, amplitude = self._profile(kind, diameter_um), np.arange(LEVELS + 1)[:, None] / LEVELS
        shifted = self._flank[np.arange(self._radii) // 2]  # the beam's flank may be nearer to its axis than the particle's centre
        change = amplitude**2 * shape.light / self._parameters.optics.stray + amplitude * np.abs(shape.fringe) * shifted
        matters = change > FAINTEST
        last = self._radii - np.argmax(matters[:, ::-1], axis=1)
        return np.where(matters.any(axis=1), last, 0).astype(np.float32)


@njit(cache=True)
def _spread(light: np.ndarray, fringe: np.ndarray, row: float, travel: float, half: int, table: np.ndarray) -> None:
    """Lay the radial profiles on the grid, averaged along x over `travel` pixels."""
    pad = int(travel / 2) + 2
    count = 2 * half + 2
    sums = np.zeros((2, count + 2 * pad + 1))
    last = len(light) - 2
    for y in range(table.shape[1]):
        dy = y - row
        for j in range(count + 2 * pad):
            dx = float(j - pad - half)
            r = min(np.sqrt(dx * dx + dy * dy), float(last))
            i = int(r)
            f = r - i
            sums[0, j + 1] = sums[0, j] + light[i] + f * (light[i + 1] - light[i])
            sums[1, j + 1] = sums[1, j] + fringe[i] + f * (fringe[i + 1] - fringe[i])
        for j in range(count):
            low, high = j + pad + 0.5 - travel / 2, j + pad + 0.5 + travel / 2
            a, b = int(low), int(high)
            for k in range(2):
                below = sums[k, a] + (low - a) * (sums[k, a + 1] - sums[k, a])
                above = sums[k, b] + (high - b) * (sums[k, b + 1] - sums[k, b])
                table[k, y, j] = (above - below) / travel
