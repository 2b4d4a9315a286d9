"""Writes one AEDAT 4 file in a process of its own, as dv-processing ends the process in which it cannot write.

`sensors.events.aedat4_writing` starts it by its path: it needs nothing of the project. Arguments: the file, width, height,
compression, name of the camera. Standard input, for every packet: the number of events in 8 bytes, then the events as the file has
them, of 16 bytes (see `sensors.events.aedat4`).
"""

from __future__ import annotations

import sys
from contextlib import suppress

import dv_processing as dv
import numpy as np


def main(path: str, width: str, height: str, compression: str, camera: str) -> None:
    """Write packets until there are no more; the file is finished when the library's writer is gone."""
    with suppress(ImportError):  # where there is no such module, there are no core dumps either
        import resource

        resource.setrlimit(resource.RLIMIT_CORE, (0, 0))
    config = dv.io.MonoCameraWriter.Config(camera)
    config.addEventStream((int(width), int(height)))
    config.compression = getattr(dv.CompressionType, compression.upper())
    writer = dv.io.MonoCameraWriter(path, config)
    while head := sys.stdin.buffer.read(8):
        size = 16 * int.from_bytes(head, "little")
        raw = sys.stdin.buffer.read(size)
        if len(raw) < size:  # who sends was stopped, and removes the file
            return
        t, rest = np.frombuffer(raw, "<i8").reshape(-1, 2).T
        store = dv.EventStore()
        columns = (t.tolist(), (rest & 0xFFFF).tolist(), ((rest >> 16) & 0xFFFF).tolist(), (rest >> 32 != 0).tolist())
        for event in zip(*columns, strict=True):
            store.push_back(*event)
        writer.writeEvents(store)


if __name__ == "__main__":
    main(*sys.argv[1:])
