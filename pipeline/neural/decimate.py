"""Decimation to the field-potential band: a cascaded integrator-comb, then a short symmetric FIR that decimates on.

The integrator-comb (Hogenauer 1981, IEEE Trans. ASSP 29, 155) sums the input `order` times, takes every `ratio`-th sum, and forms
`order` differences, all modulo 2**32: what wraps in the sums wraps back in the differences, as long as the result fits, which
`design` proves. Its gain of ratio**order is taken back by a shift, rounded to nearest, halves up. The FIR of odd length, in int16,
is the least squares fit to the inverse of the integrator-comb's droop in the pass-band and to nothing where its own decimation by
`keep` folds into it; every output is rounded to nearest, halves up.

Time is absolute: output o is computed at input frame o x factor, factor = ratio x keep, whatever the blocks and also after a gap.
An output block that begins with input frame `start` begins with output frame ceil(start / factor), and may be empty. An output is
flagged where any frame since the output before was. `firmware/src/decimate.c` is the same text in C.
"""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass
from functools import cached_property, lru_cache
from typing import Any

import numpy as np
from threadpoolctl import threadpool_limits

from pipeline import lanes
from pipeline.blocks import SampleFormat, Samples
from pipeline.capacity import Capacity
from pipeline.errors import BitspikeError
from pipeline.fixed import inlined, kernel, quantise, require_fits
from pipeline.lanes import WIDTH
from pipeline.layout import blank, layout
from pipeline.stage import INT16, Design, Parameters, Stage

UINT8 = np.dtype(np.uint8)
MAX_ORDER = 4
MAX_TAPS = 63
MAX_FACTOR = 1 << 24
RING = 64  # outputs of the integrator-comb that the state holds
RIPPLE_DB, REJECTION_DB = 0.05, 66.0  # what the FIR is made long enough for, if `MAX_TAPS` allow


@dataclass(frozen=True)
class DecimateParameters(Parameters):
    """Parameters in physical units.

    Attributes
    ----------
    rate_hz : float
        Output rate; the nearest is taken that an integer factor gives which 2, 3 or 5 divides.
    passband_hz : float
        What passes unchanged, and is kept free of what folds; up to 0.45 of the output rate.
    order : int
        Order of the integrator-comb, 1 to 4; 0 chooses the highest that 32 bits hold.
    fraction_bits : int
        Fractional bits of the output; -1 chooses so that twice full scale fits.
    """

    rate_hz: float = 1000.0
    passband_hz: float = 300.0
    order: int = 0
    fraction_bits: int = -1

    def __post_init__(self) -> None:
        self.require("rate_hz", 0 < self.rate_hz < 1e9, "choose an output rate in frames per second")
        self.require("passband_hz", self.passband_hz > 0, "choose the upper end of the pass-band, above 0 Hz")
        self.require("order", 0 <= self.order <= MAX_ORDER, f"choose 1 to {MAX_ORDER}, or 0 for automatic")
        self.require("fraction_bits", -1 <= self.fraction_bits <= 10, "choose 0 to 10, or -1 for automatic")


@inlined
def _start(order, ratio, shift, integrators, combs, ring, x, phase, channels):  # type: ignore[no-untyped-def]
    """Fill the state as if the first value had always been there: constant input for longer than the response."""
    gain, half = np.int32(1), np.int32((np.int64(1) << np.int64(shift)) >> 1)
    for _ in range(order):
        gain = np.int32(gain * np.int32(ratio))
    length = np.int64(order) * np.int64(ratio)
    for c in range(channels):
        for n in range(length):
            value = np.uint32(np.int32(x[0, c]))
            for k in range(order):
                integrators[k, c] = np.uint32(integrators[k, c] + value)
                value = integrators[k, c]
            if (phase + n) % np.int64(ratio) == 0:  # as many frames before this one, the phase was the same
                for k in range(order):
                    before = combs[k, c]
                    combs[k, c] = value
                    value = np.uint32(value - before)
        settled = np.int32(np.int32(np.int32(x[0, c]) * gain) + half) >> np.int32(shift)
        for m in range(RING):
            ring[m, c] = np.int16(min(max(settled, np.int32(-32768)), np.int32(32767)))


