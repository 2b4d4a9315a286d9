"""Converter: int16 input to signed codes of n bits, coupled to the input through a high-pass, as an ADC's front-end is.

    m[n] = m[n-1] + (x[n] - m[n-1]) / 2**coupling          the slow level of each channel, a first-order low-pass, started at x[0]
    code = (x[n] - m[n]) gain / 2**shift                    held within the n bits

m has 14 fractional bits and its step is rounded to nearest, halves up; it enters the code rounded to a whole count, and the code is
rounded to nearest, halves up. So the constant offset that a recording carries is gone from its first frame on, and drift follows
with the corner frequency rate / (2 pi 2**coupling) (Oppenheim and Schafer, Discrete-Time Signal Processing, 7.2).
`firmware/src/adc.c` is the same text in C.
"""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass
from math import frexp, log2, pi

import numpy as np

from pipeline import lanes, pairs
from pipeline.across import TILE, copy, fetch, fetch_first
from pipeline.blocks import SampleFormat, Samples
from pipeline.capacity import Capacity
from pipeline.errors import BitspikeError
from pipeline.fixed import inlined, kernel
from pipeline.lanes import WIDTH, WIDTH16
from pipeline.layout import blank, layout
from pipeline.stage import INT16, Design, Parameters, Stage

LEVEL_BITS = 14  # fractional bits of the slow level
HALF_COUNT = 1 << (LEVEL_BITS - 1)
GAIN_BITS = 14  # significant bits of the gain
MAX_SHIFT = 29
FULL_SCALE_UV = 640.0  # reach of the codes to either side where the recording knows its microvolts: 2.5 uV a code at 9 bits


@dataclass(frozen=True)
class AdcParameters(Parameters):
    """Parameters in physical units.

    Attributes
    ----------
    bits : int
        Width of the codes, 2 to 16, sign included.
    lsb_uv : float
        Microvolts of one code. 0 is automatic: the codes reach to 640 uV either side (2.5 uV a code at 9 bits) where the recording
        says its microvolts per count; where it does not, full scale stays full scale: the input's bits become `bits`, and input of
        fewer bits is left as it is.
    coupling_hz : float
        Corner of the high-pass, rounded to the nearest that a power of two can give. Above 0.
    """

    bits: int = 9
    lsb_uv: float = 0.0
    coupling_hz: float = 0.5

    def __post_init__(self) -> None:
        self.require("bits", 2 <= self.bits <= 16, "choose 2 to 16")
        self.require("lsb_uv", 0 <= self.lsb_uv < 1e6, "choose the microvolts of one code, or 0 for automatic")
        self.require("coupling_hz", 0 < self.coupling_hz < 1e6, "choose a corner above 0 Hz, such as 0.5")


@inlined
def _run(tables, one, two, x, y, frames, c):  # type: ignore[no-untyped-def]
    """Convert `WIDTH16` channels from c on; one, two: their levels plus half a count, in the order of `pairs`; return those after.

    Both products are of pairs: x 2**LEVEL_BITS + 1 (all that rounds the level), and x gain - (the level's whole counts) gain.
    """
    gain, shift, coupling, low, top = tables
    half, rounding = np.int32(1) << (shift - 1), (np.int32(1) << (coupling - 1)) + HALF_COUNT
    raised, scaled = pairs.splat_pair(1 << LEVEL_BITS, rounding), pairs.splat_pair(gain, -gain)
    for n in range(frames):
        fetch(x, n + TILE, c)
        some, others = pairs.zipped(lanes.load16(x, n, c), lanes.splat16(1))
        one = one + ((lanes.pair_products(some, raised) - one) >> coupling)
        two = two + ((lanes.pair_products(others, raised) - two) >> coupling)
        some = pairs.odd_from(some, pairs.halves(one << (16 - LEVEL_BITS)))
        others = pairs.odd_from(others, pairs.halves(two << (16 - LEVEL_BITS)))
        code = (lanes.pair_products(some, scaled) + half) >> shift
        code_of_others = (lanes.pair_products(others, scaled) + half) >> shift
        lanes.store(y, n, c, lanes.clipped(pairs.packed(code, code_of_others), low, top))
    return one, two


@inlined
def _run_across(tables, level, x, y, frames, channels):  # type: ignore[no-untyped-def]
    """Convert all channels, at least `WIDTH16`, a few frames at a time, so that memory is gone along once."""
    last = channels - WIDTH16
    fetch_first(x, frames)
    for first in range(0, frames, TILE):
        length = min(TILE, frames - first)
        given, result = x[first:], y[first:]
        kept = lanes.splat(0), lanes.splat(0)
        # the last channels overlap those before and go first; their levels are kept until both began with those before the tile
        for n in range(-WIDTH16, last, WIDTH16):
            c = n if n >= 0 else last
            one, two = pairs.crossed(lanes.load(level, 0, c), lanes.load(level, 0, c + WIDTH))
            one, two = _run(tables, one + HALF_COUNT, two + HALF_COUNT, given, result, length, c)
            one, two = pairs.crossed(one - HALF_COUNT, two - HALF_COUNT)
            if n < 0:
                kept = one, two
            else:
                lanes.store(level, 0, c, one)
                lanes.store(level, 0, c + WIDTH, two)
        lanes.store(level, 0, last, kept[0])
        lanes.store(level, 0, last + WIDTH, kept[1])


