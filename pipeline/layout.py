"""Fixed layouts shared by Python and C: named integer fields whose bytes mean the same on every machine."""

from __future__ import annotations

from typing import Any

import numpy as np

C_TYPES = {
    "i1": "int8_t",
    "u1": "uint8_t",
    "i2": "int16_t",
    "u2": "uint16_t",
    "i4": "int32_t",
    "u4": "uint32_t",
    "i8": "int64_t",
    "u8": "uint64_t",
}

Field = str | tuple[str, int] | tuple[str, tuple[int, ...]]


def layout(**fields: Field) -> np.dtype:
    """Return the aligned little-endian dtype of a C struct.

    Parameters
    ----------
    **fields : str or tuple
        ``"i4"`` for a scalar, ``("i4", length)`` or ``("i4", (rows, columns))`` for an array, in the struct's order.

    Returns
    -------
    numpy.dtype
        Structured dtype with C alignment; `firmware` asserts that the hand-written struct has the same offsets.
    """
    described: list[tuple[Any, ...]] = []
    for name, field in fields.items():
        if isinstance(field, str):
            described.append((name, f"<{field}"))
        else:
            shape = field[1] if isinstance(field[1], tuple) else (field[1],)
            described.append((name, f"<{field[0]}", shape))
    return np.dtype(described, align=True)


def blank(dtype: np.dtype) -> np.ndarray:
    """Return one zeroed struct; ``blank(d)["field"]`` is a view into its bytes, so kernels and C share it."""
    return np.zeros((), dtype)


def settled(record: np.ndarray) -> np.ndarray:
    """Return a copy of one struct whose padding is zero, so that equal fields have equal bytes: NumPy leaves it to chance."""
    clean = blank(record.dtype)
    for name in names(record.dtype):
        clean[name] = record[name]
    return clean


def relaid(record: np.ndarray, designed: np.ndarray) -> np.ndarray:
    """Return a struct's values in the layout of another with the same fields: arrays keep their first corner, the rest is as there.

    Parameters
    ----------
    record : numpy.ndarray
        One struct.
    designed : numpy.ndarray
        One struct, laid out for another capacity; it is not changed.

    Raises
    ------
    ValueError
        The fields are others, or what does not fit is more than filling, which is 0 or -1.
    """
    result = designed.copy()
    if record.shape != () or record.dtype.names != result.dtype.names:
        raise ValueError("its fields are others")
    for name in names(result.dtype):
        old, new = record[name], result[name]
        if old.ndim != new.ndim or old.dtype.base != new.dtype.base:
            raise ValueError(f"{name} is of another kind")
        corner = tuple(slice(min(a, b)) for a, b in zip(old.shape, new.shape, strict=True))
        lost = old.copy()
        lost[corner] = 0
        if np.any((lost != 0) & (lost != -1)):
            raise ValueError(f"{name} is {old.shape}, and there is room for {new.shape}")
        result[name][corner] = old[corner]
    return result


def constants(record: np.ndarray) -> tuple[Any, ...]:
    """Return a tables struct's fields as a kernel takes them: scalars by value, arrays as views."""
    return tuple(record[n] if record[n].ndim else record[n][()] for n in names(record.dtype))


def variables(record: np.ndarray) -> tuple[np.ndarray, ...]:
    """Return a state struct's fields as a kernel takes them: views that it may write, a scalar as an array of one."""
    return tuple(record[n] if record[n].ndim else record[n].reshape(1) for n in names(record.dtype))


def names(dtype: np.dtype) -> tuple[str, ...]:
    """Return the field names of a structured dtype (never None, unlike ``dtype.names``)."""
    if dtype.names is None:
        raise TypeError(f"{dtype} is not a struct")
    return dtype.names


def c_layout_check(struct: str, dtype: np.dtype) -> str:
    """Return C static assertions that `struct`, written by hand in a header, is `dtype` to the byte: every place and type."""
    lines = [f'_Static_assert(sizeof({struct}) == {dtype.itemsize}, "{struct}: size");']
    for name in names(dtype):
        fields: Any = dtype.fields or {}
        field, offset = fields[name][0], fields[name][1]
        c_type = C_TYPES[field.base.str[1:]] + " (*)" + "".join(f"[{n}]" for n in field.shape)
        lines.append(f'_Static_assert(offsetof({struct}, {name}) == {offset}, "{struct}.{name}: offset");')
        same = f"_Generic(&(({struct} *)0)->{name}, {c_type}: 1, default: 0)"
        lines.append(f'_Static_assert({same}, "{struct}.{name}: {c_type}");')
    return "\n".join(lines) + "\n"
