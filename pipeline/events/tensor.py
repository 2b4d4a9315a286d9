"""The tensor of a particle: where and when there were events, as a classifier takes it.

A bit for each cell of a coarse grid, time step and polarity; bit ``k`` is bit ``k % 8`` of byte ``k // 8``, and

    k = ((step * 2 + polarity) * rows + row) * columns + column

Steps count from the first event of the passage. The grid lies on the sensor, or, where it follows the particle, with its middle on
the particle's. Cells and steps are found by a multiplication with the reciprocal and a shift, exact for all places and times there
are (`reciprocal` proves it). `unpacked` turns the bytes into an array.
"""

from __future__ import annotations

import numpy as np

from pipeline.errors import BitspikeError
from pipeline.fixed import inlined

SHIFT = 22


def reciprocal(divisor: int, most: int) -> int:
    """Return f so that ``value * f >> SHIFT`` is ``value // divisor`` for all values from 0 to `most`, and below 2**32 on the way.

    Raises
    ------
    BitspikeError
        There is no such number.
    """
    factor = -(-(1 << SHIFT) // divisor)
    # exact if what the factor is too large by, times the largest value, stays below one: Granlund and Montgomery (1994)
    if (factor * divisor - (1 << SHIFT)) * most >= 1 << SHIFT or most * factor >= 1 << 32:
        raise BitspikeError(f"cell_px, step_us: {most} / {divisor} is too fine to count in; choose larger cells or steps")
    return factor


@inlined
def mark(columns, rows, extent_x, extent_y, extent_us, cell_factor, step_factor, tensor, u, v, past, polarity):  # type: ignore[no-untyped-def]
    """Set the bit of an event at pixel (u, v) of the grid (int32), `past` us (uint32) after the first one."""
    if np.uint32(u) < extent_x and np.uint32(v) < extent_y and past < extent_us:  # what is negative is beyond as well
        column = (np.uint32(u) * cell_factor) >> np.uint32(SHIFT)
        row = (np.uint32(v) * cell_factor) >> np.uint32(SHIFT)
        step = (past * step_factor) >> np.uint32(SHIFT)
        k = ((step * np.uint32(2) + polarity) * rows + row) * columns + column
        tensor[k >> np.uint32(3)] |= np.uint8(np.uint32(1) << (k & np.uint32(7)))


def unpacked(tensor: np.ndarray, columns: int, rows: int, steps: int) -> np.ndarray:
    """Return tensors as bits.

    Parameters
    ----------
    tensor : numpy.ndarray
        uint8 [particles, bytes].
    columns, rows, steps : int
        Of the grid.

    Returns
    -------
    numpy.ndarray
        uint8 [particles, steps, polarity, rows, columns], 0 or 1.
    """
    bits = np.unpackbits(tensor, axis=1, count=steps * 2 * rows * columns, bitorder="little")
    return bits.reshape(len(tensor), steps, 2, rows, columns)
