"""What a simulated cytometer is made of: frozen dataclasses in physical units, written to and read from a JSON or TOML file.

The defaults are an instrument whose recordings resemble those of Abreu et al. (2023, doi 10.1109/CVPRW59228.2023.00435): an event
camera of 640 x 480 pixels without a lens, 5 cm behind a channel through which a diverging laser beam shines;
`sensors.cytometry.calibration` holds them against what was measured there. Where the publications give no figure, the value was
chosen to meet those measurements.
"""

from __future__ import annotations

import json
import tomllib
from collections.abc import Mapping
from dataclasses import asdict, dataclass, field, fields, replace
from pathlib import Path
from typing import Any

from pipeline.errors import BitspikeError

MOST_CLASSES = 16


def require(name: str, value: Any, good: bool, cure: str) -> None:
    """Refuse a value that cannot be simulated."""
    if not good:
        raise BitspikeError(f"{name}: {value} cannot be simulated; {cure}")


def _within(holder: Any, where: str, ranges: Mapping[str, tuple[float, float]]) -> None:
    for name, (low, high) in ranges.items():
        value = getattr(holder, name)
        number = isinstance(value, int | float) and not isinstance(value, bool)
        require(f"{where}.{name}", value, number and low <= value <= high, f"choose {low:g} to {high:g}")


@dataclass(frozen=True)
class Optics:
    """A diverging Gaussian beam through the channel onto the bare sensor: point-projection in-line holography.

    Attributes
    ----------
    wavelength_nm : float
        In vacuum.
    medium_index : float
        Refractive index of the carrier liquid.
    beam_um : float
        Radius of the beam in the channel where its intensity has fallen to 1/e^2.
    source_mm : float
        Distance from the point the beam seems to come from to the channel's middle: its radius of curvature there.
    sensor_mm : float
        Distance from the channel's middle to the sensor.
    stray : float
        Light that reaches every pixel, as a fraction of the direct beam's peak on the sensor.
    beam_px : tuple of float
        Where the beam's axis meets the sensor, (x, y) in pixels from its middle.
    """

    wavelength_nm: float = 632.8
    medium_index: float = 1.331
    beam_um: float = 152.0
    source_mm: float = 5.2
    sensor_mm: float = 48.0
    stray: float = 1.5e-4
    beam_px: tuple[float, float] = (0.0, 0.0)

    def __post_init__(self) -> None:
        _within(
            self,
            "optics",
            {
                "wavelength_nm": (300, 1100),
                "medium_index": (1, 1.6),
                "beam_um": (20, 2000),
                "source_mm": (0.5, 1000),
                "sensor_mm": (1, 1000),
                "stray": (1e-6, 1),
            },
        )
        require("optics.beam_px", self.beam_px, len(self.beam_px) == 2 and max(map(abs, self.beam_px)) <= 200, "choose (x, y)")

    @property
    def magnification(self) -> float:
        """Size of a shadow on the sensor over the size of what throws it."""
        return 1.0 + self.sensor_mm / self.source_mm

    @property
    def distance_um(self) -> float:
        """Distance over which a plane wave would make the same hologram, `magnification` times smaller (Fresnel scaling)."""
        return 1000.0 * self.sensor_mm / self.magnification

    @property
    def wavenumber(self) -> float:
        """2 pi over the vacuum wavelength, per micrometre."""
        return 6283.185307179586 / self.wavelength_nm


@dataclass(frozen=True)
class Channel:
    """A straight channel of rectangular cross-section along the sensor's x axis; its depth is along the beam.

    Attributes
    ----------
    width_um, depth_um : float
        Inner measures across the flow, along the sensor's y axis and along the beam.
    speed_m_s : float
        Speed of the liquid in the channel's middle, its fastest.
    spread_um : tuple of float
        Standard deviation of the particles' positions across the width and the depth (how well they are focused).
    """

    width_um: float = 200.0
    depth_um: float = 100.0
    speed_m_s: float = 0.77
    spread_um: tuple[float, float] = (9.0, 9.0)

    def __post_init__(self) -> None:
        _within(self, "channel", {"width_um": (20, 2000), "depth_um": (20, 2000), "speed_m_s": (0.01, 5)})
        good = len(self.spread_um) == 2 and all(0 <= s <= 1000 for s in self.spread_um)
        require("channel.spread_um", self.spread_um, good, "choose two, 0 to 1000")


@dataclass(frozen=True)
class ParticleClass:
    """One kind of sphere.

    Attributes
    ----------
    diameter_um : float
        Mean diameter.
    diameter_cv : float
        Standard deviation of the diameter over its mean.
    index : float
        Refractive index (polymethyl methacrylate has 1.489 at 633 nm).
    share : float
        Share of all particles, relative to the other classes.
    """

    diameter_um: float = 16.0
    diameter_cv: float = 0.008
    index: float = 1.489
    share: float = 1.0

    def __post_init__(self) -> None:
        ranges = {"diameter_um": (2, 60), "diameter_cv": (0, 0.2), "index": (1, 2), "share": (0, 1e6)}
        _within(self, "class", ranges)


