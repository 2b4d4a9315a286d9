"""What flows between stages: columns in small frozen dataclasses, time as an exact integer.

A block covers the stretch ``[start, stop)`` of its stream, counted in frames since the recording began. Blocks that follow each
other without loss have ``next.start == this.stop``; a larger `start` is a gap, and the stages are told so.
"""

from __future__ import annotations

from dataclasses import dataclass, replace
from typing import Any, TypeAlias

import numpy as np

from pipeline.errors import BitspikeError

LEAST_RATE_HZ, MOST_RATE_HZ = 1e-3, 1e9
MOST_CHANNELS, MOST_BITS = 1 << 16, 16
SATURATED, ARTEFACT = 1, 2  # bits of Samples.flags
UNSORTED = -1  # Spikes.unit of a spike that no unit explains
DOUBLET, MERGED, SPLIT = 1, 2, 4  # bits of Particles.flags


@dataclass(frozen=True, slots=True)
class SampleFormat:
    """What the numbers of a sample stream mean.

    Attributes
    ----------
    rate_hz : float
        Frames per second.
    channels : int
        Columns of the data.
    uv_per_count : float
        Microvolts of one count; 0 where the recording does not say (thresholds in multiples of the noise still work).
    bits : int
        Significant bits: every sample is in ``[-2**(bits-1), 2**(bits-1))``.
    positions_um : tuple of (float, float), optional
        Electrode sites (x, y) in micrometres; empty where there is no geometry.
    groups : tuple of int, optional
        Channel group (tetrode, shank) of each channel; empty means that all channels are one group.
    snippet : tuple of (int, int)
        Frames and channels of the waveforms that come with spikes; (0, 0) where spikes have none.
    input_counts : float
        Counts of the recording in one count: another number than 1 behind stages that scale, such as by fractional bits.
    """

    rate_hz: float
    channels: int
    uv_per_count: float = 0.0
    bits: int = 16
    positions_um: tuple[tuple[float, float], ...] = ()
    groups: tuple[int, ...] = ()
    snippet: tuple[int, int] = (0, 0)
    input_counts: float = 1.0

    def __post_init__(self) -> None:
        if not LEAST_RATE_HZ <= self.rate_hz <= MOST_RATE_HZ:
            raise BitspikeError(f"rate_hz: {self.rate_hz} is not a sampling rate; give frames per second, such as 24000")
        if not 1 <= self.channels <= MOST_CHANNELS:
            raise BitspikeError(f"channels: {self.channels}; a recording has 1 to {MOST_CHANNELS} channels")
        if not 1 <= self.bits <= MOST_BITS:
            raise BitspikeError(f"bits: {self.bits} is outside 1 to {MOST_BITS}")
        for name, given in (("positions_um", self.positions_um), ("groups", self.groups)):
            if given and len(given) != self.channels:
                raise BitspikeError(f"{name}: {len(given)} entries for {self.channels} channels; give one per channel")

    @property
    def group_of(self) -> np.ndarray:
        """Group of each channel, int32 [channels], numbered from 0 in order of appearance."""
        if not self.groups:
            return np.zeros(self.channels, np.int32)
        order = {name: i for i, name in enumerate(dict.fromkeys(self.groups))}
        return np.array([order[g] for g in self.groups], np.int32)

    @property
    def scale(self) -> tuple[float, str]:
        """What one count is worth, and in what: microvolts, or counts of a recording that does not say its microvolts."""
        return (self.uv_per_count, "µV") if self.uv_per_count else (self.input_counts, "counts")

    def with_(self, **changes: Any) -> SampleFormat:
        """Return a copy with some fields changed."""
        return replace(self, **changes)

    def scaled(self, gain: float, bits: int) -> SampleFormat:
        """Return the format of the samples after a gain, in `bits`."""
        return replace(self, bits=bits, uv_per_count=self.uv_per_count / gain, input_counts=self.input_counts / gain)


