"""Columns that grow are plain .npy files at every end, and go on where they were cut off."""

from __future__ import annotations

import numpy as np
import pytest

from bitspike.columns import Column, Columns
from pipeline.errors import BitspikeError


@pytest.mark.parametrize(("dtype", "shape"), [(np.int64, ()), (np.int16, (3,)), (np.float32, (2, 5))])
def test_numpy_reads_what_was_appended(tmp_path, dtype, shape):
    rng = np.random.default_rng(0)
    parts = [rng.integers(-100, 100, (n, *shape)).astype(dtype) for n in (3, 0, 1, 250)]
    column = Column(tmp_path / "a.npy", dtype, shape)
    for part in parts:
        column.append(part)
    column.close()
    stored = np.load(tmp_path / "a.npy")
    assert stored.dtype == dtype
    np.testing.assert_array_equal(stored, np.concatenate(parts))


def test_an_empty_column_is_an_empty_array(tmp_path):
    Column(tmp_path / "a.npy", np.int16, (4,)).close()
    assert np.load(tmp_path / "a.npy").shape == (0, 4)


def test_a_view_that_is_not_contiguous_is_written_right(tmp_path):
    column = Column(tmp_path / "a.npy", np.int32)
    column.append(np.arange(10, dtype=np.int32)[::2])
    column.close()
    assert np.load(tmp_path / "a.npy").tolist() == [0, 2, 4, 6, 8]


def test_other_rows_are_refused(tmp_path):
    column = Column(tmp_path / "a.npy", np.int32, (2,))
    with pytest.raises(TypeError, match="holds int32"):
        column.append(np.zeros((3, 2), np.int16))
    with pytest.raises(TypeError, match="holds int32"):
        column.append(np.zeros(3, np.int32))


def test_columns_go_on_from_a_state_and_forget_what_came_after(tmp_path):
    columns = Columns(tmp_path)
    columns.column("spikes/sample", np.int64).append(np.arange(5))
    state = columns.state()
    columns.column("spikes/sample", np.int64).append(np.arange(100, 120))
    columns.close()
    columns = Columns(tmp_path, state)
    columns.column("spikes/sample", np.int64).append(np.array([5, 6]))
    columns.close()
    assert np.load(tmp_path / "spikes/sample.npy").tolist() == [0, 1, 2, 3, 4, 5, 6]


def test_a_file_that_lost_rows_is_refused(tmp_path):
    columns = Columns(tmp_path)
    columns.column("a", np.int64).append(np.arange(5))
    state = columns.state()
    columns.close()
    with (tmp_path / "a.npy").open("r+b") as file:
        file.truncate(130)
    with pytest.raises(BitspikeError, match="shorter than when the run was interrupted"):
        Columns(tmp_path, state)
