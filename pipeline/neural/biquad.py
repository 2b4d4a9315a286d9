"""Second-order sections in CMSIS-DSP's arithmetic: what was made for ``arm_biquad_cascade_df1_q15`` gives the same bits here.

    y[n] = (b0 x[n] + b1 x[n-1] + b2 x[n-2] + a1 y[n-1] + a2 y[n-2]) / 2**(15 - post_shift), rounded down, held within int16

in direct form I, section after section, all of int16: coefficients in Q15 divided by 2**post_shift, in CMSIS-DSP's order and with
its signs, b0, 0, b1, b2, a1, a2 (CMSIS-DSP documentation, Biquad Cascade IIR Filters Using Direct Form I Structure). It starts from
silence, as that does. Since every section truncates to int16, it is noisier than `bandpass`, which costs as much: choose it to
take a filter along, or to compare with one.

The sum takes 34 bits. Its quotient is found in 32: that of each product, rounded down, is added up, and what the roundings lost is
the difference of the two sums modulo 2**32, less than five times 2**15. `firmware/src/biquad.c` is the same text in C.
"""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass

import numpy as np

from pipeline import lanes
from pipeline.across import across
from pipeline.blocks import SampleFormat, Samples
from pipeline.capacity import Capacity
from pipeline.errors import BitspikeError
from pipeline.fixed import INT16_MAX, INT16_MIN, inlined, kernel, quantise
from pipeline.layout import blank, layout
from pipeline.neural.bandpass import butterworth_sections
from pipeline.stage import INT16, Design, Parameters, Stage

MAX_SECTIONS = 8
TERMS = 6  # coefficients of a section, the second of them 0
MAX_POST_SHIFT = 13  # so that the quotient fits 32 bits


@dataclass(frozen=True)
class BiquadParameters(Parameters):
    """Parameters, as CMSIS-DSP takes them.

    Attributes
    ----------
    coefficients : tuple of int
        b0, 0, b1, b2, a1, a2 of each of 1 to 8 sections, Q15 divided by 2**post_shift; a1 and a2 are added, not subtracted.
    post_shift : int
        0 to 13.
    """

    coefficients: tuple[int, ...] = (16384, 0, 0, 0, 0, 0)
    post_shift: int = 1

    def __post_init__(self) -> None:
        values = tuple(self.coefficients)
        object.__setattr__(self, "coefficients", values)  # a chain file gives a list
        whole = f"give {TERMS} numbers for each of 1 to {MAX_SECTIONS} sections: b0, 0, b1, b2, a1, a2"
        self.require("coefficients", len(values) % TERMS == 0 and TERMS <= len(values) <= TERMS * MAX_SECTIONS, whole)
        inside = all(isinstance(value, int | np.integer) and INT16_MIN <= value <= INT16_MAX for value in values)
        self.require("coefficients", inside, f"choose whole numbers from {INT16_MIN} to {INT16_MAX}")
        self.require("coefficients", not any(values[1::TERMS]), "the second number of each section must be 0")
        self.require("post_shift", 0 <= self.post_shift <= MAX_POST_SHIFT, f"choose 0 to {MAX_POST_SHIFT}")

    @classmethod
    def of(cls, sos: np.ndarray) -> BiquadParameters:
        """Return the parameters nearest to second-order sections, with as many fractional bits as the largest coefficient leaves.

        Parameters
        ----------
        sos : numpy.ndarray
            float64 [sections, 6]: b0, b1, b2, 1, a1, a2, as SciPy has them; a1 and a2 are subtracted.

        Raises
        ------
        BitspikeError
            A coefficient is too large for any post_shift, or there are too many sections.
        """
        b0, b1, b2, _, a1, a2 = np.asarray(sos, np.float64).T
        values = np.stack([b0, 0 * b0, b1, b2, -a1, -a2], axis=1).reshape(-1)
        largest = float(np.max(np.abs(values), initial=0.0))
        for post_shift in range(MAX_POST_SHIFT + 1):
            if np.rint(largest * 2.0 ** (15 - post_shift)) <= INT16_MAX:
                return cls(tuple(quantise(values, 15 - post_shift, np.int16).tolist()), post_shift)
        raise BitspikeError(f"coefficient {largest:g} is too large: scale the sections to less than {2**MAX_POST_SHIFT}")