@inlined
def _respond(coefficients, taps, ring, at, c):  # type: ignore[no-untyped-def]
    """Return the FIR's sum over the newest `taps` rows of the ring, the last of them at `at`."""
    total, row, k = lanes.splat(0), (at - taps + 1) & (RING - 1), 0
    while k < taps:
        first, k = k, min(k + RING - row, taps)
        for i in range(first, k):
            total = total + lanes.load(ring, row + i - first, c) * coefficients[np.uint64(i)]
        row = 0
    return total


@inlined
def _run(tables, integrators, combs, ring, at, x, y, wait, wait_output, frames, c):  # type: ignore[no-untyped-def]
    """Decimate one register of channels; the sums are taken first at frame `wait`, the output at `wait_output`."""
    order, ratio, keep, shift, taps, scale, coefficients = tables
    half, half_output = np.int32((np.int64(1) << np.int64(shift)) >> 1), np.int32(1) << (scale - 1)
    one, two = lanes.load(integrators, 0, c), lanes.load(integrators, 1, c)
    three, four = lanes.load(integrators, 2, c), lanes.load(integrators, 3, c)
    first, o = 0, 0
    while first < frames:
        last = min(wait + 1, frames)
        for n in range(first, last):
            one = one + lanes.load(x, n, c)
            two = two + one
            three = three + two
            four = four + three
        if last == wait + 1:
            value = one
            if order == 2:
                value = two
            elif order == 3:
                value = three
            elif order == 4:
                value = four
            for k in range(order):
                before = lanes.load(combs, k, c)
                lanes.store(combs, k, c, value)
                value = value - before
            at = (at + 1) & (RING - 1)
            lanes.store(ring, at, c, lanes.clipped((value + half) >> shift, -32768, 32767))
            if wait == wait_output:
                total = _respond(coefficients, np.int64(taps), ring, at, c)
                lanes.store(y, o, c, lanes.clipped((total + half_output) >> scale, -32768, 32767))
                o += 1
                wait_output += np.int64(ratio) * np.int64(keep)
            wait += np.int64(ratio)
        first = last
    lanes.store(integrators, 0, c, one)
    if order > 1:  # the others are not used, and stay 0
        lanes.store(integrators, 1, c, two)
    if order > 2:
        lanes.store(integrators, 2, c, three)
    if order > 3:
        lanes.store(integrators, 3, c, four)


@kernel
def process(  # type: ignore[no-untyped-def]
    order, ratio, keep, shift, taps, scale, coefficients,
    primed, newest, pending, integrators, combs, ring,
    x, given, y, flags, phase, frames, channels,
):  # fmt: skip
    """Decimate x: int16 [frames, channels], given: uint8 [frames], the first frame being number `phase` of its factor.

    y: int16 [outputs, channels], flags: uint8 [outputs]; return 0 where no output is flagged.
    """
    if frames == 0:
        return 0
    if primed[0] == 0:
        primed[0] = 1
        _start(order, ratio, shift, integrators, combs, ring, x, phase, channels)
    factor, at = np.int64(ratio) * np.int64(keep), np.int64(newest[0])
    wait, wait_output = -phase % np.int64(ratio), -phase % factor
    count = (frames - 1 - wait_output) // factor + 1 if wait_output < frames else 0
    tables = (order, ratio, keep, shift, taps, scale, coefficients.astype(np.int32))

    rest, narrow = channels % WIDTH, channels < WIDTH
    # channels that fill no register are decimated in arrays that do; else the last eight overlap those before and go first, as the
    # state of both is then that before the block
    kept = WIDTH - rest if rest != 0 and not narrow else channels if narrow else 0
    begin = 0 if narrow else channels - WIDTH
    kept_sums, kept_combs = np.empty((MAX_ORDER, WIDTH), np.uint32), np.empty((MAX_ORDER, WIDTH), np.uint32)
    kept_ring, some = np.empty((RING, WIDTH), np.int16), 1 if narrow else 0
    narrow_x, narrow_y = np.empty((frames * some, WIDTH), np.int16), np.empty((count * some, WIDTH), np.int16)
    lanes.copy(integrators, 0, begin, kept_sums, 0, 0, MAX_ORDER, kept)
    lanes.copy(combs, 0, begin, kept_combs, 0, 0, MAX_ORDER, kept)
    lanes.copy(ring, 0, begin, kept_ring, 0, 0, RING, kept)
    lanes.copy(x, 0, 0, narrow_x, 0, 0, frames * some, channels * some)
    for c in range(0 if rest == 0 else -WIDTH, channels - rest, WIDTH):
        sums, differences, line = (kept_sums, kept_combs, kept_ring) if narrow else (integrators, combs, ring)
        taken, result = (narrow_x, narrow_y) if narrow else (x, y)
        _run(tables, sums, differences, line, at, taken, result, wait, wait_output, frames, c if c >= 0 else begin)
        if c < 0:
            lanes.copy(kept_sums, 0, 0, integrators, 0, begin, MAX_ORDER, kept)
            lanes.copy(kept_combs, 0, 0, combs, 0, begin, MAX_ORDER, kept)
            lanes.copy(kept_ring, 0, 0, ring, 0, begin, RING, kept)
    lanes.copy(narrow_y, 0, 0, y, 0, 0, count * some, channels * some)

    made = (frames - 1 - wait) // np.int64(ratio) + 1 if wait < frames else 0
    newest[0] = np.uint32((at + made) & (RING - 1))
    first, flagged = 0, np.uint32(0)
    for o in range(count):
        last = wait_output + o * factor + 1
        for n in range(first, last):
            pending[0] |= np.uint32(given[n])
        flags[o] = np.uint8(pending[0])
        flagged |= pending[0]
        pending[0] = 0
        first = last
    for n in range(first, frames):
        pending[0] |= np.uint32(given[n])
    return np.int64(flagged)


