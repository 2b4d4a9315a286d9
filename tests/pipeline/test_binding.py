"""A bound kernel sees its tables and state in place, and takes read-only input like any other."""

from __future__ import annotations

import gc
import importlib
import sys
from pathlib import Path

import numpy as np
import pytest
from numba.core.errors import TypingError

from pipeline import binding
from pipeline.binding import Step, _origin, _source, _version, call_plain
from pipeline.errors import BitspikeError
from pipeline.fixed import inlined, kernel
from pipeline.layout import blank, layout

TABLES = layout(gain="i4", limit="u8", taps=("i2", 3), grid=("i4", (2, 3)))
STATE = layout(count="u2", rows=("i8", (2, 4)))
KINDS = (("int16", 1),)


@kernel
def accumulate(gain, limit, taps, grid, count, rows, x, out, frames):
    for n in range(frames):
        count[0] += 1
        rows[n & 1, n % 4] += x[n] * gain + taps[n % 3] * grid[n & 1, n % 3]
        out[n] = min(rows[n & 1, n % 4], np.int64(limit))
    return frames


@kernel
def either(gain, limit, taps, grid, count, rows, x, spare, frames):
    spare[:] = 0
    chosen = x if frames > 5 else spare
    return chosen.sum()


def oracle(tables, count, rows, x):
    out = []
    for n, value in enumerate(x.tolist()):
        count += 1
        rows[n % 2][n % 4] += value * int(tables["gain"]) + int(tables["taps"][n % 3]) * int(tables["grid"][n % 2, n % 3])
        out.append(min(rows[n % 2][n % 4], int(tables["limit"])))
    return count, rows, out


def example():
    tables, state = blank(TABLES), blank(STATE)
    tables["gain"], tables["limit"], tables["taps"], tables["grid"] = -3, 1000, [1, -2, 3], [[5, 6, 7], [-8, 9, -10]]
    return tables, state


def test_fields_arrive_in_order_and_state_is_changed_in_place():
    tables, state = example()
    x = np.arange(-50, 50, dtype=np.int16)
    out = np.zeros(100, np.int64)
    assert Step(accumulate, tables, state)(x, out, 100) == 100
    count, rows, expected = oracle(tables, 0, [[0] * 4, [0] * 4], x)
    assert out.tolist() == expected
    assert state["count"] == count
    assert state["rows"].tolist() == rows


def test_later_changes_of_tables_are_seen():
    tables, state = example()
    step = Step(accumulate, tables, state)
    out = np.zeros(1, np.int64)
    step(np.array([7], np.int16), out, 1)
    assert out[0] == 7 * -3 + 5
    tables["gain"] = 11
    state["rows"] = 0
    step(np.array([7], np.int16), out, 1)
    assert out[0] == 7 * 11 + 5


def test_read_only_input_may_take_the_place_of_an_array_that_the_kernel_writes():
    tables, state = example()
    step = Step(either, tables, state)
    x, spare = np.arange(10, dtype=np.int16), np.zeros(10, np.int16)
    x.flags.writeable = False
    assert step(x, spare, 10) == 45
    assert step(x, spare, 5) == 0


def test_tables_and_state_live_as_long_as_the_step():
    tables, state = example()
    step = Step(accumulate, tables, state)
    del tables, state
    gc.collect()
    sizes = (TABLES.itemsize, STATE.itemsize)
    again = [np.full(size, 0x7F, np.uint8) for size in sizes for _ in range(50)]  # would take the place of freed memory
    assert len(again) == 100
    out = np.zeros(1, np.int64)
    step(np.array([1], np.int16), out, 1)
    assert out[0] == -3 + 5


HELPERS = {  # by file: a text, and what is changed in it
    "other_inlined": ("from pipeline.fixed import inlined\n\n@inlined\ndef twice(v):\n    return 2 * v\n", ("2 * v", "3 * v")),
    "other_constants": ("FIVE = 5\n", ("= 5", "= 6")),
    "other_emitted": ("def emitted(builder, value):\n    return builder.neg(value)\n", ("neg", "not_")),
    "other_operations": (
        "from numba.extending import intrinsic\nfrom other_emitted import emitted\n\n@intrinsic\ndef turned(context, v):\n"
        "    def generate(context, builder, signature, arguments):\n        return emitted(builder, arguments[0])\n"
        "    return v(v), generate\n",
        ("arguments[0]", "arguments[-1]"),
    ),
}


