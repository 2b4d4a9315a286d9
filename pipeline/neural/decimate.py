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

from collections.abc import Callable, Iterator
from dataclasses import dataclass
from functools import cached_property
from typing import Any

import numpy as np

from pipeline import lanes, pairs
from pipeline.across import TILE, copy
from pipeline.blocks import SampleFormat, Samples
from pipeline.capacity import Capacity
from pipeline.errors import BitspikeError
from pipeline.fixed import inlined, require_fits
from pipeline.lanes import WIDTH, WIDTH16
from pipeline.layout import blank, layout
from pipeline.neural.decimate_design import MAX_ORDER, MAX_TAPS, Response, fit, highest_order, split
from pipeline.stage import INT16, Design, Parameters, Stage

UINT8 = np.dtype(np.uint8)
RING = 64  # outputs of the integrator-comb that the state holds
STEP = 3  # frames that the host sums up at once


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


def _orders(count: int, k: int = 0) -> Any:
    """Return load, sum, difference and store from order number `k` on: their state is a chain of tuples, kept in registers."""
    if k == count:
        return (
            inlined(lambda _rows, _c: ()),
            inlined(lambda x, _state: (x, ())),
            inlined(lambda x, _state: (x, ())),
            inlined(_nothing),
        )
    load_others, sum_others, difference_others, store_others = _orders(count, k + 1)

    @inlined
    def load(rows, c):  # type: ignore[no-untyped-def]
        return lanes.load(rows, k, c), load_others(rows, c)

    @inlined
    def sum_up(x, state):  # type: ignore[no-untyped-def]
        total, others = state
        total = total + x
        x, others = sum_others(total, others)
        return x, (total, others)

    @inlined
    def difference(x, state):  # type: ignore[no-untyped-def]
        before, others = state
        result, others = difference_others(x - before, others)
        return result, (x, others)

    @inlined
    def store(rows, c, state):  # type: ignore[no-untyped-def]
        value, others = state
        lanes.store(rows, k, c, value)
        store_others(rows, c, others)

    return load, sum_up, difference, store


def _nothing(_rows, _c, _state):  # type: ignore[no-untyped-def]
    pass


@inlined
def _respond(coefficients, taps, scale, ring, at, y, o, channels):  # type: ignore[no-untyped-def]
    """Set the output `o` to the FIR's sums over the newest `taps` rows of the ring, the last of them at `at`, two rows at once."""
    half = np.int32(1) << (scale - 1)
    for column in range(0, channels, WIDTH16):
        c = min(column, channels - WIDTH16)  # the last channels overlap those before
        one = two = lanes.splat(half)
        row, k = (at - taps + 1) & (RING - 1), 0
        while k < taps:
            end = min(k + RING - row, taps)
            while k + 1 < end:
                some, others = pairs.zipped(lanes.load16(ring, row, c), lanes.load16(ring, row + 1, c))
                factors = pairs.load_pair(coefficients, k)
                one, two = one + lanes.pair_products(some, factors), two + lanes.pair_products(others, factors)
                row, k = row + 2, k + 2
            if k < end:
                some, others = pairs.zipped(lanes.load16(ring, row, c), lanes.splat16(0))
                factors = lanes.splat16(coefficients[np.uint64(k)])
                one, two = one + lanes.pair_products(some, factors), two + lanes.pair_products(others, factors)
                k += 1
            row = 0
        lanes.store(y, o, c, pairs.packed(one >> scale, two >> scale))


