"""Fixed-point arithmetic: the few operations that kernels use, each with its one rounding rule, and the design-time helpers.

Every kernel function here has a C twin of the same name in ``firmware/include/bitspike/fixed.h``.
"""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import numpy as np
from numba import njit

from pipeline.errors import BitspikeError

INT16_MAX, INT16_MIN = 2**15 - 1, -(2**15)
INT32_MAX, INT32_MIN = 2**31 - 1, -(2**31)


def kernel(function: Callable[..., Any]) -> Callable[..., Any]:
    """Compile `function` to machine code, cached on disk; integer division by zero is the caller's to prevent."""
    return _compiled(function, cache=True)


def inlined(function: Callable[..., Any]) -> Callable[..., Any]:
    """Compile a helper that is inlined into the kernels that call it, before Numba looks at types.

    For small ones: helpers that inline others in turn take long to compile.
    """
    return _compiled(function, inline="always")


def linked(function: Callable[..., Any]) -> Callable[..., Any]:
    """Compile a helper that is kept with the kernels that call it, so that a change of its file makes those anew."""
    return _compiled(function)


def merged(function: Callable[..., Any]) -> Callable[..., Any]:
    """Compile a helper like `linked` into the places that call it: handing on dozens of arguments would take long, and so does
    counting references to arrays, which the compiler leaves out where it sees that nobody owns them.

    Python cannot call it (the process would die): another copy, in what Python would call, takes as long to compile.
    """
    return _compiled(function, forceinline=True, no_cpython_wrapper=True)


def _compiled(function: Callable[..., Any], **options: Any) -> Callable[..., Any]:
    """Compile without what functions from elsewhere than Numba or Python would call."""
    compile_it: Callable[..., Any] = njit
    compiled: Callable[..., Any] = compile_it(nogil=True, error_model="numpy", no_cfunc_wrapper=True, **options)(function)
    return compiled


@inlined
def saturate16(value: Any) -> Any:
    """Return `value` (int32) as int16, held at the ends of the range."""
    return np.int16(min(max(value, np.int32(-32768)), np.int32(32767)))


@kernel
def isqrt64(value):  # type: ignore[no-untyped-def]
    """Return the integer square root of an int64 >= 0, rounded down: the bit-by-bit method."""
    remainder, root = np.uint64(value), np.uint64(0)
    bit = np.uint64(1) << np.uint64(62)
    while bit > remainder:
        bit >>= np.uint64(2)
    while bit != np.uint64(0):
        if remainder >= root + bit:
            remainder -= root + bit
            root = (root >> np.uint64(1)) + bit
        else:
            root >>= np.uint64(1)
        bit >>= np.uint64(2)
    return np.int64(root)


@inlined
def divide(numerator, denominator):  # type: ignore[no-untyped-def]
    """Return numerator / denominator rounded toward zero, as C does; int64, the denominator positive."""
    n = np.int64(numerator)
    return -(-n // np.int64(denominator)) if n < 0 else n // np.int64(denominator)


def quantise(values: np.ndarray | float, fraction_bits: int, dtype: Any = np.int32) -> np.ndarray:
    """Return `values` in Q`fraction_bits`, rounded to nearest even.

    Raises
    ------
    BitspikeError
        A value does not fit `dtype`, with the value and the range in the message.
    """
    scaled = np.rint(np.asarray(values, np.float64) * 2.0**fraction_bits)
    limits = np.iinfo(dtype)
    if not np.all(np.isfinite(scaled)) or np.any(scaled < limits.min) or np.any(scaled > limits.max):
        worst = float(np.max(np.abs(values)))
        raise BitspikeError(f"coefficient {worst:g} does not fit Q{fraction_bits} of {np.dtype(dtype).name}")
    return scaled.astype(dtype)


def require_fits(what: str, bound: float, bits: int) -> None:
    """Refuse a design whose accumulator could overflow.

    Parameters
    ----------
    what : str
        Name of the accumulator, for the message.
    bound : float
        Largest magnitude that any input can bring about (a proof, such as a sum of absolute coefficients).
    bits : int
        Width of the signed accumulator.

    Raises
    ------
    BitspikeError
        `bound` is 2**(bits-1) or more.
    """
    if bound >= 2.0 ** (bits - 1):
        needed = int(np.ceil(np.log2(bound + 1))) + 1
        raise BitspikeError(f"{what} could need {needed} bits and has {bits}: choose a smaller gain, order or input width")