@kernel
def process(gain, shift, coupling, low, top, primed, level, x, y, frames, channels):  # type: ignore[no-untyped-def]
    """Convert x: int16 [frames, channels] -> y: int16 [frames, channels]."""
    if frames == 0:
        return 0
    if primed[0] == 0:  # start as if the first value had always been there
        primed[0] = 1
        for c in range(channels):
            level[0, c] = np.int32(x[0, c]) << np.int32(LEVEL_BITS)
    narrow, memory, given, result = channels < WIDTH16, level, x, y
    if narrow:  # channels that fill no register are worked on in arrays that do
        memory, given = np.empty((1, WIDTH16), np.int32), np.empty((frames, WIDTH16), np.int16)
        result = np.empty_like(given)
        copy(level, 0, 0, memory, 0, 0, 1, channels)
        pairs.spread(x, given, frames, channels)
    _run_across((gain, shift, coupling, low, top), memory, given, result, frames, max(channels, WIDTH16))
    if narrow:
        copy(memory, 0, 0, level, 0, 0, 1, channels)
        pairs.spread(result, y, frames, channels)
    return 0


class Adc(Stage):
    """Converter to n-bit codes; see the module."""

    name = "adc"
    Parameters = AdcParameters
    kernel = staticmethod(process)
    call = ("x", "y", "frames", "channels")
    keeps_on_gap = ("primed", "level")

    @classmethod
    def tables_layout(cls, capacity: Capacity) -> np.dtype:
        """Return the layout of ``bs_adc_tables``."""
        return layout(gain="i4", shift="u4", coupling="u4", low="i4", top="i4")

    @classmethod
    def state_layout(cls, capacity: Capacity) -> np.dtype:
        """Return the layout of ``bs_adc_state``."""
        return layout(primed="u4", level=("i4", (1, capacity.channels)))

    @classmethod
    def design(cls, parameters: AdcParameters, signal: SampleFormat, capacity: Capacity) -> Design:
        """Turn microvolts a code into a multiplier and a shift, and the corner into a shift."""
        p, tables = parameters, blank(cls.tables_layout(capacity))
        gain, shift = _multiplier(_codes_per_count(p, signal))
        coupling = _coupling(p.coupling_hz, signal.rate_hz)
        tables["gain"], tables["shift"], tables["coupling"] = gain, shift, coupling
        tables["low"], tables["top"] = -(2 ** (p.bits - 1)), 2 ** (p.bits - 1) - 1
        output = signal.scaled(gain / 2**shift, p.bits)
        proofs = {
            "codes per count": gain / 2**shift,
            "microvolts of a code": output.uv_per_count or "the recording does not say",
            "corner of the coupling, Hz": signal.rate_hz / (2 * pi * 2**coupling),
            "largest product": f"{(2**16 - 1) * gain + 2 ** (shift - 1)} of {2**31}",
        }
        return Design(tables, output, proofs)

    @classmethod
    def examples(cls) -> Iterator[AdcParameters]:
        """Yield one example per kind of scaling."""
        yield AdcParameters()
        yield AdcParameters(bits=16, lsb_uv=0.01, coupling_hz=100.0)
        yield AdcParameters(bits=4, lsb_uv=30.0)

    def advance(self, samples: Samples) -> Samples:
        """Convert one block."""
        x = samples.data
        codes = np.empty(x.shape, INT16)
        self.step(x, codes, len(x), self.signal.channels)
        return Samples(samples.start, codes, samples.flags)


def _codes_per_count(parameters: AdcParameters, signal: SampleFormat) -> float:
    if signal.uv_per_count > 0:
        return signal.uv_per_count / (parameters.lsb_uv or FULL_SCALE_UV / 2 ** (parameters.bits - 1))
    if parameters.lsb_uv > 0:
        raise BitspikeError("lsb_uv: the recording does not say its microvolts per count; give its gain, or set lsb_uv = 0")
    return 2.0 ** min(0, parameters.bits - signal.bits)


def _multiplier(scale: float) -> tuple[int, int]:
    """Return gain and shift with ``gain / 2**shift`` nearest to `scale`; `GAIN_BITS` keep its products within 32 bits."""
    shift = GAIN_BITS - frexp(scale)[1]
    gain = round(scale * 2.0**shift)
    if gain == 2**GAIN_BITS:
        gain, shift = gain // 2, shift - 1
    if not 1 <= shift <= MAX_SHIFT:
        raise BitspikeError(f"lsb_uv: a count of the input would be {scale:.3g} codes; choose lsb_uv so that it is 2**-16 to 2**13")
    return gain, shift


def _coupling(corner_hz: float, rate_hz: float) -> int:
    """Return the shift whose high-pass has the nearest corner."""
    shift = round(log2(rate_hz / (2 * pi * corner_hz)))
    if not 1 <= shift <= LEVEL_BITS:
        lowest, highest = (rate_hz / (2 * pi * 2**end) for end in (LEVEL_BITS, 1))
        raise BitspikeError(f"coupling_hz = {corner_hz:g}: choose {lowest:.2g} to {highest:.2g} at {rate_hz:g} Hz")
    return shift