class Decimate(Stage):
    """Decimation to the field-potential band; see the module."""

    name = "decimate"
    Parameters = DecimateParameters
    kernel = staticmethod(process)
    call = ("x", "flags", "y", "y_flags", "phase", "frames", "channels")

    @classmethod
    def tables_layout(cls, capacity: Capacity) -> np.dtype:
        """Return the layout of ``bs_decimate_tables``."""
        return layout(order="u4", ratio="u4", keep="u4", shift="u4", taps="u4", scale="u4", coefficients=("i2", MAX_TAPS))

    @classmethod
    def state_layout(cls, capacity: Capacity) -> np.dtype:
        """Return the layout of ``bs_decimate_state``."""
        rows = ("u4", (MAX_ORDER, capacity.channels))
        return layout(primed="u4", newest="u4", pending="u4", integrators=rows, combs=rows, ring=("i2", (RING, capacity.channels)))

    @classmethod
    def design(cls, parameters: DecimateParameters, signal: SampleFormat, capacity: Capacity) -> Design:
        """Split the factor, prove the widths, fit the FIR, and measure what both do together."""
        p, tables = parameters, blank(cls.tables_layout(capacity))
        factor, keep = split(signal.rate_hz, p.rate_hz)
        ratio, rate = factor // keep, signal.rate_hz / factor
        if p.passband_hz > 0.45 * rate:
            raise BitspikeError(
                f"passband_hz = {p.passband_hz:g}: choose up to {0.45 * rate:g}, 0.45 of the output rate {rate:g} Hz"
            )
        order = p.order or _highest_order(ratio, signal.bits)
        largest = 2.0 ** (signal.bits - 1) * ratio**order
        shift = max(0, int(np.ceil(np.log2(largest))) - 15)
        require_fits(f"the integrator-comb of order {order} and ratio {ratio}", largest + 2.0**shift / 2, 32)
        fraction = p.fraction_bits if p.fraction_bits >= 0 else max(0, 15 - signal.bits)
        gain = 2.0 ** (fraction + shift) / ratio**order
        response = Response(order, ratio, keep, signal.rate_hz, p.passband_hz)
        taps, scale = fit(response, gain)
        bound = float(np.abs(taps).sum()) * 2**15 + 2.0 ** (scale - 1)
        require_fits("the FIR's sum", bound, 32)
        tables["order"], tables["ratio"], tables["keep"] = order, ratio, keep
        tables["shift"], tables["taps"], tables["scale"] = shift, len(taps), scale
        tables["coefficients"][: len(taps)] = taps
        ripple, rejection = response.measure(taps / (2.0**scale * gain))
        proofs = {
            "factor": f"{factor} = {ratio} x {keep}",
            "order of the integrator-comb": order,
            "largest value of the integrator-comb": f"{largest:.0f} of {2**31}",
            "taps": len(taps),
            "largest sum of the FIR": f"{bound:.0f} of {2**31}",
            "fractional bits of the output": fraction,
            "pass-band ripple, dB": round(ripple, 4),
            "rejection of what folds into the pass-band, dB": round(rejection, 1),
            "delay, ms": 1000 * (order * (ratio - 1) / 2 + len(taps) // 2 * ratio) / signal.rate_hz,
        }
        return Design(tables, signal.with_(rate_hz=rate, bits=16, uv_per_count=signal.uv_per_count / 2**fraction), proofs)

    @classmethod
    def examples(cls) -> Iterator[DecimateParameters]:
        """Yield one example per order and some factors."""
        yield DecimateParameters()
        yield DecimateParameters(rate_hz=4800.0, passband_hz=1000.0, order=1)
        yield DecimateParameters(rate_hz=2000.0, order=2, fraction_bits=3)
        yield DecimateParameters(rate_hz=700.0, passband_hz=200.0, order=3)
        yield DecimateParameters(rate_hz=12_000.0, passband_hz=3000.0)

    def advance(self, samples: Samples) -> Samples:
        """Decimate one block."""
        factor, frames = self.factor, len(samples.data)
        first = -(-samples.start // factor)
        count = -(-(samples.start + frames) // factor) - first
        data, flags = np.empty((count, self.signal.channels), INT16), np.empty(count, UINT8)
        flagged = self.step(samples.data, samples.frame_flags, data, flags, samples.start % factor, frames, self.signal.channels)
        return Samples(first, data, flags if flagged else None)

    def responses(self, hz: np.ndarray) -> dict[str, np.ndarray]:
        """Return the gains before decimation, with the FIR as it was fitted and as it is in the tables."""
        p, t = self.parameters, self.tables
        response = Response(int(t["order"]), int(t["ratio"]), int(t["keep"]), self.signal.rate_hz, p.passband_hz)
        taps = t["coefficients"][: int(t["taps"])].astype(np.float64)
        ideal = response.least_squares(len(taps))
        firs = {"ideal": ideal / ideal.sum(), "quantised": taps / taps.sum()}
        return {name: np.abs(response.comb(hz) * response.fir(fir, hz)) for name, fir in firs.items()}

    @cached_property
    def factor(self) -> int:
        """Input frames of one output frame."""
        return int(self.tables["ratio"]) * int(self.tables["keep"])


def split(rate_hz: float, target_hz: float) -> tuple[int, int]:
    """Return the factor nearest to ``rate_hz / target_hz`` that 2, 3 or 5 divides, and how much of it the FIR takes."""
    ideal = rate_hz / target_hz
    if ideal < 1.5:
        raise BitspikeError(f"rate_hz = {target_hz:g} leaves nothing to decimate at {rate_hz:g} Hz; choose {rate_hz / 2:g} or less")
    if ideal > MAX_FACTOR:
        raise BitspikeError(f"rate_hz = {target_hz:g} is too low at {rate_hz:g} Hz; decimate in two stages, one after the other")
    near = range(max(2, int(ideal) - 2), int(ideal) + 4)
    factor = min((f for f in near if any(f % d == 0 for d in (2, 3, 5))), key=lambda f: (abs(f - ideal), f))
    return factor, next(d for d in (4, 3, 2, 5) if factor % d == 0)


def _highest_order(ratio: int, bits: int) -> int:
    if ratio == 1:
        return 1  # nothing to do, in one step
    fitting = [n for n in range(2, MAX_ORDER + 1) if 2.0 ** (bits - 1) * ratio**n * (1 + 2.0**-15) < 2**31]
    if not fitting:
        raise BitspikeError(
            f"rate_hz: a ratio of {ratio} in one step does not fit 32 bits; decimate in two stages, one after the other"
        )
    return fitting[-1]


@dataclass(frozen=True)
class Response:
    """The frequency response of the integrator-comb, and of a FIR that completes it.

    Attributes
    ----------
    order, ratio, keep : int
        Of the integrator-comb, and the FIR's own decimation.
    rate_hz : float
        Input rate.
    passband_hz : float
        Upper end of the pass-band.
    """

    order: int
    ratio: int
    keep: int
    rate_hz: float
    passband_hz: float

    def comb(self, hz: np.ndarray) -> np.ndarray:
        """Return the integrator-comb's response, 1 at 0 Hz: (sin(pi f R) / (R sin(pi f)))**N, f in cycles per input frame."""
        f = np.asarray(hz, np.float64) / self.rate_hz
        below, above = self.ratio * np.sin(np.pi * f), np.sin(np.pi * f * self.ratio)
        return np.divide(above, below, out=np.ones_like(f), where=np.abs(below) > 1e-12) ** self.order

    def fir(self, taps: np.ndarray, hz: np.ndarray) -> np.ndarray:
        """Return the FIR's zero-phase response."""
        k = np.arange(len(taps)) - len(taps) // 2
        return np.cos(2 * np.pi * np.outer(np.asarray(hz) * self.ratio / self.rate_hz, k)) @ taps

    def measure(self, taps: np.ndarray) -> tuple[float, float]:
        """Return ripple in the pass-band and rejection of what folds into it, in dB; `taps` have a gain of 1.

        Of the images, the first ``2 keep`` are looked at: the integrator-comb's lobes only fall beyond.
        """
        rate = self.rate_hz / (self.ratio * self.keep)
        inside = np.linspace(0, self.passband_hz, 400)
        ripple = np.abs(20 * np.log10(np.abs(self.comb(inside) * self.fir(taps, inside)))).max()
        images = (
            np.arange(1, min(self.ratio // 2 + 1, 2) * self.keep + 1)[:, None] * rate + np.linspace(-1, 1, 401) * self.passband_hz
        )
        images = images[images <= self.rate_hz / 2]
        folded = np.abs(self.comb(images) * self.fir(taps, images)).max()
        return float(ripple), float(-20 * np.log10(max(folded, 1e-12)))

    def least_squares(self, length: int) -> np.ndarray:
        """Return the symmetric FIR nearest to the inverse droop in the pass-band and to 0 from where folding into it begins."""
        top, rate = self.rate_hz / self.ratio / 2, self.rate_hz / (self.ratio * self.keep)
        inside = np.linspace(0, self.passband_hz, 200)
        outside = np.linspace(rate - self.passband_hz, top, 400)
        k = np.arange(length // 2 + 1)
        basis = np.cos(2 * np.pi * np.outer(np.concatenate([inside, outside]) * self.ratio / self.rate_hz, k))
        basis[:, 1:] *= 2
        weight = np.concatenate([self.comb(inside) ** 2, np.full(len(outside), 10.0)])
        wanted = np.concatenate([1 / self.comb(inside), np.zeros(len(outside))])
        half: Any = np.linalg.lstsq(basis * weight[:, None], wanted * weight, rcond=None)[0]
        return np.concatenate([half[:0:-1], half])


@lru_cache(maxsize=64)
def fit(response: Response, gain: float) -> tuple[np.ndarray, int]:
    """Return the shortest FIR that reaches `RIPPLE_DB` and `REJECTION_DB`, else the longest: int16 [taps], and its scale.

    Its response is ``taps / 2**scale``, at 0 Hz exactly `gain` but for the rounding of the sum.
    """
    for length in range(7, MAX_TAPS + 1, 4):
        with threadpool_limits(1, "blas"):  # for so few equations, threads wait for each other longer than they work
            ideal = response.least_squares(length)
        ideal *= gain / ideal.sum()
        scale = int(np.floor(min(np.log2(32767 / np.abs(ideal).max()), np.log2(65535 / np.abs(ideal).sum()))))
        taps = quantise(ideal, scale, np.int16)
        taps[length // 2] += round(gain * 2.0**scale) - int(taps.sum())
        ripple, rejection = response.measure(taps / (2.0**scale * gain))
        if ripple <= RIPPLE_DB and rejection >= REJECTION_DB:
            break
    taps.flags.writeable = False
    return taps, scale
