"""Band-pass filter: Butterworth biquads in direct form I, 32-bit state with fractional bits, 64-bit accumulator.

Each section is  y[n] = (b (x[n] - x[n-2]) + c1 y[n-1] + c2 y[n-2]) / 2**29, rounded down, on integers: b, c1 = -a1 and c2 = -a2 in
Q29, x and y with `headroom` fractional bits.  A Butterworth band-pass has all its zeros at z = +1 and z = -1, so the pairing
(1 - z^-2) serves every section, takes one multiplication instead of three, and lets no constant through any of them
(Oppenheim and Schafer, Discrete-Time Signal Processing, 6.3 and 7.1).  `firmware/src/bandpass.c` is the same text in C.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator
from dataclasses import dataclass
from typing import Any

import numpy as np

from pipeline import lanes
from pipeline.blocks import SampleFormat, Samples
from pipeline.capacity import Capacity
from pipeline.errors import BitspikeError
from pipeline.fixed import inlined, quantise, require_fits
from pipeline.layout import blank, layout
from pipeline.stage import INT16, Design, Parameters, Stage

MAX_SECTIONS = 4
COEFFICIENT_BITS = 29
FOLLOWED, OCTAVE = 0.4, 2  # of the sampling rate, and of low_hz at the least
MAX_RESPONSE = 1 << 20  # frames of impulse response that `design` is ready to add up


@dataclass(frozen=True)
class BandpassParameters(Parameters):
    """Parameters in physical units.

    Attributes
    ----------
    low_hz, high_hz : float
        The -3 dB points; 0 < low_hz < high_hz < half the sampling rate.
    order : int
        Order of the Butterworth prototype, 1 to 4: so many biquads.
    fraction_bits : int
        Fractional bits of the output; -1 chooses so that the band of a full-scale input fits with a factor of two to spare,
        and at least 2, so that rounding the output adds less noise than the input's own quantisation.
    follow_rate : bool
        True lowers high_hz to 0.4 of the sampling rate where the recording is too slow for it, as long as an octave is left.
    """

    low_hz: float = 300.0
    high_hz: float = 6000.0
    order: int = 2
    fraction_bits: int = -1
    follow_rate: bool = False

    def __post_init__(self) -> None:
        self.require("order", 1 <= self.order <= MAX_SECTIONS, f"choose 1 to {MAX_SECTIONS}")
        self.require("low_hz", 0 < self.low_hz < self.high_hz, f"must lie between 0 and high_hz = {self.high_hz:g}")
        self.require("fraction_bits", -1 <= self.fraction_bits <= 10, "choose 0 to 10, or -1 for automatic")


def _sections(count: int, s: int = 0) -> Any:
    """Return load, step and store of the sections from number `s` on: their state is a chain of tuples, kept in registers."""
    if s == count:
        return inlined(lambda _history, _c: ()), inlined(lambda x, _x2, _b, _c1, _c2, _state: (x, ())), inlined(_nothing)
    load_others, step_others, store_others = _sections(count, s + 1)

    @inlined
    def load(history, c):  # type: ignore[no-untyped-def]
        return lanes.load(history, 2 * s + 2, c), lanes.load(history, 2 * s + 3, c), load_others(history, c)

    @inlined
    def step(x, x2, b, c1, c2, state):  # type: ignore[no-untyped-def]
        y1, y2, others = state
        y = lanes.three_products(x - x2, b[s], y1, c1[s], y2, c2[s], COEFFICIENT_BITS)
        result, others = step_others(y, y2, b, c1, c2, others)
        return result, (y, y1, others)

    @inlined
    def store(history, c, state):  # type: ignore[no-untyped-def]
        y1, y2, others = state
        lanes.store(history, 2 * s + 2, c, y1)
        lanes.store(history, 2 * s + 3, c, y2)
        store_others(history, c, others)

    return load, step, store


def _nothing(_history, _c, _state):  # type: ignore[no-untyped-def]
    pass


def _kernel(count: int) -> Callable[..., int]:
    """Return the kernel for `count` sections."""
    load, step, store = _sections(count)

    @inlined
    def run(tables, history, x, y, frames, c):  # type: ignore[no-untyped-def]
        headroom, shift, b, c1, c2 = tables
        half = np.int32(1) << np.int32(shift - 1)
        b, c1, c2 = (b[0], b[1], b[2], b[3]), (c1[0], c1[1], c1[2], c1[3]), (c2[0], c2[1], c2[2], c2[3])
        x1, x2, state = lanes.load(history, 0, c), lanes.load(history, 1, c), load(history, c)
        for n in range(frames):
            now = lanes.load(x, n, c) << headroom
            result, state = step(now, x2, b, c1, c2, state)
            x2, x1 = x1, now
            lanes.store(y, n, c, lanes.clipped((result + half) >> shift, -32768, 32767))
        lanes.store(history, 0, c, x1)
        lanes.store(history, 1, c, x2)
        store(history, c, state)

    run_across = lanes.across(run, 2 * count + 2)

    @inlined
    def process(_sections, headroom, shift, b, c1, c2, primed, history, x, y, frames, channels):  # type: ignore[no-untyped-def]
        """Filter x: int16 [frames, channels] -> y: int16 [frames, channels], rounded to nearest and saturated.

        `history` holds two rows, the frame before and the one before that, for the input and for each section's output.
        """
        if frames == 0:
            return 0
        if primed[0] == 0:  # start as if the first value had always been there
            primed[0] = 1
            for c in range(channels):
                history[0, c] = history[1, c] = np.int32(x[0, c]) << np.int32(headroom)
        run_across((headroom, shift, b, c1, c2), history, x, y, frames, channels)
        return 0

    return process


KERNELS = tuple(_kernel(count) for count in range(1, MAX_SECTIONS + 1))  # compiled when first used


class Bandpass(Stage):
    """Band-pass filter; see the module."""

    name = "bandpass"
    Parameters = BandpassParameters
    call = ("x", "y", "frames", "channels")

    @property
    def kernel(self) -> Callable[..., int]:  # type: ignore[override]
        """The kernel for this many sections."""
        return KERNELS[int(self.tables["sections"]) - 1]

    @classmethod
    def tables_layout(cls, capacity: Capacity) -> np.dtype:
        """Return the layout of ``bs_bandpass_tables``."""
        rows = ("i4", MAX_SECTIONS)
        return layout(sections="u4", headroom="u4", shift="u4", b=rows, c1=rows, c2=rows)

    @classmethod
    def state_layout(cls, capacity: Capacity) -> np.dtype:
        """Return the layout of ``bs_bandpass_state``."""
        return layout(primed="u4", history=("i4", (2 * MAX_SECTIONS + 2, capacity.channels)))

    @classmethod
    def design(cls, parameters: BandpassParameters, signal: SampleFormat, capacity: Capacity) -> Design:
        """Place the poles, scale the sections, and prove that no value can leave 32 bits for any input."""
        p = parameters
        high_hz = _high(p, signal.rate_hz)
        fraction = p.fraction_bits if p.fraction_bits >= 0 else max(2, 15 - signal.bits)
        sos = butterworth_sections(p.order, p.low_hz, high_hz, signal.rate_hz)
        if sos[:, 0].max() >= 2 ** (31 - COEFFICIENT_BITS):
            raise BitspikeError(
                f"low_hz = {p.low_hz:g}: the band is too wide for order = {p.order}; raise low_hz, or choose order = 1"
            )
        frames = int(40 / (1 - max(abs(np.roots(section[3:])).max() for section in sos)))  # until e**-40 is left of an impulse
        if frames > MAX_RESPONSE:
            raise _too_low(p.low_hz, signal.rate_hz)
        gains = _worst_gains(sos, frames)  # of the input's and every section's values, from full scale
        headroom = 30 - signal.bits - int(np.ceil(np.log2(max(gains))))
        if headroom < fraction + 6:
            raise _too_low(p.low_hz, signal.rate_hz)
        full_scale = 2.0 ** (signal.bits - 1 + headroom)
        require_fits("a section's difference of two values", 2 * full_scale * max(gains), 32)
        tables = blank(cls.tables_layout(capacity))
        tables["sections"], tables["headroom"], tables["shift"] = p.order, headroom, headroom - fraction
        tables["b"][: p.order] = quantise(sos[:, 0], COEFFICIENT_BITS)
        tables["c1"][: p.order] = quantise(-sos[:, 4], COEFFICIENT_BITS)
        tables["c2"][: p.order] = quantise(-sos[:, 5], COEFFICIENT_BITS)
        output = signal.with_(bits=16, uv_per_count=signal.uv_per_count / 2**fraction)
        proofs = {
            "largest value in any section": f"{full_scale * max(gains):.0f} of {2**31}",
            "fractional bits of the state": headroom,
            "fractional bits of the output": fraction,
        }
        if high_hz != p.high_hz:
            proofs["upper -3 dB point, Hz"] = high_hz
        return Design(tables, output, proofs)

    @classmethod
    def examples(cls) -> Iterator[BandpassParameters]:
        """Yield one example per number of sections."""
        for order in range(1, MAX_SECTIONS + 1):
            yield BandpassParameters(order=order)
        yield BandpassParameters(low_hz=500.0, high_hz=3000.0, fraction_bits=0)

    def advance(self, samples: Samples) -> Samples:
        """Filter one block."""
        x = samples.data
        filtered = np.empty(x.shape, INT16)
        self.step(x, filtered, len(x), self.signal.channels)
        return Samples(samples.start, filtered, samples.flags)

    def responses(self, hz: np.ndarray) -> dict[str, np.ndarray]:
        """Return the gains of the Butterworth filter that was asked for, and of its coefficients as they are in the tables."""
        p, t, omega = self.parameters, self.tables, 2 * np.pi * np.asarray(hz) / self.signal.rate_hz
        ideal = butterworth_sections(p.order, p.low_hz, _high(p, self.signal.rate_hz), self.signal.rate_hz)
        b, c1, c2 = (t[name][: p.order] / 2.0**COEFFICIENT_BITS for name in ("b", "c1", "c2"))
        quantised = np.stack([b, 0 * b, -b, 0 * b + 1, -c1, -c2], axis=1)
        return {name: np.abs(np.prod(_responses(sos, omega), axis=0)) for name, sos in (("ideal", ideal), ("quantised", quantised))}

    def report(self) -> dict[str, Any]:
        """Return the proofs, and the noise measured against float64 on random input, relative to the input's quantisation."""
        return {**self.proofs, **measure_noise(self)}


