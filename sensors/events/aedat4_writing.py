"""Write AEDAT 4 files, through dv-processing (the ``events`` extra) in a process of its own.

The library writes in a thread, and a disk that is full there ends the process with a stack trace (dv-processing 2.0.4). So
`sensors.events.aedat4_child` does the writing, and when it ends early that is an error like any other.
"""

from __future__ import annotations

import re
import subprocess
import sys
from pathlib import Path

import numpy as np

from pipeline.blocks import EventFormat, Events
from pipeline.errors import BitspikeError
from sensors.events.aedat4 import dv

CAMERA = "bitspike"
CHILD = Path(__file__).with_name("aedat4_child.py")


class Aedat4Writer:
    """Writes an AEDAT 4 file, with `compression` "none", "lz4" or "zstd".

    Raises
    ------
    BitspikeError
        The name does not end as the library wants it.
    MissingExtraError
        dv-processing is not installed.
    """

    def __init__(self, path: Path, sensor: EventFormat, first_us: int, compression: str = "lz4") -> None:
        dv()
        if path.suffix != ".aedat4":
            raise BitspikeError(f"{path}: the name of an AEDAT 4 file ends with .aedat4")
        given = [str(path), str(sensor.width), str(sensor.height), compression, CAMERA]
        self._child = subprocess.Popen(
            [sys.executable, "-P", str(CHILD), *given],  # -P: beside it are modules that are named like those of Python
            stdin=subprocess.PIPE,
            stdout=subprocess.DEVNULL,
            stderr=subprocess.PIPE,
            start_new_session=True,  # Ctrl-C is for us
        )

    def write(self, events: Events) -> None:
        """Write events.

        Raises
        ------
        OSError
            The file cannot be written.
        """
        if not len(events):
            return
        assert self._child.stdin is not None
        words = np.empty((len(events), 2), "<i8")
        words[:, 0] = events.t_us
        words[:, 1] = events.x | (events.y.astype(np.int64) << 16) | ((events.p != 0).astype(np.int64) << 32)
        try:
            self._child.stdin.write(len(words).to_bytes(8, "little"))
            self._child.stdin.write(words.tobytes())
            self._child.stdin.flush()
        except BrokenPipeError:
            self.close()
            raise

    def close(self) -> None:
        """Finish the file.

        Raises
        ------
        OSError
            The file cannot be written.
        """
        if self._child.returncode is not None:
            return
        _, said = self._child.communicate()
        if self._child.returncode:
            reason = re.search(rb"error: '([^']+)'", said)
            raise OSError(reason[1].decode() if reason else f"dv-processing ended with status {self._child.returncode}")


class Aedat4PlainWriter(Aedat4Writer):
    """Writes an AEDAT 4 file without compression."""

    def __init__(self, path: Path, sensor: EventFormat, first_us: int) -> None:
        super().__init__(path, sensor, first_us, "none")


class Aedat4ZstdWriter(Aedat4Writer):
    """Writes an AEDAT 4 file compressed with Zstandard."""

    def __init__(self, path: Path, sensor: EventFormat, first_us: int) -> None:
        super().__init__(path, sensor, first_us, "zstd")
