"""What differs from run to run: drawn once for each run from its number and the seed, then held.

A classifier that was trained on some runs meets another laser power, focus, flow speed, alignment and other contrast thresholds on
the next, so its accuracy must be measured on runs that it never saw.

Run 0 is the instrument as its parameters describe it, but for what drifted by itself. Before each later run the camera is mounted
anew, which nobody can do to a pixel, and laser, pump, focus and thresholds are trimmed until rate and duration are about as usual:
so what changes is where the rings lie and how large they are, more than how many events there are.
"""

from __future__ import annotations

from dataclasses import asdict, dataclass, replace

import numpy as np

from sensors.cytometry.parameters import CytometerParameters

DRIFT, SENSOR, PARTICLES, NOISE = range(4)  # streams of random numbers


@dataclass(frozen=True)
class RunConditions:
    """What was drawn for one run: factors on the parameters, and shifts.

    Attributes
    ----------
    illumination, focus, distance, speed, on_threshold, off_threshold : float
        Factors, around 1.
    beam_px : tuple of float
        Shift of the beam on the sensor, (x, y), by its own alignment and by the camera's place.
    offset_um : tuple of float
        Shift of the particle stream across the width and along the depth of the channel.
    """

    illumination: float
    focus: float
    distance: float
    speed: float
    on_threshold: float
    off_threshold: float
    beam_px: tuple[float, float]
    offset_um: tuple[float, float]

    def as_dict(self) -> dict[str, float | tuple[float, float]]:
        """Return plain values."""
        return asdict(self)


def draw_conditions(parameters: CytometerParameters) -> RunConditions:
    """Draw the conditions of the run that `parameters` names."""
    rng = generator(parameters, DRIFT)
    drift, optics, again = parameters.drift, parameters.optics, parameters.run > 0
    left = 1.0 - drift.trim if again else 1.0
    spread = (drift.illumination, drift.focus, drift.speed, drift.threshold, drift.threshold)
    light, focus, speed, on, off = np.exp(rng.standard_normal(5) * spread * left).tolist()
    shift = drift.alignment_px * rng.standard_normal(2)
    across, along = (drift.offset_um * rng.standard_normal(2)).tolist()
    distance = 1.0
    if again:
        shift += drift.camera_um / parameters.pixel.pitch_um * rng.standard_normal(2)
        distance = float(np.exp(drift.distance_mm / optics.sensor_mm * rng.standard_normal()))
    shift_x, shift_y = shift.tolist()
    return RunConditions(light, focus, distance, speed, on, off, (shift_x, shift_y), (across, along))


def under(parameters: CytometerParameters, run: RunConditions) -> CytometerParameters:
    """Return the parameters as they are under the conditions of a run.

    A weaker laser leaves the room's stray light as it is, so that its share grows, and slows the photoreceptors in proportion.
    """
    optics, channel, pixel = parameters.optics, parameters.channel, parameters.pixel
    return parameters.with_(
        optics=replace(
            optics,
            source_mm=optics.source_mm * run.focus,
            sensor_mm=optics.sensor_mm * run.distance,
            stray=optics.stray / run.illumination,
            beam_px=(optics.beam_px[0] + run.beam_px[0], optics.beam_px[1] + run.beam_px[1]),
        ),
        channel=replace(channel, speed_m_s=channel.speed_m_s * run.speed),
        pixel=replace(
            pixel,
            on_threshold=pixel.on_threshold * run.on_threshold,
            off_threshold=pixel.off_threshold * run.off_threshold,
            response_us=pixel.response_us / run.illumination,
        ),
    )


def generator(parameters: CytometerParameters, stream: int, part: int = 0) -> np.random.Generator:
    """Return the random numbers of one purpose; the sensor's pattern is the same in every run."""
    run = 0 if stream == SENSOR else parameters.run
    return np.random.default_rng([parameters.seed, stream, run, part])
