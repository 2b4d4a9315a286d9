"""What is written is whole or not there, and a full disk gets one line that names what was being written."""

from __future__ import annotations

import errno
from pathlib import Path

import numpy as np
import pytest

from bitspike.main import run
from bitspike.writing import folder_for, write_files, writing
from pipeline.errors import BitspikeError

OF_HDF5 = "Can't decrement id ref count (unable to close file, errno = 28, error message = 'No space left on device')"
FULL = "the disk is full; free some space, or write to another disk"


@pytest.fixture
def full(monkeypatch):
    """A function that has something fail as on a full disk."""

    def fail(where, error=None, on=monkeypatch):
        def fails(*_, **__):
            raise OSError(errno.ENOSPC, "No space left on device") if error is None else error

        on.setattr(where, fails)

    return fail


@pytest.mark.parametrize(
    "error",
    [
        OSError(errno.ENOSPC, "No space left on device"),
        OSError(errno.ENOSPC, "No space left on device", "/elsewhere/.new.x/a"),
        OSError("4096 requested and 512 written"),
        OSError("[Errno 28] Unable to write (errno = 28, error message = 'No space left on device')"),
        RuntimeError(OF_HDF5),
    ],
)
def test_every_librarys_full_disk_is_the_same(error):
    with pytest.raises(OSError, match="No space left on device: 'there'") as caught, writing(Path("there")):
        raise error
    assert (caught.value.errno, caught.value.filename) == (errno.ENOSPC, "there")


@pytest.mark.parametrize("error", [RuntimeError("errno = 5"), RuntimeError("other"), OSError(errno.EIO, "bad"), OSError("bad")])
def test_other_errors_stay_what_they_are(error):
    with pytest.raises(type(error)) as caught, writing(Path("there")):
        raise error
    assert caught.value is error


def test_all_files_are_there_or_none(tmp_path, monkeypatch):
    folder = tmp_path / "a/b"
    write_files(folder, {"one": b"old"})
    whole = Path.write_bytes

    def fails(self, content):
        if self.name == "two":
            raise OSError(errno.ENOSPC, "No space left on device", str(self))
        return whole(self, content)

    monkeypatch.setattr(Path, "write_bytes", fails)
    for where in (folder, tmp_path / "c/d"):
        with pytest.raises(OSError, match=f"No space left on device: '{where}'"):
            write_files(where, {"one": b"new", "two": b"new"})
    assert sorted(tmp_path.rglob("*")) == [tmp_path / "a", folder, folder / "one"]
    assert (folder / "one").read_bytes() == b"old"


def test_folders_that_cannot_be(tmp_path):
    (tmp_path / "file").touch()
    (tmp_path / "folder").mkdir()
    with pytest.raises(BitspikeError, match=r"file: cannot be written \(File exists\); choose another folder"):
        write_files(tmp_path / "file", {"one": b""})
    with pytest.raises(BitspikeError, match=r"x: cannot be written \(Not a directory\); choose another folder"):
        write_files(tmp_path / "file/x", {"one": b""})
    with pytest.raises(BitspikeError, match="folder: is a folder; remove it"):
        write_files(tmp_path, {"one": b"", "folder": b""})
    assert sorted(path.name for path in tmp_path.iterdir()) == ["file", "folder"]
    with folder_for(tmp_path / "new/newer"):
        pass
    assert not (tmp_path / "new").exists()


@pytest.mark.skipif(not Path("/proc/self").exists(), reason="needs a file system that takes no folders: /proc")
def test_where_no_folder_can_be(refused, recording, chain_file):
    line = "/proc/x: cannot be written (No such file or directory); choose another folder"
    for command in ("replay", "train"):
        assert refused(command, recording.path, "--chain", chain_file, "-o", "/proc/x") == line
    assert refused("tables", "psoc68", "-o", "/proc/x") == line


def test_exports(refused, full, finished):
    pytest.importorskip("pynwb")
    full("pynwb.NWBHDF5IO.write", RuntimeError(OF_HDF5))
    assert refused("export", finished.path, "--nwb", "new/units.nwb") == f"new/units.nwb: {FULL}"
    full("numpy.save")
    assert refused("export", finished.path, "--phy", "new/phy") == f"new/phy: {FULL}"


def test_training_and_tables(refused, full, recording, chain_file):
    full("numpy.save")
    assert refused("train", recording.path, "--chain", chain_file, "-o", "new/learned") == f"new/learned: {FULL}"
    full("pathlib.Path.write_bytes")
    assert refused("tables", "psoc68", "-o", "new/tables") == f"new/tables: {FULL}"


def test_a_result_outlives_its_report(capsys, monkeypatch, full, tmp_path, recording, chain_file):
    pytest.importorskip("matplotlib")
    monkeypatch.chdir(tmp_path)
    replay = ["replay", str(recording.path), "--chain", str(chain_file), "--stop", "1", "-o", "run", "--plot"]
    with monkeypatch.context() as disk:
        full("pathlib.Path.write_bytes", on=disk)
        assert run(replay) == 2
    out, err = capsys.readouterr()
    assert out == ""
    assert err == (
        f"bitspike: {tmp_path}/run/plots: cannot be written (No space left on device), but the result is complete: free some "
        f"space, and 'bitspike report {tmp_path}/run' makes the report\n"
    )
    assert not (tmp_path / "run/plots").exists()
    assert run(["report", "run"]) == 0
    assert len(np.load(tmp_path / "run/spikes/sample.npy")) > 0
