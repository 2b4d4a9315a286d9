"""Fixed-point helpers, against Python's integers."""

from __future__ import annotations

from math import isqrt

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from numba import njit

from pipeline.errors import BitspikeError
from pipeline.fixed import divide, isqrt64, quantise, require_fits, saturate16

saturate = njit(lambda value: saturate16(np.int32(value)))
quotient = njit(lambda n, d: divide(n, d))


@settings(deadline=None)  # the first call compiles
@given(st.integers(0, 2**62))
def test_root(value):
    assert isqrt64(value) == isqrt(value)


@settings(deadline=None)
@given(st.integers(-(2**31), 2**31 - 1))
def test_saturation(value):
    assert saturate(value) == max(-32768, min(32767, value))


@settings(deadline=None)
@given(st.integers(-(2**62), 2**62), st.integers(1, 2**62))
def test_division_is_that_of_c(numerator, denominator):
    expected = abs(numerator) // denominator
    assert quotient(numerator, denominator) == (expected if numerator >= 0 else -expected)


def test_quantise_rounds_to_nearest_even_and_refuses_what_does_not_fit():
    assert quantise(np.array([0.5, 1.5, -0.5, 1.25]), 0).tolist() == [0, 2, 0, 1]
    assert quantise(0.3, 14, np.int16) == 4915
    for bad in (4.0, -4.5, np.nan, np.inf):
        with pytest.raises(BitspikeError, match="does not fit"):
            quantise(bad, 29)


def test_bounds_are_refused_with_the_bits_they_need():
    require_fits("sum", 2.0**31 - 1, 32)
    with pytest.raises(BitspikeError, match="sum could need 33 bits and has 32"):
        require_fits("sum", 2.0**31, 32)