def _kernel(count: int) -> Callable[..., int]:
    """Return the kernel for an integrator-comb of order `count`."""
    load, sum_up, difference, store = _orders(count)

    @inlined
    def run(ratio, shift, sums, befores, ring, at, x, wait, first, last, c):  # type: ignore[no-untyped-def]
        """Take frames `first` to `last` of `WIDTH` channels; the sums are taken first at frame `wait`."""
        half = np.int32((np.int64(1) << np.int64(shift)) >> 1)
        while first < last:
            end = min(wait + 1, last)
            value = lanes.splat(0)
            while first + STEP <= end:
                for k in range(STEP):
                    value, sums = sum_up(lanes.load(x, first + k, c), sums)
                first += STEP
            while first < end:
                value, sums = sum_up(lanes.load(x, first, c), sums)
                first += 1
            if end == wait + 1:
                value, befores = difference(value, befores)
                at = (at + 1) & (RING - 1)
                lanes.store(ring, at, c, lanes.clipped((value + half) >> shift, -32768, 32767))
                wait += ratio
        return sums, befores, at, wait

    @inlined
    def run_across(tables, integrators, combs, ring, at, x, y, wait, wait_output, frames, channels):  # type: ignore[no-untyped-def]
        """Decimate all channels, at least `WIDTH16`, from output to output, so that the frames are still in the cache."""
        ratio, keep, shift, taps, scale, coefficients = tables
        last, first, o = channels - WIDTH, 0, 0
        while first < frames:
            end = min(wait_output + 1, frames, first + TILE)
            # the last channels overlap those before and go first; their sums are kept until both began with those before
            kept_sums, kept_befores, next_at, next_wait = load(integrators, last), load(combs, last), at, wait
            for n in range(-WIDTH, last, WIDTH):
                c = n if n >= 0 else last
                sums, befores = load(integrators, c), load(combs, c)
                sums, befores, next_at, next_wait = run(ratio, shift, sums, befores, ring, at, x, wait, first, end, c)
                if n < 0:
                    kept_sums, kept_befores = sums, befores
                else:
                    store(integrators, c, sums)
                    store(combs, c, befores)
            store(integrators, last, kept_sums)
            store(combs, last, kept_befores)
            at, wait = next_at, next_wait
            if end == wait_output + 1:
                _respond(coefficients, taps, scale, ring, at, y, o, channels)
                o += 1
                wait_output += ratio * keep
            first = end
        return at

    @inlined
    def process(  # type: ignore[no-untyped-def]
        _order, ratio, keep, shift, taps, scale, coefficients,
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
            _start(count, ratio, shift, integrators, combs, ring, x, phase, channels)
        ratio, keep = np.int64(ratio), np.int64(keep)
        factor = ratio * keep
        wait, wait_output = -phase % ratio, -phase % factor
        narrow, sums, befores, line, taken, result = channels < WIDTH16, integrators, combs, ring, x, y
        if narrow:  # channels that fill no register are decimated in arrays that do
            sums, befores = np.empty((MAX_ORDER, WIDTH16), np.uint32), np.empty((MAX_ORDER, WIDTH16), np.uint32)
            line, taken = np.empty((RING, WIDTH16), np.int16), np.empty((frames, WIDTH16), np.int16)
            result = np.empty((len(y), WIDTH16), np.int16)
            copy(integrators, 0, 0, sums, 0, 0, count, channels)
            copy(combs, 0, 0, befores, 0, 0, count, channels)
            pairs.spread(ring, line, RING, channels)
            pairs.spread(x, taken, frames, channels)
        tables, width = (ratio, keep, shift, np.int64(taps), scale, coefficients), max(channels, WIDTH16)
        at = np.int64(newest[0])
        newest[0] = np.uint32(run_across(tables, sums, befores, line, at, taken, result, wait, wait_output, frames, width))
        if narrow:
            copy(sums, 0, 0, integrators, 0, 0, count, channels)
            copy(befores, 0, 0, combs, 0, 0, count, channels)
            pairs.spread(line, ring, RING, channels)
            pairs.spread(result, y, (frames - 1 - wait_output) // factor + 1, channels)

        first, o, flagged, found = 0, 0, np.uint8(0), np.uint8(pending[0])
        while first < frames:
            last = min(wait_output + 1, frames)
            for n in range(first, last):
                found |= given[n]
            if last == wait_output + 1:
                flags[o] = found
                flagged |= found
                found = np.uint8(0)
                o += 1
                wait_output += factor
            first = last
        pending[0] = found
        return np.int64(flagged)

    return process


KERNELS = tuple(_kernel(count) for count in range(1, MAX_ORDER + 1))  # compiled when first used


class Decimate(Stage):
    """Decimation to the field-potential band; see the module."""

    name = "decimate"
    Parameters = DecimateParameters
    call = ("x", "flags", "y", "y_flags", "phase", "frames", "channels")

    @property
    def kernel(self) -> Callable[..., int]:  # type: ignore[override]
        """The kernel for this order."""
        return KERNELS[int(self.tables["order"]) - 1]

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
        order = p.order or highest_order(ratio, signal.bits)
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
        return Design(tables, signal.scaled(2.0**fraction, 16).with_(rate_hz=rate), proofs)

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