@dataclass(frozen=True, slots=True, init=False)
class Samples:
    """A stretch of all channels.

    Attributes
    ----------
    start : int
        Index of the first frame.
    data : numpy.ndarray
        int16 [frames, channels], C-contiguous.
    flags : numpy.ndarray, optional
        uint8 [frames]: bits `SATURATED` and `ARTEFACT`; None means that nothing was flagged.
    """

    start: int
    data: np.ndarray
    flags: np.ndarray | None = None

    def __init__(self, start: int, data: np.ndarray, flags: np.ndarray | None = None) -> None:
        _set_start(self, start)  # at half the cost of the usual frozen dataclass: every stage makes one for every block
        _set_data(self, data)
        _set_flags(self, flags)

    @property
    def stop(self) -> int:
        """Index after the last frame."""
        return self.start + len(self.data)

    @property
    def frame_flags(self) -> np.ndarray:
        """The flags, all zero where there are none: uint8 [frames]."""
        return np.zeros(len(self.data), np.uint8) if self.flags is None else self.flags


_set_start, _set_data, _set_flags = (getattr(Samples, name).__set__ for name in ("start", "data", "flags"))


def _none(*shape: int, dtype: Any = np.int32) -> np.ndarray:
    empty = np.empty(shape, dtype)
    empty.flags.writeable = False
    return empty


_NO_SAMPLE, _NO_NUMBER, _NO_WAVEFORM, _NO_FEATURES = _none(0, dtype=np.int64), _none(0), _none(0, 0, 0, dtype=np.int16), _none(0, 0)


@dataclass(frozen=True, slots=True, init=False)
class Spikes:
    """Spikes that became known while the stream advanced over ``[start, stop)``; their own samples may lie a little before.

    Attributes
    ----------
    start, stop : int
        The stretch of input that was processed.
    sample : numpy.ndarray
        int64 [n]: frame of the peak. Ascending within what one stage emits, ties by channel, except where the stage says otherwise.
    channel : numpy.ndarray
        int32 [n]: channel of the peak.
    amplitude : numpy.ndarray
        int32 [n]: signed sample value at the peak (of the detector's input).
    unit : numpy.ndarray
        int32 [n]: sorted unit, `UNSORTED` where none; empty before sorting.
    waveform : numpy.ndarray
        int16 [n, width, neighbours]: aligned snippet; empty before extraction.
    features : numpy.ndarray
        int32 [n, count]; empty before extraction.
    """

    start: int
    stop: int
    sample: np.ndarray
    channel: np.ndarray
    amplitude: np.ndarray
    unit: np.ndarray
    waveform: np.ndarray
    features: np.ndarray

    def __init__(
        self,
        start: int,
        stop: int,
        sample: np.ndarray = _NO_SAMPLE,
        channel: np.ndarray = _NO_NUMBER,
        amplitude: np.ndarray = _NO_NUMBER,
        unit: np.ndarray = _NO_NUMBER,
        waveform: np.ndarray = _NO_WAVEFORM,
        features: np.ndarray = _NO_FEATURES,
    ) -> None:
        _put_start(self, start)  # the quick way, as for `Samples`
        _put_stop(self, stop)
        _put_sample(self, sample)
        _put_channel(self, channel)
        _put_amplitude(self, amplitude)
        _put_unit(self, unit)
        _put_waveform(self, waveform)
        _put_features(self, features)

    def __len__(self) -> int:
        return len(self.sample)


_put_start, _put_stop, _put_sample, _put_channel, _put_amplitude, _put_unit, _put_waveform, _put_features = (
    getattr(Spikes, name).__set__ for name in Spikes.__annotations__
)


@dataclass(frozen=True, slots=True)
class EventFormat:
    """What the numbers of an event stream mean.

    Attributes
    ----------
    width, height : int
        Pixels of the sensor: x is below `width`, y below `height`.
    pitch_um : float
        Distance of neighbouring pixels, in micrometres on the sensor; 0 where it is not known.
    """

    width: int
    height: int
    pitch_um: float = 0.0

    def __post_init__(self) -> None:
        if not (1 <= self.width <= 1 << 14 and 1 <= self.height <= 1 << 14):
            raise BitspikeError(f"width, height: {self.width} x {self.height} is no event camera; give 1 to 16384 pixels each")

    def with_(self, **changes: Any) -> EventFormat:
        """Return a copy with some fields changed."""
        return replace(self, **changes)