def butterworth_sections(order: int, low_hz: float, high_hz: float, rate_hz: float) -> np.ndarray:
    """Return second-order sections with numerators b (1 - z^-2): float64 [order, 6], lowest poles first.

    The poles of the prototype go to the band by s -> (s^2 + w^2) / (B s), and to the z-plane by the bilinear transformation with
    both corners pre-warped (Oppenheim and Schafer, 7.2). A section peaks at one for b = (1 - a2) / 2; what is missing to a gain of
    one in the middle of the band is shared equally by all.
    """
    low, high = (2 * np.tan(np.pi * hz / rate_hz) for hz in (low_hz, high_hz))
    prototype = np.exp(0.5j * np.pi * (2 * np.arange(order) + order + 1) / order) * (high - low) / 2
    analogue = np.concatenate([prototype + sign * np.sqrt(prototype**2 - low * high + 0j) for sign in (1, -1)])
    poles = (2 + analogue) / (2 - analogue)
    upper = sorted(poles[poles.imag > 1e-12], key=lambda pole: abs(np.angle(pole)))
    real = sorted(poles[abs(poles.imag) <= 1e-12].real, reverse=True)
    pairs = [(pole, pole.conjugate()) for pole in upper]
    pairs += [(real[i], real[-1 - i]) for i in range(len(real) // 2)]
    sos = np.zeros((order, 6))
    for row, (one, other) in zip(sos, pairs, strict=True):
        denominator = np.array([1.0, -(one + other).real, (one * other).real])
        b = (1 - denominator[2]) / 2
        row[:] = [b, 0, -b, *denominator]
    middle = 2 * np.arctan(np.sqrt(low * high) / 2)
    sos[:, :3] *= np.abs(np.prod(_responses(sos, np.array([middle])))) ** (-1 / order)
    return sos


def _responses(sos: np.ndarray, omega: np.ndarray) -> np.ndarray:
    """Return the frequency response of each section: complex [sections, len(omega)]; `omega` in radians per frame."""
    delays = np.exp(-1j * np.outer(np.arange(3), omega))
    return (sos[:, :3] @ delays) / (sos[:, 3:] @ delays)


def _worst_gains(sos: np.ndarray, frames: int) -> list[float]:
    """Return the sums of absolute impulse responses from the input to every section's output, with the input's own 1."""
    frames = 1 << (frames - 1).bit_length()
    after = np.cumprod(_responses(sos, 2 * np.pi * np.arange(frames // 2 + 1) / frames), axis=0)
    return [1.0, *np.abs(np.fft.irfft(after, frames)).sum(axis=1).tolist()]


def _high(p: BandpassParameters, rate_hz: float) -> float:
    """Return the upper -3 dB point, or refuse a sampling rate that has no room for the band."""
    if not p.follow_rate:
        if p.high_hz >= rate_hz / 2:
            raise BitspikeError(f"high_hz = {p.high_hz:g} must be below half the sampling rate, {rate_hz / 2:g} Hz")
        return p.high_hz
    high_hz = min(p.high_hz, FOLLOWED * rate_hz)
    if high_hz < OCTAVE * p.low_hz:
        raise BitspikeError(
            f"a rate of {rate_hz:g} Hz leaves no band above low_hz = {p.low_hz:g}: for field potentials choose the chain field"
        )
    return high_hz


def _too_low(low_hz: float, rate_hz: float) -> BitspikeError:
    return BitspikeError(f"low_hz = {low_hz:g} is too low for 32-bit state at {rate_hz:g} Hz: decimate first")


def measure_noise(stage: Bandpass, seconds: float = 2.0, seed: int = 0) -> dict[str, float]:
    """Return the SNDR of the fixed-point filter against float64 with ideal coefficients, on noise at a quarter of full scale.

    The noise is compared with the quantisation noise of the input, 1/12 count^2, both at the output's scale of input counts.
    """
    from scipy import signal as design

    p, signal = stage.parameters, stage.signal.with_(channels=1, positions_um=(), groups=())
    rng = np.random.default_rng(seed)
    x = np.rint(rng.normal(0, 2.0 ** (signal.bits - 1) / 8, (int(seconds * signal.rate_hz), 1)))
    x = np.clip(x, -(2 ** (signal.bits - 1)), 2 ** (signal.bits - 1) - 1).astype(np.int16)
    y = Bandpass(p, signal).process(Samples(0, x)).data[:, 0]
    fraction = stage.tables["headroom"] - stage.tables["shift"]
    assert isinstance(p, BandpassParameters)
    sections = butterworth_sections(p.order, p.low_hz, _high(p, signal.rate_hz), signal.rate_hz)
    ideal = design.sosfilt(sections, x[:, 0] - float(x[0, 0]))
    error = y / 2.0**fraction - ideal
    inside = np.abs(y.astype(np.int32)) < 32767  # what saturates is not noise
    noise = float(np.mean(error[inside] ** 2))
    return {
        "SNDR against float64, dB": float(10 * np.log10(np.mean(ideal[inside] ** 2) / noise)),
        "noise over the input's quantisation noise, dB": float(10 * np.log10(noise * 12)),
    }
