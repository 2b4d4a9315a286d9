"""The light on the sensor, against Lorenz-Mie theory, two-dimensional Fourier optics and Fresnel's integral."""

from __future__ import annotations

from dataclasses import replace

import numpy as np
import pytest
from scipy.special import j0

from sensors.cytometry.holograms import HologramBank, illumination
from sensors.cytometry.optics import FADING, STEEPEST, beam, field, hologram, spectrum
from sensors.cytometry.parameters import CytometerParameters, Optics, Pixel

OPTICS = Optics()
RINGS = {(0.0, 0.04): 0.09, (0.04, 0.08): 0.15, (0.08, 0.12): 0.25}  # angles in air, and how far the intensity may be off (rms)


@pytest.mark.parametrize("diameter", [16.0, 20.0])
def test_scattering_is_that_of_lorenz_mie(diameter):
    miepython = pytest.importorskip("miepython", reason="Lorenz-Mie theory is in the package miepython, of the test extra")
    angle = np.linspace(0, 0.12, 481)
    in_water = np.arcsin(np.sin(angle) / OPTICS.medium_index)
    k = OPTICS.wavenumber * OPTICS.medium_index
    s1, s2 = miepython.S1_S2(1.489 / OPTICS.medium_index, k * diameter / 2, np.cos(in_water), norm="wiscombe")
    mie = np.abs((s1 + s2) / 2) ** 2
    ours = np.abs(k * k * spectrum(diameter, 1.489, OPTICS, OPTICS.wavenumber * np.sin(angle))) ** 2
    for (low, high), most in RINGS.items():
        here = (angle >= low) & (angle < high)
        assert np.sqrt(((ours - mie)[here] ** 2).sum() / (mie[here] ** 2).sum()) < most
        assert np.corrcoef(ours[here], mie[here])[0, 1] > 0.95
    ring = (angle > 0.04) & (angle < 0.1)
    assert angle[ring][ours[ring].argmax()] == pytest.approx(angle[ring][mie[ring].argmax()], abs=0.0011)


