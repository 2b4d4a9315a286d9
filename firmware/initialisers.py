"""A struct of integers as the text of a C initialiser."""

from __future__ import annotations

import textwrap

import numpy as np

from pipeline.layout import names

WIDTH = 120


def initialiser(record: np.ndarray) -> str:
    """Return ``{.field = value, ...}`` for one struct; what is zero to the end of an array is left to the compiler."""
    lines = []
    for name in names(record.dtype):
        value = record[name]
        if not value.ndim:
            lines.append(f"    .{name} = {literal(int(value), value.dtype)},")
        elif value.any():
            lines += textwrap.wrap(f".{name} = {_array(value)},", WIDTH, initial_indent="    ", subsequent_indent="        ")
    return "{\n" + "\n".join(lines) + "\n}"


def literal(value: int, dtype: np.dtype) -> str:
    """Return an integer as C writes it, of the least type that holds all of `dtype`."""
    limits = np.iinfo(dtype)
    if value == limits.min and limits.min < 0 and dtype.itemsize >= 4:
        return f"INT{8 * dtype.itemsize}_MIN"
    if dtype.itemsize == 8:
        return f"{'INT64_C' if limits.min < 0 else 'UINT64_C'}({value})"
    return f"{value}u" if dtype.kind == "u" and dtype.itemsize == 4 else str(value)


def _array(value: np.ndarray) -> str:
    """Return nested braces, without the rows and numbers at the end that are all zero."""
    used = np.flatnonzero(value.reshape(len(value), -1).any(axis=1))
    rows = value[: used[-1] + 1] if len(used) else value[:1]
    inner = [_array(row) if row.ndim else literal(int(row), value.dtype) for row in rows]
    return "{" + ", ".join(inner) + "}"
