"""The light that a sphere scatters onto the sensor: angular spectrum of a thin-phase sphere, and the beam it interferes with.

Behind a sphere of diameter d and index n in a medium of index m, a ray at distance rho from the axis is late by the phase
``phi(rho) = k (n - m) sqrt(d^2 - 4 rho^2)``, with k = 2 pi / vacuum wavelength; that is all the sphere does (projection
approximation). What it adds to the beam, ``exp(i phi) - 1``, has with circular symmetry the angular spectrum ::

    F(q) = integral_0^{d/2} (exp(i phi(rho)) - 1) J0(q rho) rho d rho

and after a distance z the field (Goodman, Introduction to Fourier Optics, section 3.10) ::

    S(r, z) = integral_0^k F(q) J0(q r) exp(i z (sqrt(k^2 - q^2) - k)) q d q

A diverging beam of magnification M that travels z2 makes the same pattern as a plane wave that travels z2 / M, M times larger
(Fresnel scaling theorem), so all of this is computed in the channel's own scale.

Against Lorenz-Mie theory the scattered intensity of polymethyl methacrylate spheres of 16 and 20 um in water is wrong by 9 % (rms)
up to 0.04 rad in air, 15 % from there to 0.08 rad and 25 % to 0.12 rad, beyond the rings; these lie within 0.001 rad of where they
should, and the correlation is above 0.95 in each part. `tests/sensors/cytometry/test_optics.py` holds that.
"""

from __future__ import annotations

from dataclasses import dataclass
from functools import lru_cache

import numpy as np
from numba import njit

from sensors.cytometry.parameters import Optics

STEEPEST = 0.25  # sine of the largest angle in the spectrum; the sensor is seen within 0.16
FADING = 0.8  # of that angle: from here on the spectrum is faded out
ANGLES, RAYS, PANEL = 2400, 320, 40  # quadrature points over q and rho
SMOOTH = 128  # points that determine the spectrum


@dataclass(frozen=True)
class Hologram:
    """What one sphere adds to the light, by the distance from its centre in sensor pixels: float64 [radii], relative to the beam.

    With u the beam's amplitude on the sensor (1 at its peak), and a the beam's amplitude at the particle (1 on the axis), the
    intensity is ``u^2 + a^2 light + a u fringe``.

    Attributes
    ----------
    light : numpy.ndarray
        |S|^2.
    fringe : numpy.ndarray
        2 Re S.
    """

    light: np.ndarray
    fringe: np.ndarray


def spectrum(diameter_um: float, index: float, optics: Optics, q: np.ndarray) -> np.ndarray:
    """Return F(q), complex128, in square micrometres.

    Parameters
    ----------
    diameter_um, index : float
        The sphere.
    q : numpy.ndarray
        Transverse wave numbers per micrometre.
    """
    from scipy.special import j0

    radius = diameter_um / 2
    height, weights = _nodes(RAYS)  # of the sphere's surface, in radii: the phase is linear in it, so the quadrature converges fast
    phase = optics.wavenumber * (index - optics.medium_index) * diameter_um * height
    added = (np.exp(1j * phase) - 1) * height * weights * radius * radius
    rho = radius * np.sqrt(1 - height * height)
    bessel = j0(np.multiply.outer(q, rho))
    return _sums(bessel, added)


def field(diameter_um: float, index: float, optics: Optics, r_um: np.ndarray, distance_um: float | None = None) -> np.ndarray:
    """Return the scattered field S, complex128 [radii], relative to a plane wave of amplitude 1.

    Parameters
    ----------
    r_um : numpy.ndarray
        Distances from the axis in the channel's scale, micrometres.
    distance_um : float, optional
        How far the light travels; `optics.distance_um` unless given.
    """
    k = optics.wavenumber
    q, weights = _angles(k)
    z = optics.distance_um if distance_um is None else distance_um
    travelled = np.exp(1j * z * (np.sqrt(k * k - q * q) - k))
    steep = np.clip((q / (STEEPEST * k) - FADING) / (1 - FADING), 0, 1)
    shown = np.cos(np.pi / 2 * steep) ** 2  # an edge in the spectrum would be a bright spot on the axis
    some, between = _smooth(k)
    found = _sums(between, spectrum(diameter_um, index, optics, some))
    return _sums(_bessel(k, r_um.tobytes()), found * shown * travelled * q * weights)


def beam(optics: Optics, r_um: np.ndarray) -> np.ndarray:
    """Return the beam's amplitude on the sensor, 1 on its axis, by the distance from it in the channel's scale.

    Its width is `beam_um` widened by diffraction over the distance; its phase is flat to 0.1 rad within that width and is left out.
    """
    rayleigh = optics.wavenumber * optics.beam_um**2 / 2
    width = optics.beam_um * np.sqrt(1 + (optics.distance_um / rayleigh) ** 2)
    return np.exp(-((r_um / width) ** 2))


def hologram(diameter_um: float, index: float, optics: Optics, pitch_um: float, radii: int) -> Hologram:
    """Return the hologram of a sphere at distances 0, 1, 2 ... `radii` - 1 pixels from its centre."""
    r_um = np.arange(radii) * (pitch_um / optics.magnification)
    s = field(diameter_um, index, optics, r_um)
    return Hologram(np.abs(s) ** 2, 2 * s.real)


@lru_cache(maxsize=4)
def _nodes(count: int) -> tuple[np.ndarray, np.ndarray]:
    """Return nodes and weights of Gauss-Legendre quadrature on [0, 1], in panels of `PANEL` nodes."""
    nodes, weights = np.polynomial.legendre.leggauss(PANEL)
    starts = np.arange(0, count, PANEL) / count
    return (starts[:, None] + (nodes + 1) / 2 * PANEL / count).ravel(), np.tile(weights / 2 * PANEL / count, len(starts))


@lru_cache(maxsize=4)
def _angles(k: float) -> tuple[np.ndarray, np.ndarray]:
    nodes, weights = _nodes(ANGLES)
    return nodes * (STEEPEST * k), weights * (STEEPEST * k)


@lru_cache(maxsize=4)
def _smooth(k: float) -> tuple[np.ndarray, np.ndarray]:
    """Return the few wave numbers at which a spectrum has to be known, and the matrix that gives it at all others.

    The spectrum of what is at most 60 um wide is smooth: it is interpolated by Chebyshev polynomials through `SMOOTH` points.
    """
    q, _ = _angles(k)
    points = np.polynomial.chebyshev.chebpts1(SMOOTH)
    through = np.polynomial.chebyshev.chebvander(points, SMOOTH - 1).T * (2.0 / SMOOTH)
    through[0] /= 2
    there = np.polynomial.chebyshev.chebvander(2 * q / (STEEPEST * k) - 1, SMOOTH - 1)
    return (points + 1) / 2 * STEEPEST * k, there @ through


@lru_cache(maxsize=4)
def _bessel(k: float, r_um: bytes) -> np.ndarray:
    from scipy.special import j0

    return j0(np.multiply.outer(np.frombuffer(r_um), _angles(k)[0]))


@njit(cache=True)
def _sums(matrix: np.ndarray, vector: np.ndarray) -> np.ndarray:
    """Return ``matrix @ vector``, summed in one order on every machine and for every number of threads."""
    out = np.empty(matrix.shape[0], np.complex128)
    for i in range(matrix.shape[0]):
        re = im = 0.0
        for j in range(matrix.shape[1]):
            re += matrix[i, j] * vector[j].real
            im += matrix[i, j] * vector[j].imag
        out[i] = complex(re, im)
    return out