@inlined
def _quotient(x, x1, x2, y1, y2, b0, b1, b2, a1, a2, shift):  # type: ignore[no-untyped-def]
    """Return (b0 x + b1 x1 + b2 x2 + a1 y1 + a2 y2) / 2**shift, rounded down, of int32 that hold int16; shift is 2 to 15."""
    p0, p1, p2, p3, p4 = x * b0, x1 * b1, x2 * b2, y1 * a1, y2 * a2
    quotients = (p0 >> shift) + (p1 >> shift) + (p2 >> shift) + (p3 >> shift) + (p4 >> shift)
    lost = (p0 + p1 + p2 + p3 + p4) - (quotients << shift)
    return quotients + (lost >> shift)


@inlined
def _run(tables, history, x, y, first, last, c):  # type: ignore[no-untyped-def]
    sections, shift, coefficients = tables
    source = x
    for s in range(sections):
        b0, b1, b2 = coefficients[s, 0], coefficients[s, 2], coefficients[s, 3]
        a1, a2 = coefficients[s, 4], coefficients[s, 5]
        x1, x2 = lanes.load(history, 2 * s, c), lanes.load(history, 2 * s + 1, c)
        y1, y2 = lanes.load(history, 2 * s + 2, c), lanes.load(history, 2 * s + 3, c)
        for n in range(first, last):
            now = lanes.load(source, n, c)
            result = lanes.clipped(_quotient(now, x1, x2, y1, y2, b0, b1, b2, a1, a2, shift), -32768, 32767)
            x2, x1 = x1, now
            y2, y1 = y1, result
            lanes.store(y, n, c, result)
        lanes.store(history, 2 * s, c, x1)  # what it gave, the next section or nobody takes, and keeps
        lanes.store(history, 2 * s + 1, c, x2)
        if s + 1 == sections:
            lanes.store(history, 2 * s + 2, c, y1)
            lanes.store(history, 2 * s + 3, c, y2)
        source = y


_run_across = across(_run, 2 * MAX_SECTIONS + 2, np.int16)


@kernel
def process(sections, post_shift, coefficients, history, x, y, frames, channels):  # type: ignore[no-untyped-def]
    """Filter x: int16 [frames, channels] -> y: int16 [frames, channels].

    `history` holds two rows, the frame before and the one before that, for the input and for each section's output.
    """
    _run_across((sections, np.int32(15) - np.int32(post_shift), coefficients), history, x, y, frames, channels)
    return 0


class Biquad(Stage):
    """Second-order sections in CMSIS-DSP's arithmetic; see the module."""

    name = "biquad"
    Parameters = BiquadParameters
    kernel = staticmethod(process)
    call = ("x", "y", "frames", "channels")

    @classmethod
    def tables_layout(cls, capacity: Capacity) -> np.dtype:
        """Return the layout of ``bs_biquad_tables``."""
        return layout(sections="u4", post_shift="u4", coefficients=("i2", (MAX_SECTIONS, TERMS)))

    @classmethod
    def state_layout(cls, capacity: Capacity) -> np.dtype:
        """Return the layout of ``bs_biquad_state``."""
        return layout(history=("i2", (2 * MAX_SECTIONS + 2, capacity.channels)))

    @classmethod
    def design(cls, parameters: BiquadParameters, signal: SampleFormat, capacity: Capacity) -> Design:
        """Lay out the coefficients; no int16 can make the sum leave the bits that the arithmetic has for it."""
        tables = blank(cls.tables_layout(capacity))
        rows = np.array(parameters.coefficients, np.int16).reshape(-1, TERMS)
        tables["sections"], tables["post_shift"] = len(rows), parameters.post_shift
        tables["coefficients"][: len(rows)] = rows
        scale = 2.0 ** (15 - parameters.post_shift)
        poles = [np.abs(np.roots([1.0, *(-row[4:] / scale)])).max() for row in rows.astype(np.float64)]
        proofs = {
            "largest sum of products": f"{int(np.abs(rows.astype(np.int64)).sum(axis=1).max()) << 15} of {2**33}",
            "largest pole": float(max(poles)),
        }
        return Design(tables, signal.with_(bits=16), proofs)

    @classmethod
    def examples(cls) -> Iterator[BiquadParameters]:
        """Yield a band-pass of two sections, one section without a shift, and coefficients at the ends of their range."""
        yield BiquadParameters.of(butterworth_sections(2, 300.0, 6000.0, 24_000.0))
        yield BiquadParameters((3000, 0, 6000, 3000, 20_000, -12_000), 0)
        yield BiquadParameters((-32768, 0, 32767, -32768, -32768, -32768, 32767, 0, -32768, 32767, -32768, 32767), 0)

    def advance(self, samples: Samples) -> Samples:
        """Filter one block."""
        x = samples.data
        filtered = np.empty(x.shape, INT16)
        self.step(x, filtered, len(x), self.signal.channels)
        return Samples(samples.start, filtered, samples.flags)