@dataclass(frozen=True)
class Pixel:
    """The sensor, and what a pixel does; `sensors.cytometry.pixel` says how.

    Attributes
    ----------
    width, height : int
        Pixels.
    pitch_um : float
        Distance of neighbouring pixels.
    on_threshold, off_threshold : float
        Rise and fall of the logarithm of the light that make an event.
    mismatch : float
        Standard deviation of a pixel's thresholds over their mean, fixed in the sensor.
    jitter : float
        Standard deviation of a threshold from event to event (comparator noise), over its mean.
    response_us : float
        Time constant of the photoreceptor in stray light alone; it falls in proportion to the light.
    fastest_us : float
        Time constant in bright light.
    refractory_us : float
        Time after an event has been read out during which the pixel is held in reset.
    leak_hz : float
        Mean rate of brighter events that leakage makes in darkness without change.
    shot_hz : float
        Mean rate of noise events of a pixel, of either polarity.
    shot_spread : float
        Standard deviation of the logarithm of that rate over the pixels.
    hot_pixels : int
        Pixels whose noise rate is `hot_hz`.
    hot_hz : float
        Their rate.
    """

    width: int = 640
    height: int = 480
    pitch_um: float = 15.0
    on_threshold: float = 0.36
    off_threshold: float = 0.74
    mismatch: float = 0.28
    jitter: float = 0.05
    response_us: float = 40.0
    fastest_us: float = 25.0
    refractory_us: float = 40.0
    leak_hz: float = 0.2
    shot_hz: float = 0.8
    shot_spread: float = 1.0
    hot_pixels: int = 12
    hot_hz: float = 800.0

    def __post_init__(self) -> None:
        ranges = {
            "width": (32, 1280),
            "height": (24, 960),
            "pitch_um": (1, 200),
            "on_threshold": (0.02, 2),
            "off_threshold": (0.02, 2),
            "mismatch": (0, 0.3),
            "jitter": (0, 0.3),
            "response_us": (1, 10_000),
            "fastest_us": (1, 10_000),
            "refractory_us": (0, 100_000),
            "leak_hz": (0, 10),
            "shot_hz": (0, 100),
            "shot_spread": (0, 3),
            "hot_pixels": (0, 10_000),
            "hot_hz": (0, 10_000),
        }
        _within(self, "pixel", ranges)
        whole = all(isinstance(n, int) for n in (self.width, self.height, self.hot_pixels))
        require("pixel.width, height, hot_pixels", (self.width, self.height, self.hot_pixels), whole, "choose whole numbers")


@dataclass(frozen=True)
class Arbiter:
    """The readout: rows are served in turn, all waiting pixels of a row at once; `sensors.cytometry.arbiter` says how.

    By default it is what limits the bursts, to 40 million events a second at most: those of the recordings reach 39 million, and a
    camera of this kind sends 32 bits an event over a link of 1.6 Gbit/s (docs.prophesee.ai, EVK3), which leaves 50 million.

    Attributes
    ----------
    row_ns : float
        Time that selecting a row takes.
    event_ns : float
        Time that each event of the row adds.
    jitter_us : float
        Mean of the exponentially distributed delay of a row's time stamp.
    """

    row_ns: float = 100.0
    event_ns: float = 25.0
    jitter_us: float = 0.5

    def __post_init__(self) -> None:
        _within(self, "arbiter", {"row_ns": (0, 10_000), "event_ns": (0, 10_000), "jitter_us": (0, 100)})
        require("arbiter.row_ns, event_ns", 0, self.row_ns + self.event_ns > 0, "let one of them be more than 0")


@dataclass(frozen=True)
class Drift:
    """How far runs lie apart: standard deviations of what is drawn once for each run.

    Attributes
    ----------
    illumination : float
        Of the laser's power, relative: it changes the stray light's share and the photoreceptors' speed.
    focus : float
        Of the distance between source and channel, relative: it changes the magnification.
    speed : float
        Of the flow speed, relative.
    alignment_px : float
        Of the beam's place on the sensor, in each direction.
    offset_um : float
        Of the particle stream's place across the channel.
    threshold : float
        Of each contrast threshold, relative: bias voltages follow the temperature.
    camera_um : float
        Of the camera's place, in each direction along the sensor, each time it is mounted: before every run but run 0.
    distance_mm : float
        Of its distance from the channel, each time it is mounted: the rings grow with it.
    trim : float
        Share of what illumination, focus, speed and thresholds drifted that is corrected before every run but run 0, when laser,
        pump and biases are set until the events come at their usual rate; 1 corrects all.
    """

    illumination: float = 0.05
    focus: float = 0.03
    speed: float = 0.08
    alignment_px: float = 10.0
    offset_um: float = 4.0
    threshold: float = 0.03
    camera_um: float = 350.0
    distance_mm: float = 3.0
    trim: float = 0.7

    def __post_init__(self) -> None:
        ranges = {
            "illumination": (0, 0.5),
            "focus": (0, 0.2),
            "speed": (0, 0.5),
            "alignment_px": (0, 100),
            "offset_um": (0, 100),
            "threshold": (0, 0.3),
            "camera_um": (0, 1000),
            "distance_mm": (0, 20),
            "trim": (0, 1),
        }
        _within(self, "drift", ranges)


