"""Open a recording: find out what a file or folder is, and hand it to the module that reads it."""

from __future__ import annotations

from pathlib import Path

from pipeline.errors import BitspikeError
from sensors.ephys import find_reader, read_ephys
from sensors.folder import INFO, SAMPLES, is_folder, read_folder
from sensors.source import Recording, Source, refuse_archive, require_stored
from sensors.stated import Stated

__all__ = ["Recording", "Source", "open_recording"]

RAW = (".raw", ".bin", ".dat")
OWN = (*RAW, ".npy", ".wav", ".mat")


def open_recording(
    path: str | Path,
    rate_hz: float | None = None,
    channels: int | None = None,
    dtype: str | None = None,
    *,
    offset: int | None = None,
    skip_bytes: int | None = None,
    uv_per_count: float | None = None,
    bits: int | None = None,
    unit: str | None = None,
    stream: str | None = None,
    segment: int | None = None,
    reader: str | None = None,
) -> Recording:
    """Open a recording of any format that is known.

    Read without further packages: raw interleaved samples (``.raw``, ``.bin``, ``.dat``), ``.npy``, WAV (with 10-bit codes
    stretched over 16 bits given back), wave_clus benchmark files (``.mat``), and bitspike's own folders. Through the ``ephys``
    extra: Open Ephys, Intan, SpikeGLX, Blackrock, Neuralynx, NWB, and everything else that SpikeInterface reads.

    Parameters
    ----------
    path : str or pathlib.Path
        File or folder.
    rate_hz, channels, dtype : float, int, str, optional
        For files that do not say it: frames per second, interleaved channels, NumPy type of the samples (int16 unless stated).
        What contradicts the file is refused.
    offset : int, optional
        Counts to subtract from stored integers.
    skip_bytes : int, optional
        Header of a raw file.
    uv_per_count : float, optional
        Microvolts of one count.
    bits : int, optional
        Significant bits of the samples.
    unit : str, optional
        "V", "mV" or "uV": what stored floats are in; "mV" unless stated.
    stream, segment : str, int, optional
        Which part of a file that holds several.
    reader : str, optional
        Name of the SpikeInterface extractor to use, instead of finding it out.

    Returns
    -------
    Recording
        Nothing but headers has been read, except of floats and of integers that might not fit, which are read once and checked.

    Raises
    ------
    BitspikeError
        One line that names the file, what is wrong with it and the cure.
    MissingExtraError
        The format needs the ``ephys`` extra.
    """
    path = Path(path)
    stated = Stated(
        rate_hz=rate_hz,
        channels=channels,
        dtype=dtype,
        offset=offset,
        skip_bytes=skip_bytes,
        uv_per_count=uv_per_count,
        bits=bits,
        unit=unit,
        stream=stream,
        segment=segment,
        reader=reader,
    )
    if not path.exists():
        raise BitspikeError(f"{path}: no such file or folder")
    require_stored(path)
    try:
        return _open(path, stated)
    except OSError as error:
        raise BitspikeError(f"{path}: cannot be read: {error.strerror or error}") from error


def _open(path: Path, stated: Stated) -> Recording:
    suffix = path.suffix.lower()
    if stated.reader is None:
        folder = _own_folder(path)
        if folder is not None:
            return read_folder(folder, stated)
        if path.is_file() and path.stat().st_size == 0:
            raise BitspikeError(f"{path}: is empty: 0 bytes")
        if suffix == ".npy":
            from sensors.npy import read_npy

            return read_npy(path, stated)
        if suffix in (".wav", ".wave"):
            from sensors.wav import read_wav

            return read_wav(path, stated)
        if suffix == ".mat":
            from sensors.waveclus import read_waveclus

            return read_waveclus(path, stated)
        if suffix in RAW and path.is_file() and find_reader(path) is None:
            from sensors.raw import read_raw

            return read_raw(path, stated)
        if find_reader(path) is None:
            raise _unknown(path)
    return read_ephys(path, stated)


def may_hold_truth(path: Path) -> bool:
    """Tell whether a file or folder is of a format that comes with true spikes: bitspike's own folders, and wave_clus files."""
    return _own_folder(path) is not None or path.suffix.lower() == ".mat"


def _own_folder(path: Path) -> Path | None:
    """Return the folder of bitspike's own that a path is, or is a file of."""
    folder = path.parent if path.name in (SAMPLES, INFO) else path
    return folder if is_folder(folder) else None


def _unknown(path: Path) -> BitspikeError:
    if path.is_file():
        refuse_archive(path)
        return BitspikeError(f"{path}: unknown format; name raw samples {', '.join(RAW)}; reader= takes a SpikeInterface extractor")
    inside = sorted(p for p in path.iterdir() if find_reader(p) is not None or is_folder(p) or p.suffix.lower() in OWN)
    if inside:
        more = f" and {len(inside) - 3} more" if len(inside) > 3 else ""
        return BitspikeError(
            f"{path}: a folder without a recording of its own; open one of {', '.join(p.name for p in inside[:3])}{more}"
        )
    return BitspikeError(f"{path}: a folder without a recording")
