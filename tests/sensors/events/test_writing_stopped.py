"""Writing that fails or is stopped: one error, and nothing left over."""

from __future__ import annotations

import errno
import os

import pytest

from pipeline.blocks import EventFormat
from pipeline.errors import BitspikeError
from sensors.events import write_events

SENSOR = EventFormat(200, 150)


@pytest.fixture
def small_disk():
    """On Unix a limit on the size of files stands for a full disk: a write fails in mid-file, in child processes too."""
    resource = pytest.importorskip("resource")
    before = resource.getrlimit(resource.RLIMIT_FSIZE)
    resource.setrlimit(resource.RLIMIT_FSIZE, (60_000, before[1]))
    yield
    resource.setrlimit(resource.RLIMIT_FSIZE, before)


@pytest.mark.parametrize(("format", "needs"), [("evt2", "numpy"), ("hdf5", "h5py"), ("aedat4-none", "dv_processing")])
def test_a_disk_that_is_really_full(tmp_path, made, small_disk, format, needs, capfd):
    pytest.importorskip(needs)
    path = tmp_path / f"a.{format.partition('-')[0]}"
    with pytest.raises(BitspikeError) as refusal:
        write_events(path, [made], format, sensor=SENSOR)
    assert str(refusal.value) == f"{path}: cannot be written: {os.strerror(errno.EFBIG)}"
    assert list(tmp_path.iterdir()) == []
    assert capfd.readouterr() == ("", "")


def test_a_stop_while_aedat4_is_written(tmp_path, made):
    pytest.importorskip("dv_processing")

    def stopped(_):
        raise KeyboardInterrupt

    with pytest.raises(KeyboardInterrupt):
        write_events(tmp_path / "a.aedat4", [made], sensor=SENSOR, progress=stopped)
    assert list(tmp_path.iterdir()) == []


def test_only_a_file_is_overwritten(tmp_path, made):
    os.mkfifo(tmp_path / "pipe")
    (tmp_path / "folder").mkdir()
    for name in ("pipe", "folder"):
        with pytest.raises(BitspikeError, match=f"{name}: is a folder, a pipe or a device, which no file may replace"):
            write_events(tmp_path / name, [made], "evt3", sensor=SENSOR, overwrite=True)
    assert (tmp_path / "pipe").is_fifo()
    assert sorted(p.name for p in tmp_path.iterdir()) == ["folder", "pipe"]
