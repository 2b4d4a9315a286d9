"""Band-pass filter: Butterworth biquads in direct form I, 32-bit state with fractional bits, 64-bit products.

The input's change over two frames, scaled, goes through the sections:  change = gain (x[n] - x[n-2]) / 2**scale,  and in each

    y[n] = change + (c1 y[n-1] + c2 y[n-2]) / 2**29,        for the next section  change = y[n] - y[n-2],

all rounded down, on integers: c1 = -a1 and c2 = -a2 in Q29.  A Butterworth band-pass has all its zeros at z = +1 and z = -1, so the
pairing (1 - z^-2) serves every section, takes no multiplication, and lets no constant through any of them; the gain of all is
multiplied once, with the 15 bits that a product of two int16 leaves (Oppenheim and Schafer, Discrete-Time Signal Processing, 6.3
and 7.1).  `firmware/src/bandpass.c` is the same text in C.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator
from dataclasses import dataclass
from math import floor, log2
from typing import Any

import numpy as np

from pipeline import lanes, narrow, wide
from pipeline.across import TILE, across, fetch
from pipeline.blocks import SampleFormat, Samples
from pipeline.capacity import Capacity
from pipeline.errors import BitspikeError
from pipeline.fixed import INT16_MAX, inlined, quantise, require_fits
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
        Fractional bits of the output; -1 chooses so that the band of a full-scale input fits, and at least 2, so that rounding
        the output adds far less noise than the input's own quantisation: of an input of 16 bits a quarter of the range fits.
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


def _sections(count: int, kind: Any, s: int = 0) -> Any:
    """Return load, step and store of the sections from number `s` on: their state is a chain of tuples, kept in registers."""
    if s == count:
        return inlined(lambda _history, _c: ()), inlined(lambda change, _c1, _c2, _state: (change, ())), inlined(_nothing)
    load_others, step_others, store_others = _sections(count, kind, s + 1)
    load_lanes, store_lanes, last = kind.load, kind.store, s + 1 == count

    @inlined
    def load(history, c):  # type: ignore[no-untyped-def]
        return load_lanes(history, 2 * s + 2, c), load_lanes(history, 2 * s + 3, c), load_others(history, c)

    @inlined
    def step(change, c1, c2, state):  # type: ignore[no-untyped-def]
        y1, y2, others = state
        y = change + lanes.two_products(y1, c1[s], y2, c2[s], COEFFICIENT_BITS)
        result, others = step_others(y if last else y - y2, c1, c2, others)
        return result, (y, y1, others)

    @inlined
    def store(history, c, state):  # type: ignore[no-untyped-def]
        y1, y2, others = state
        store_lanes(history, 2 * s + 2, c, y1)
        store_lanes(history, 2 * s + 3, c, y2)
        store_others(history, c, others)

    return load, step, store


def _nothing(_history, _c, _state):  # type: ignore[no-untyped-def]
    pass


def _run(count: int, kind: Any) -> Callable[..., None]:
    """Return what filters the channels that a type of lanes holds: `kind` is the module of its functions."""
    load_state, step, store_state = _sections(count, kind)
    load, store, change_of, store_rounded = kind.load, kind.store, kind.change, kind.store_rounded

    @inlined
    def run(tables, history, x, y, first, last, c):  # type: ignore[no-untyped-def]
        gain, scale, shift, c1, c2 = tables
        c1, c2 = (c1[0], c1[1], c1[2], c1[3]), (c2[0], c2[1], c2[2], c2[3])
        state = load_state(history, c)
        for n in range(first, min(last, 2)):
            change = (load(x, n, c) - load(history, 1 - n, c)) * gain
            result, state = step(change >> scale, c1, c2, state)
            store_rounded(y, n, c, result, shift)
        for n in range(max(first, 2), last):
            fetch(x, n + TILE, c)
            result, state = step(change_of(x, n, x, n - 2, c, gain, scale), c1, c2, state)
            store_rounded(y, n, c, result, shift)
        store(history, 1, c, load(x, last - 2, c) if last > 1 else load(history, 0, c))
        store(history, 0, c, load(x, last - 1, c))
        store_state(history, c, state)

    return run


def _kernel(count: int) -> Callable[..., int]:
    """Return the kernel for `count` sections."""
    run_across = across(_run(count, lanes), 2 * count + 2, run_wide=_run(count, wide), run_narrow=_run(count, narrow))

    @inlined
    def process(_sections, gain, scale, shift, c1, c2, primed, history, x, y, frames, channels):  # type: ignore[no-untyped-def]
        """Filter x: int16 [frames, channels] -> y: int16 [frames, channels], rounded to nearest and saturated.

        `history` holds two rows, the frame before and the one before that, for the input and for each section's output.
        """
        if frames == 0:
            return 0
        if primed[0] == 0:  # start as if the first value had always been there
            primed[0] = 1
            for c in range(channels):
                history[0, c] = history[1, c] = x[0, c]
        run_across((gain, scale, shift, c1, c2), history, x, y, frames, channels)
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
        return layout(sections="u4", gain="i4", scale="u4", shift="u4", c1=rows, c2=rows)

    @classmethod
    def state_layout(cls, capacity: Capacity) -> np.dtype:
        """Return the layout of ``bs_bandpass_state``."""
        return layout(primed="u4", history=("i4", (2 * MAX_SECTIONS + 2, capacity.channels)))

    @classmethod
    def design(cls, parameters: BandpassParameters, signal: SampleFormat, capacity: Capacity) -> Design:
        """Place the poles, scale the sections, and prove that no value can leave 32 bits for any input, rounding aside."""
        p = parameters
        high_hz = _high(p, signal.rate_hz)
        fraction = _fraction(p, signal)
        sos = butterworth_sections(p.order, p.low_hz, high_hz, signal.rate_hz)
        frames = int(40 / (1 - max(abs(np.roots(section[3:])).max() for section in sos)))  # until e**-40 is left of an impulse
        if frames > MAX_RESPONSE:
            raise _too_low(p.low_hz, signal.rate_hz)
        whole = float(np.prod(sos[:, 0]))
        sections = np.column_stack([sos[:, :3] / sos[:, :1], sos[:, 3:]])  # as they are computed: the gain comes before them
        largest = 2.0 ** (signal.bits - 1) * _worst_gains(sections, frames).max() * whole  # of any section's values
        headroom = floor(min(log2(2.0**30 / largest), log2(INT16_MAX / whole)))
        noise = _rounding_noise(sections, frames) / 4.0**headroom
        if headroom < fraction + 6 or noise > 1 / 12:  # the power of the input's own rounding
            raise _too_low(p.low_hz, signal.rate_hz)
        require_fits("a section's change over two frames", 2 * largest * 2.0**headroom, 32)
        scale = floor(log2(INT16_MAX / whole)) - headroom
        tables = blank(cls.tables_layout(capacity))
        tables["sections"], tables["shift"] = p.order, headroom - fraction
        tables["gain"], tables["scale"] = quantise(whole, headroom + scale), scale
        tables["c1"][: p.order] = quantise(-sos[:, 4], COEFFICIENT_BITS)
        tables["c2"][: p.order] = quantise(-sos[:, 5], COEFFICIENT_BITS)
        output = signal.scaled(2.0**fraction, 16)
        proofs = {
            "largest value in any section": f"{largest * 2.0**headroom:.0f} of {2**31}",
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
        c1, c2 = (t[name][: p.order] / 2.0**COEFFICIENT_BITS for name in ("c1", "c2"))
        one, zero = np.ones(p.order), np.zeros(p.order)
        quantised = np.stack([one, zero, -one, one, -c1, -c2], axis=1)
        quantised[0, :3] *= t["gain"] / 2.0 ** (t["scale"] + t["shift"] + _fraction(p, self.signal))
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


def _worst_gains(sos: np.ndarray, frames: int) -> np.ndarray:
    """Return the sums of absolute impulse responses from the input to every section's output."""
    frames = 1 << (frames - 1).bit_length()
    after = np.cumprod(_responses(sos, 2 * np.pi * np.arange(frames // 2 + 1) / frames), axis=0)
    return np.abs(np.fft.irfft(after, frames)).sum(axis=1)


def _rounding_noise(sections: np.ndarray, frames: int) -> float:
    """Return the power that rounding down in all sections, and before the first one, has at the output, in state counts squared.

    Each rounding adds a mean of -1/2 and a variance of 1/12, which pass through the section's poles and the sections behind it
    (Oppenheim and Schafer, 6.9).
    """
    omega = 2 * np.pi * np.arange(1 << (frames - 1).bit_length()) / (1 << (frames - 1).bit_length())
    behind, total = np.ones(len(omega)), 0.0
    for s in range(len(sections) - 1, -1, -1):
        poles = behind / np.abs(np.polyval(sections[s, 3:], np.exp(1j * omega))) ** 2
        total += (poles.mean() / 12 + poles[0] / 4) * (2 if s == 0 else 1)
        behind = poles * np.abs(2 * np.sin(omega)) ** 2
    return float(total)


def _fraction(p: BandpassParameters, signal: SampleFormat) -> int:
    """Return the fractional bits of the output."""
    return p.fraction_bits if p.fraction_bits >= 0 else max(2, 15 - signal.bits)


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
    return BitspikeError(f"low_hz = {low_hz:g} is too low for 32-bit state at {rate_hz:g} Hz: raise it, or decimate first")


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
    assert isinstance(p, BandpassParameters)
    fraction = _fraction(p, stage.signal)
    sections = butterworth_sections(p.order, p.low_hz, _high(p, signal.rate_hz), signal.rate_hz)
    ideal = design.sosfilt(sections, x[:, 0] - float(x[0, 0]))
    error = y / 2.0**fraction - ideal
    inside = np.abs(y.astype(np.int32)) < 32767  # what saturates is not noise
    noise = float(np.mean(error[inside] ** 2))
    return {
        "SNDR against float64, dB": float(10 * np.log10(np.mean(ideal[inside] ** 2) / noise)),
        "noise over the input's quantisation noise, dB": float(10 * np.log10(noise * 12)),
    }