@pytest.mark.parametrize("changed", HELPERS)
def test_machine_code_is_marked_with_all_that_it_comes_from(changed, tmp_path, monkeypatch):
    """Numba caches by the kernel's own file; a change in a helper's must give another name, or old code would run.

    The helper is called by its name or through its module, and may be an operation of which another file makes the code.
    """
    monkeypatch.syspath_prepend(tmp_path)
    for name, (text, _) in HELPERS.items():
        (tmp_path / f"{name}.py").write_text(text)
    (tmp_path / "its_kernel.py").write_text(
        "import other_operations\nfrom pipeline.fixed import kernel\nfrom other_constants import FIVE\n"
        "from other_inlined import twice\n\n"
        "@kernel\ndef run(gain, limit, taps, grid, count, rows, x):\n"
        "    return twice(x[0]) + FIVE * other_operations.turned(x[0])\n"
    )
    monkeypatch.setattr(binding, "OURS", ("its_kernel", *HELPERS))
    names = ("its_kernel", *HELPERS)
    run = importlib.import_module("its_kernel").run
    before = _source(run, TABLES, STATE, KINDS)
    tables, state = example()
    assert Step(run, tables, state)(np.array([21], np.int16)) == 42 - 5 * 21
    helper = tmp_path / f"{changed}.py"
    assert HELPERS[changed][1][0] in helper.read_text()
    helper.write_text(helper.read_text().replace(*HELPERS[changed][1]))
    for name in names:
        monkeypatch.delitem(sys.modules, name, raising=False)
    importlib.invalidate_caches()
    _version.cache_clear()
    assert _source(importlib.import_module("its_kernel").run, TABLES, STATE, KINDS) != before
    for name in names:
        monkeypatch.delitem(sys.modules, name, raising=False)


def test_every_kernel_of_a_stage_is_marked_with_the_files_of_its_operations():
    from classifiers.sorting import process
    from pipeline.neural.bandpass import KERNELS

    for kernel_of, expected in (
        (KERNELS[1], {"lanes", "wide"}),
        (process, {"lanes", "rows", "turning", "memory", "patch", "fitting"}),
    ):
        files: set[str] = set()
        _origin(kernel_of.py_func, files, {})
        assert expected <= {Path(file).stem for file in files}


def made(factor, hidden):
    @inlined
    def scaled(x):
        return x[0] * factor + len(hidden)

    @kernel
    def product(gain, limit, taps, grid, count, rows, x):
        return scaled(x)

    return product


def test_kernels_made_alike_are_told_apart_by_the_integers_they_close_over():
    x = np.array([21], np.int16)
    steps = [Step(made(factor, "ab"), *example()) for factor in (2, 3)]
    assert [step(x) for step in steps] == [44, 65]
    with pytest.raises(TypeError, match="close over the same integers"):
        Step(made(3, "abc"), *example())(x)


def test_a_file_that_changed_since_it_was_imported_is_refused(monkeypatch, tmp_path):
    monkeypatch.syspath_prepend(tmp_path)
    file = tmp_path / "edited_later.py"
    file.write_text(
        "from pipeline.fixed import kernel\n\n@kernel\ndef first(x):\n    return x[0]\n\n@kernel\ndef second(x):\n    return x[1]\n"
    )
    module = importlib.import_module("edited_later")
    x = np.array([3, 4], np.int16)
    assert call_plain(module.first, x) == 3
    file.write_text(file.read_text().replace("x[1]", "x[0]"))
    with pytest.raises(BitspikeError, match=r"edited_later\.py: has changed since second was imported"):
        call_plain(module.second, x)


def test_arrays_with_gaps_are_refused():
    step = Step(either, *example())
    x = np.arange(20, dtype=np.int16)
    step(x[:10], x[10:].copy(), 10)
    with pytest.raises(TypingError, match="without gaps"):
        step(x[::2], x[10:].copy(), 10)


def test_a_quick_step_takes_arguments_of_its_types_only():
    tables, state = example()
    x = np.arange(10, dtype=np.int16)
    step = Step(either, tables, state).quick(x, x, 10)
    assert step(x, x.copy(), 10) == 45
    with pytest.raises(TypingError, match="int16 in 1 dimensions"):
        step(x.astype(np.int32), x, 10)


@kernel
def total(x):
    return x.sum()


def test_numbers_in_another_byte_order_are_refused():
    x = np.arange(10, dtype=np.int16)
    assert call_plain(total, x) == 45
    swapped = x.astype(x.dtype.newbyteorder())
    with pytest.raises(TypeError, match="byte order"):
        call_plain(total, swapped)
    with pytest.raises(TypeError, match="byte order"):
        Step(either, *example())(x, swapped, 10)
    tables, state = example()
    with pytest.raises(TypeError, match="byte order"):
        Step(either, tables.astype(TABLES.newbyteorder()), state)(x, x.copy(), 10)


def test_without_a_compiler_one_line_says_so(monkeypatch):
    monkeypatch.setattr(binding._settings, "DISABLE_JIT", 1)
    with pytest.raises(BitspikeError, match="NUMBA_DISABLE_JIT is set"):
        Step(total.py_func, *example())(np.arange(10, dtype=np.int16))