@dataclass(frozen=True, slots=True, init=False)
class Events:
    """Events of an event camera: t_us int64, x and y uint16, p uint8 (1 brighter, 0 darker), all [n], time ascending.

    ``[start, stop)`` is the stretch of time covered, in microseconds.
    """

    start: int
    stop: int
    t_us: np.ndarray
    x: np.ndarray
    y: np.ndarray
    p: np.ndarray

    def __init__(self, start: int, stop: int, t_us: np.ndarray, x: np.ndarray, y: np.ndarray, p: np.ndarray) -> None:
        _take_start(self, start)  # the quick way, as for `Samples`
        _take_stop(self, stop)
        _take_t_us(self, t_us)
        _take_x(self, x)
        _take_y(self, y)
        _take_p(self, p)

    def __len__(self) -> int:
        return len(self.t_us)


_take_start, _take_stop, _take_t_us, _take_x, _take_y, _take_p = (getattr(Events, name).__set__ for name in Events.__annotations__)


@dataclass(frozen=True, slots=True)
class Particles:
    """Particles that became known while the stream advanced over ``[start, stop)`` microseconds, in order of `closed_us`.

    Attributes
    ----------
    start, stop : int
        The stretch of input that was processed.
    track : numpy.ndarray
        int32 [n]: number of the passage since the start, in order of their seeds.
    first_us, last_us : numpy.ndarray
        int64 [n]: times of the first and the last event of the passage.
    closed_us : numpy.ndarray
        int64 [n]: when the passage was over: the record was available from then on.
    path : numpy.ndarray
        int32 [n, 4]: middle of the particle at its first and at its last event, x, y, x, y in sixteenths of a pixel.
    events : numpy.ndarray
        int32 [n, 2]: darker and brighter events, as `Events.p` numbers them.
    velocity : numpy.ndarray
        int32 [n, 2]: along x and y, pixels per second.
    size : numpy.ndarray
        int32 [n, 2]: twice the events' mean distance from the middle, along x and y, in sixteenths of a pixel.
    box : numpy.ndarray
        int32 [n, 4]: least x and y and greatest x and y of the events.
    flags : numpy.ndarray
        uint8 [n]: bits `DOUBLET`, `MERGED`, `SPLIT`.
    gate_us, deadline_us : numpy.ndarray
        int64 [n]: when it was decided whether to sort the particle, and until when the sorter must have acted.
    gate : numpy.ndarray
        uint8 [n]: 1 where the particle is to be sorted.
    tensor : numpy.ndarray
        uint8 [n, bytes]: where there were events, a bit for each cell of a coarse grid, time step and polarity.
    """

    start: int
    stop: int
    track: np.ndarray
    first_us: np.ndarray
    last_us: np.ndarray
    closed_us: np.ndarray
    path: np.ndarray
    events: np.ndarray
    velocity: np.ndarray
    size: np.ndarray
    box: np.ndarray
    flags: np.ndarray
    gate_us: np.ndarray
    deadline_us: np.ndarray
    gate: np.ndarray
    tensor: np.ndarray

    def __len__(self) -> int:
        return len(self.track)


Format: TypeAlias = SampleFormat | EventFormat
Block: TypeAlias = Samples | Spikes | Events | Particles
SPIKE_COLUMNS = ("sample", "channel", "amplitude", "unit", "waveform", "features")
EVENT_COLUMNS = ("t_us", "x", "y", "p")
PARTICLE_COLUMNS = tuple(name for name in Particles.__annotations__ if name not in ("start", "stop"))


def concatenate(blocks: list[Any]) -> Any:
    """Join blocks of one kind that follow each other without a gap."""
    first = blocks[0]
    if isinstance(first, Samples):
        flagged = any(b.flags is not None for b in blocks)
        flags = np.concatenate([b.frame_flags for b in blocks]) if flagged else None
        return Samples(first.start, np.concatenate([b.data for b in blocks]), flags)
    if isinstance(first, Spikes):
        full = [b for b in blocks if len(b)] or [first]
        joined = {c: np.concatenate([getattr(b, c) for b in full]) for c in SPIKE_COLUMNS}
        return Spikes(first.start, blocks[-1].stop, **joined)
    columns = EVENT_COLUMNS if isinstance(first, Events) else PARTICLE_COLUMNS
    parts = (np.concatenate([getattr(b, c) for b in blocks]) for c in columns)
    return type(first)(first.start, blocks[-1].stop, *parts)