def test_field_is_that_of_a_two_dimensional_transform():
    """A small sphere near by: the same plane wave on a grid, cut out, transformed, propagated and transformed back."""
    size, step, z, diameter = 1024, 0.15, 120.0, 6.0
    x = (np.arange(size) - size // 2) * step
    r2 = x[:, None] ** 2 + x[None, :] ** 2
    phase = OPTICS.wavenumber * (1.489 - OPTICS.medium_index) * 2 * np.sqrt(np.maximum(diameter**2 / 4 - r2, 0))
    q = 2 * np.pi * np.fft.fftfreq(size, step)
    q2 = q[:, None] ** 2 + q[None, :] ** 2
    k = OPTICS.wavenumber
    shown = np.cos(np.pi / 2 * np.clip((np.sqrt(q2) / (STEEPEST * k) - FADING) / (1 - FADING), 0, 1)) ** 2
    passed = shown * np.exp(1j * z * (np.sqrt(np.maximum(k * k - q2, 0)) - k))
    grid = np.fft.fftshift(np.fft.ifft2(np.fft.fft2(np.fft.ifftshift(np.exp(1j * phase) - 1)) * passed))
    ours = field(diameter, 1.489, OPTICS, x[size // 2 : size // 2 + 160], z)
    theirs = grid[size // 2, size // 2 : size // 2 + 160]
    assert np.abs(ours - theirs).max() < 0.01 * np.abs(theirs).max()


def test_field_far_away_is_fresnels():
    """At the sensor's distance the paraxial integral over the sphere's shadow is as good, and needs no spectrum."""
    z, k, radius = OPTICS.distance_um, OPTICS.wavenumber, 8.0
    r = np.linspace(0, 350, 71)
    rho = (np.arange(4000) + 0.5) / 4000 * radius
    late = np.exp(1j * k * (1.489 - OPTICS.medium_index) * 2 * np.sqrt(radius**2 - rho**2)) - 1
    inner = late * np.exp(1j * k * rho**2 / (2 * z)) * rho * radius / 4000
    fresnel = k / z * np.abs(j0(np.multiply.outer(k * r / z, rho)) @ inner)
    assert np.abs(np.abs(field(16.0, 1.489, OPTICS, r)) - fresnel).max() < 0.01 * fresnel.max()


def test_a_sphere_of_the_liquids_index_is_not_seen():
    assert np.abs(field(20.0, OPTICS.medium_index, OPTICS, np.linspace(0, 400, 9))).max() == 0


def test_beam_spreads_as_a_gaussian_beam_does():
    """Its width after the distance, by propagating it on a grid of one dimension."""
    x = np.arange(-4096, 4096) * 0.5
    tight = replace(OPTICS, beam_um=30.0)
    q = 2 * np.pi * np.fft.fftfreq(len(x), 0.5)
    travelled = np.fft.ifft(np.fft.fft(np.exp(-((x / 30.0) ** 2))) * np.exp(-0.5j * q * q * tight.distance_um / tight.wavenumber))
    there = np.abs(travelled) / np.abs(travelled).max()
    assert beam(tight, np.abs(x)) == pytest.approx(there, abs=1e-3)


def test_rings_grow_with_the_distance_and_shrink_with_the_sphere():
    """The first ring lies at about 1.6 wavelengths over the diameter."""

    def ring_px(diameter, optics):
        light = hologram(diameter, 1.489, optics, 15.0, 500).light
        first = int(1.3 * 0.6328 / diameter * optics.sensor_mm / 0.015)
        return first + light[first : 2 * first].argmax()

    near, small, large = ring_px(20.0, replace(OPTICS, sensor_mm=40.0)), ring_px(16.0, OPTICS), ring_px(20.0, OPTICS)
    assert near < large < small
    assert near / large == pytest.approx(40 / OPTICS.sensor_mm, abs=0.05)
    assert small == pytest.approx(1.6 * 0.6328 / 16 * OPTICS.sensor_mm / 0.015, rel=0.12)


def test_tables_hold_the_profile_averaged_along_the_way():
    parameters = CytometerParameters(pixel=Pixel(width=64, height=48, pitch_um=150.0))
    bank = HologramBank(parameters)
    table = np.empty((2, 48, 2 * bank.half + 2), np.float32)
    reach = bank.table(0, 16.0, 20.25, 3.0, table)
    assert (np.diff(reach) >= 0).all()
    shape = hologram(16.0, 1.489, parameters.optics, 150.0, 100)
    fine = np.linspace(-1.5, 1.5, 3001)
    for row, column in ((20, 0), (31, 4), (7, -9)):
        r = np.hypot(column + fine, row - 20.25)
        for which, profile in enumerate((shape.light, shape.fringe)):
            # between the pixels the table takes straight lines, along x too
            mean = np.interp(r, np.arange(100), profile).mean()
            around = np.abs(np.interp(np.hypot(np.arange(column - 2, column + 3), row - 20.25), np.arange(100), profile)).max()
            assert table[which, row, bank.half + column] == pytest.approx(mean, abs=0.1 * around)


def test_illumination_is_the_beam_and_stray_light():
    parameters = CytometerParameters(optics=replace(OPTICS, beam_px=(5.0, -3.0)))
    light = illumination(parameters)
    assert light.axis == (640 / 2 - 0.5 + 5, 480 / 2 - 0.5 - 3)
    assert light.stray == OPTICS.stray
    pitch = 15.0 / OPTICS.magnification
    for x, y in ((324, 237), (300, 200), (100, 400)):
        away = np.hypot(x - light.axis[0], y - light.axis[1]) * pitch
        assert light.across[x] * light.down[y] == pytest.approx(float(beam(OPTICS, np.array(away))), rel=1e-4)
