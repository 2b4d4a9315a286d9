"""Laminar flow in a channel of rectangular cross-section, and the particles that it carries.

The speed of a liquid in a channel of width w (along y) and depth h (along z), both measured from the middle, is (White, Viscous
Fluid Flow, 3rd edition, equation 3-48) ::

    u(y, z) ~ sum over odd i of (-1)^((i-1)/2) (1 - cosh(i pi y / h) / cosh(i pi w / 2h)) cos(i pi z / h) / i^3

Particles arrive as a Poisson process, travel with the liquid at their centre, and do not touch the walls.
"""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np

from sensors.cytometry.parameters import Channel, CytometerParameters
from sensors.cytometry.runs import PARTICLES, RunConditions, generator

TERMS = 40
FURTHEST = 4.0  # standard deviations of a diameter
DIAMETER_STEP_UM = 0.05  # diameters are multiples of this, so that particles can share their holograms


@dataclass(frozen=True)
class Arrivals:
    """The particles of a recording, by the time at which they pass the beam's axis.

    Attributes
    ----------
    centre_us : numpy.ndarray
        float64 [particles], ascending: when the particle's centre is on the beam's axis.
    kind : numpy.ndarray
        int32 [particles]: index of its class.
    diameter_um : numpy.ndarray
        float64 [particles]: within 4 standard deviations of its class's mean.
    y_um, z_um : numpy.ndarray
        float64 [particles]: place across the width and along the depth, from the channel's middle; z grows towards the sensor.
    speed : numpy.ndarray
        float64 [particles]: micrometres per microsecond, which is metres per second.
    """

    centre_us: np.ndarray
    kind: np.ndarray
    diameter_um: np.ndarray
    y_um: np.ndarray
    z_um: np.ndarray
    speed: np.ndarray

    def __len__(self) -> int:
        return len(self.centre_us)


def flow_speed(channel: Channel, y_um: np.ndarray, z_um: np.ndarray) -> np.ndarray:
    """Return the liquid's speed in metres per second at places in the channel, 0 at its walls."""
    y, z = np.broadcast_arrays(np.asarray(y_um, float), np.asarray(z_um, float))
    return channel.speed_m_s * _profile(channel, y, z) / _profile(channel, np.zeros(1), np.zeros(1))


def _profile(channel: Channel, y: np.ndarray, z: np.ndarray) -> np.ndarray:
    total = np.zeros(y.shape)
    for i in range(1, 2 * TERMS, 2):
        scale = np.pi * i / channel.depth_um
        wall = scale * channel.width_um / 2
        # cosh(a) / cosh(b) without overflow
        ratio = np.exp(scale * np.abs(y) - wall) * (1 + np.exp(-2 * scale * np.abs(y))) / (1 + np.exp(-2 * wall))
        total += (-1) ** ((i - 1) // 2) * (1 - ratio) * np.cos(scale * z) / i**3
    return np.maximum(total, 0)


def draw_arrivals(parameters: CytometerParameters, run: RunConditions, margin_us: float, settling_us: np.ndarray) -> Arrivals:
    """Draw the particles that pass the beam's axis from `margin_us` before the recording to as long after it.

    Parameters
    ----------
    parameters : CytometerParameters
        As they are under the run's conditions.
    run : RunConditions
        Its `offset_um` shifts the stream of particles.
    settling_us : numpy.ndarray
        float64, ascending, all before ``-margin_us``: when further particles pass before the recording.
    """
    rng = generator(parameters, PARTICLES)
    length = 1e6 * parameters.seconds + 2 * margin_us
    count = int(rng.poisson(parameters.rate * length / 1e6))
    centre = np.concatenate([settling_us, np.sort(rng.uniform(-margin_us, length - margin_us, count))])
    count = len(centre)
    shares = np.array([c.share for c in parameters.classes])
    kind = rng.choice(len(shares), count, p=shares / shares.sum()).astype(np.int32)
    mean = np.array([c.diameter_um for c in parameters.classes])[kind]
    cv = np.array([c.diameter_cv for c in parameters.classes])[kind]
    drawn = mean * (1 + cv * np.clip(rng.standard_normal(count), -FURTHEST, FURTHEST))
    diameter = np.round(drawn / DIAMETER_STEP_UM) * DIAMETER_STEP_UM
    channel = parameters.channel
    y = _place(rng, channel.width_um, channel.spread_um[0], run.offset_um[0], diameter)
    z = _place(rng, channel.depth_um, channel.spread_um[1], run.offset_um[1], diameter)
    return Arrivals(centre, kind, diameter, y, z, flow_speed(channel, y, z))


def _place(rng: np.random.Generator, width: float, spread: float, offset: float, diameter: np.ndarray) -> np.ndarray:
    reach = 0.95 * (width - diameter) / 2
    return np.clip(offset + spread * rng.standard_normal(len(diameter)), -reach, reach)
