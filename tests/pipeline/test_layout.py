"""Layouts are those of C, and views reach into their bytes."""

from __future__ import annotations

import subprocess

import numpy as np
import pytest

from pipeline.layout import blank, c_layout_check, constants, layout, names, relaid, variables

LAYOUT = layout(flag="u1", count="i4", rows=("i2", (2, 3)), total="i8", tail=("u1", 3))
STRUCT = "typedef struct { uint8_t flag; int32_t count; int16_t rows[2][3]; int64_t total; uint8_t tail[3]; } bs_thing;"


def compile_c(folder, text):
    source = folder / "unit.c"
    source.write_text(f"#include <stddef.h>\n#include <stdint.h>\n{text}")
    return subprocess.run(["gcc", "-std=c11", "-c", source, "-o", folder / "unit.o"], capture_output=True, text=True, check=False)


def test_the_compiler_agrees_and_notices_a_change(tmp_path):
    check = c_layout_check("bs_thing", LAYOUT)
    assert compile_c(tmp_path, STRUCT + check).returncode == 0
    for other in (("int32_t count", "int16_t count"), ("rows[2][3]", "rows[3][2]"), ("uint8_t tail", "int8_t tail")):
        failed = compile_c(tmp_path, STRUCT.replace(*other) + check)
        assert failed.returncode != 0
        assert "bs_thing" in failed.stderr


def test_views_reach_the_bytes():
    record = blank(LAYOUT)
    record["count"] = -5
    flag, count, rows, total, tail = constants(record)
    assert (count, flag, total) == (-5, 0, 0)
    rows[1, 2] = 7
    tail[0] = 9
    written = variables(record)
    written[1][0] = 12
    assert (record["count"], record["rows"][1, 2], record["tail"][0]) == (12, 7, 9)
    assert names(LAYOUT) == ("flag", "count", "rows", "total", "tail")
    with pytest.raises(TypeError):
        names(np.dtype("i4"))


def test_values_move_to_another_layout_and_back():
    small, large = blank(layout(a="i4", b=("i2", (2, 3)))), blank(layout(a="i4", b=("i2", (4, 3))))
    small["a"], small["b"] = 7, np.arange(6).reshape(2, 3)
    large["b"] = -1
    moved = relaid(small, large)
    assert moved["a"] == 7
    assert moved["b"].tolist() == [[0, 1, 2], [3, 4, 5], [-1, -1, -1], [-1, -1, -1]]
    assert large["a"] == 0
    assert relaid(moved, small).tobytes() == small.tobytes()


def test_values_that_do_not_fit_are_refused():
    small, large = blank(layout(b=("i2", 2))), blank(layout(b=("i2", 4)))
    large["b"][3] = 5
    with pytest.raises(ValueError, match=r"b is \(4,\), and there is room for \(2,\)"):
        relaid(large, small)
    with pytest.raises(ValueError, match="b is of another kind"):
        relaid(blank(layout(b=("i4", 2))), small)
    with pytest.raises(ValueError, match="its fields are others"):
        relaid(blank(layout(c=("i2", 2))), small)