@dataclass(frozen=True)
class CytometerParameters:
    """All of a simulated recording.

    Attributes
    ----------
    seconds : float
        Length.
    rate : float
        Particles per second, on average; they arrive as a Poisson process.
    run : int
        Number of the run: what drifts is drawn anew for each.
    seed : int
        The same parameters with the same seed give the same bytes. The sensor's own pattern depends on the seed, not on the run.
    step_us : int
        Time step of the pixels near particles. Light is averaged over it, so fringes that pass faster are not seen: it belongs to
        the calibration (on the full sensor, 5 us make about a third more events).
    """

    seconds: float = 1.0
    rate: float = 255.0
    run: int = 0
    seed: int = 0
    step_us: int = 15
    classes: tuple[ParticleClass, ...] = (ParticleClass(16.0), ParticleClass(20.0))
    optics: Optics = field(default_factory=Optics)
    channel: Channel = field(default_factory=Channel)
    pixel: Pixel = field(default_factory=Pixel)
    arbiter: Arbiter = field(default_factory=Arbiter)
    drift: Drift = field(default_factory=Drift)

    def __post_init__(self) -> None:
        ranges = {"seconds": (0.001, 86_400), "rate": (0, 20_000), "run": (0, 2**31), "seed": (0, 2**32 - 1), "step_us": (1, 50)}
        _within(self, "cytometer", ranges)
        for name in ("run", "seed", "step_us"):
            require(f"cytometer.{name}", getattr(self, name), isinstance(getattr(self, name), int), "choose a whole number")
        count = len(self.classes)
        require("classes", count, 1 <= count <= MOST_CLASSES, f"give 1 to {MOST_CLASSES} classes of particles")
        require("class.share", 0, sum(c.share for c in self.classes) > 0, "let one share be more than 0")
        least = min(self.channel.width_um, self.channel.depth_um)
        for one in self.classes:
            largest = one.diameter_um * (1 + 4 * one.diameter_cv)
            require("class.diameter_um", one.diameter_um, largest < 0.9 * least, f"the channel is {least:g} um at its narrowest")

    def with_(self, **changes: Any) -> CytometerParameters:
        """Return a copy with some fields changed."""
        return replace(self, **changes)


_PARTS = {"optics": Optics, "channel": Channel, "pixel": Pixel, "arbiter": Arbiter, "drift": Drift}


def write_parameters(path: Path, parameters: CytometerParameters) -> None:
    """Write a JSON file that `read_parameters` reads."""
    path.write_text(json.dumps(asdict(parameters), indent=1) + "\n", encoding="utf-8")


def read_parameters(path: str | Path) -> CytometerParameters:
    """Read parameters from ``.toml`` or ``.json``; what the file does not name has its default.

    The sections are those of `CytometerParameters`: ``[optics]``, ``[channel]``, ``[pixel]``, ``[arbiter]``, ``[drift]``, and one
    ``[[classes]]`` for each kind of particle.

    Raises
    ------
    BitspikeError
        The file is missing or damaged, or names a field that does not exist or a value that cannot be simulated.
    """
    path = Path(path)
    try:
        text = path.read_text(encoding="utf-8")
        document = tomllib.loads(text) if path.suffix == ".toml" else json.loads(text)
    except FileNotFoundError:
        raise BitspikeError(f"{path}: no such file") from None
    except (OSError, ValueError) as error:
        raise BitspikeError(f"{path}: not readable as {'TOML' if path.suffix == '.toml' else 'JSON'} ({error}); mend it") from error
    try:
        return parameters_from(document)
    except BitspikeError as error:
        raise BitspikeError(f"{path}: {error}") from None


def parameters_from(document: Any) -> CytometerParameters:
    """Return parameters from nested dictionaries, as `asdict` makes them."""
    if not isinstance(document, dict):
        raise BitspikeError("holds no table of parameters")
    given = dict(document)
    classes = given.pop("classes", None)
    parts = {name: _make(kind, name, given.pop(name)) for name, kind in _PARTS.items() if name in given}
    if classes is not None:
        if not isinstance(classes, list | tuple):
            raise BitspikeError("classes: is no list; write one [[classes]] for each kind of particle")
        parts["classes"] = tuple(_make(ParticleClass, "classes", one) for one in classes)
    return _make(CytometerParameters, "parameters", {**given, **parts})


def _make(kind: Any, where: str, given: Any) -> Any:
    if not isinstance(given, dict):
        raise BitspikeError(f"{where}: is no table of fields")
    known = [f.name for f in fields(kind)]
    for name in given:
        if name not in known:
            raise BitspikeError(f"{where}.{name}: there is no such parameter; there are {', '.join(known)}")
    try:
        return kind(**{name: tuple(v) if isinstance(v, list) else v for name, v in given.items()})
    except TypeError as error:
        raise BitspikeError(f"{where}: a value is of the wrong kind ({error})") from None
