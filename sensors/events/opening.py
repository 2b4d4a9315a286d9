"""Open an event recording: find out what a file is, and hand it to the module that reads it."""

from __future__ import annotations

from importlib import import_module
from pathlib import Path

from pipeline.errors import BitspikeError, MissingExtraError
from sensors.events.prophesee import read_header
from sensors.events.source import EventRecording
from sensors.events.stated import EventFacts
from sensors.source import refuse_archive, require_stored

FORMATS = {  # name to the module and function that reads it
    "evt2": "raw:read_raw_events",
    "evt21": "raw:read_raw_events",
    "evt3": "raw:read_raw_events",
    "dat": "dat:read_dat",
    "dat1": "dat:read_dat",
    "aedat2": "aedat2:read_aedat2",
    "aedat4": "aedat4:read_aedat4",
    "es": "es:read_es",
    "nmnist": "nmnist:read_nmnist",
    "npy": "npy:read_npy_events",
    "csv": "csv:read_csv",
    "hdf5": "hdf5:read_hdf5",
}
MAGIC = (
    (b"#!AER-DAT2", "aedat2"),
    (b"#!AER-DAT4", "aedat4"),
    (b"Event Stream", "es"),
    (b"\x93NUMPY", "npy"),
    (b"\x89HDF\r\n\x1a\n", "hdf5"),
)
SUFFIXES = {
    ".csv": "csv",
    ".txt": "csv",
    ".bin": "nmnist",
    ".bs2": "nmnist",
    ".es": "es",
    ".aedat": "aedat2",
    ".aedat4": "aedat4",
}


def open_events(
    path: str | Path,
    width: int | None = None,
    height: int | None = None,
    *,
    pitch_um: float | None = None,
    format: str | None = None,
) -> EventRecording:
    """Open an event recording of any format that is known.

    Read without further packages: Prophesee RAW (EVT2, EVT2.1, EVT3) and DAT, AEDAT2, Event Stream, N-MNIST, ``.npy``, CSV. Through
    the ``events`` extra: AEDAT4 and HDF5.

    Parameters
    ----------
    path : str or pathlib.Path
        The file.
    width, height : int, optional
        Pixels of the sensor, for files that do not say it. What contradicts the file is refused.
    pitch_um : float, optional
        Distance of neighbouring pixels on the sensor, micrometres.
    format : str, optional
        Name of the format, where neither content nor name of the file tell.

    Returns
    -------
    EventRecording
        Nothing but the header has been read, except where the size of the sensor has to be found from the events.

    Raises
    ------
    BitspikeError
        One line that names the file, what is wrong with it and the cure.
    MissingExtraError
        The format needs the ``events`` extra.
    """
    path = Path(path)
    facts = EventFacts(width, height, pitch_um, format)
    if not path.exists():
        raise BitspikeError(f"{path}: no such file")
    if path.is_dir():
        raise BitspikeError(f"{path}: a folder; an event recording is one file")
    require_stored(path)
    try:
        if path.stat().st_size == 0:
            raise BitspikeError(f"{path}: is empty: 0 bytes")
        kind = event_format(path) if format is None else format
        if kind is None:
            refuse_archive(path)
            raise BitspikeError(
                f"{path}: no known event format; give format= (--format), one of {', '.join(FORMATS)}; RAW and DAT begin with "
                "lines of text after %: RAW without these needs --width and --height too"
            )
        if kind not in FORMATS:
            raise BitspikeError(f"{path}: format: {kind!r}; choose one of {', '.join(FORMATS)}")
        module, function = FORMATS[kind].split(":")
        opened: EventRecording = getattr(import_module(f"sensors.events.{module}"), function)(path, facts)
        return opened
    except OSError as error:
        raise BitspikeError(f"{path}: cannot be read: {error.strerror or error}") from error
    except MissingExtraError:
        raise
    except BitspikeError as error:
        raise error if str(error).startswith(str(path)) else BitspikeError(f"{path}: {error}") from None


def event_format(path: Path) -> str | None:
    """Return the name of a file's event format, by its first bytes or else by its name; None where it is none that is known."""
    with path.open("rb") as file:
        start = file.read(64)
    if start.startswith(b"% "):
        header = read_header(path)
        if header.is_dat:
            return "dat"
        return {"2": "evt2", "2.1": "evt21", "3": "evt3"}.get(header.version, "evt3")
    if start.startswith(b"#!AER-DAT"):
        version = start[9:10].decode("latin-1")
        if version not in ("2", "4"):
            raise BitspikeError(f"{path}: AEDAT {version} is not read; convert it to AEDAT 4")
    for magic, name in MAGIC:
        if start.startswith(magic):
            return name
    return SUFFIXES.get(path.suffix.lower())


def is_events(path: Path) -> bool:
    """Tell whether a file is an event recording; flat files of five-byte events, which have no header, are told by their times."""
    if not path.is_file():
        return False
    kind = event_format(path)
    if kind == "npy":
        from sensors.events.npy import is_npy_events

        return is_npy_events(path)
    if kind == "hdf5":
        from sensors.events.hdf5 import is_hdf5_events

        return is_hdf5_events(path)
    if kind == "nmnist":
        from sensors.events.nmnist import is_nmnist

        return is_nmnist(path)
    return kind is not None
