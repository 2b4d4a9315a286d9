"""Every other electrode format, through SpikeInterface and neo (the ``ephys`` extra).

The suffix of a file, or what a folder holds, decides which extractor reads it. Where a file has several streams, the one with the
most samples per second is the electrodes' (auxiliary, clock and field-potential streams have fewer); ``stream`` chooses another.
Signed 16-bit samples stay as they are, unsigned ones lose half of their range, and all else becomes counts of 1 uV, or of
``uv_per_count``; a constant offset in microvolts is left out, as no later stage looks at it.
"""

from __future__ import annotations

import struct
import warnings
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np

from pipeline.errors import BitspikeError, MissingExtraError
from sensors.convert import Conversion, check_floats, conversion_of
from sensors.openephys import require_whole
from sensors.source import Recording
from sensors.stated import Stated

FILES = {  # suffix: extractors, in the order in which they are tried
    ".rhd": ("intan",),
    ".rhs": ("intan",),
    **{f".ns{n}": ("blackrock",) for n in range(1, 7)},
    ".nwb": ("nwb",),
    ".edf": ("edf",),
    ".plx": ("plexon",),
    ".pl2": ("plexon2",),
    ".smr": ("ced", "spike2"),
    ".smrx": ("ced",),
    ".rec": ("spikegadgets",),
    ".xdat": ("neuronexus",),
    ".nex": ("neuroexplorer",),
    ".set": ("axona",),
    ".abf": ("axon",),
    ".brw": ("biocam",),
    ".nix": ("nix",),
}
HDF5 = (  # what the top of an .h5 file holds, a group or an attribute, and its extractor
    ("nwb_version", "nwb"),
    ("mapping", "maxwell"),
    ("wells", "maxwell"),
    ("Data", "mcsh5"),
    ("spiketrains", "mearec"),
    ("3BRecInfo", "biocam"),
    ("ExperimentSettings", "biocam"),
    ("block", "nix"),
)
FOLDERS = (  # a pattern that such a folder holds, and its extractor
    ("*.continuous", "openephyslegacy"),
    ("*.oebin", "openephysbinary"),
    ("experiment*/recording*/*.oebin", "openephysbinary"),
    ("Record Node*/experiment*/recording*/*.oebin", "openephysbinary"),
    ("*.meta", "spikeglx"),
    ("*_imec*/*.meta", "spikeglx"),
    ("*.ncs", "neuralynx"),
    ("*.tsq", "tdt"),
    ("*.mpx", "alphaomega"),
    ("*.mda", "mda"),
    ("binary.json", "binaryfolder"),
    ("properties/*.npy", "binaryfolder"),
    (".zattrs", "zarr"),
)
PARTS = (".continuous", ".oebin", ".meta", ".ncs", ".tsq", ".mpx", ".mda")  # files that stand for their folder
FOLDER_READERS = {reader for _, reader in FOLDERS}
NAMES = {
    "openephyslegacy": "open-ephys legacy",
    "openephysbinary": "open-ephys binary",
    "binaryfolder": "spikeinterface binary",
    "zarr": "spikeinterface zarr",
}
STUMBLES = (ArithmeticError, EOFError, LookupError, OSError, TypeError, ValueError, struct.error)  # over what they do not look at
MOST_GAINS = 4.0  # how far apart the gains of channels may be before a common one would cost more than two bits


@dataclass(frozen=True)
class _Traces:
    """One segment of a SpikeInterface recording, read as counts."""

    traces: Any
    segment: int
    conversion: Conversion
    reader: str

    def __call__(self, start: int, stop: int) -> np.ndarray:
        try:
            stored = self.traces.get_traces(segment_index=self.segment, start_frame=start, end_frame=stop)
        except Exception as error:  # SpikeInterface and neo raise whatever their formats' readers do
            raise _refusal(self.conversion.path, self.reader, error) from error
        return self.conversion(np.array(stored), start)


def find_reader(path: Path) -> tuple[Path, tuple[str, ...]] | None:
    """Return what to open and with which extractors, in the order in which to try them; None where nothing is known of it."""
    if path.is_file():
        suffix = path.suffix.lower()
        if suffix in (".bin", ".dat") and path.with_suffix(".meta").is_file():
            return path.parent, ("spikeglx",)
        if suffix in PARTS:
            return find_reader(path.parent)
        readers = _hdf5_readers(path) if suffix in (".h5", ".hdf5") else FILES.get(suffix)
        return None if readers is None else (path, readers)
    for pattern, reader in FOLDERS:
        if next(path.glob(pattern), None) is not None:
            return path, (reader,)
    return None


def _hdf5_readers(path: Path) -> tuple[str, ...] | None:
    try:
        import h5py
    except ImportError as error:
        raise MissingExtraError("HDF5 recordings", "ephys") from error
    try:
        with h5py.File(path) as file:
            top = {*file.keys(), *file.attrs.keys()}
    except OSError as error:
        raise BitspikeError(f"{path}: not a readable HDF5 file ({str(error).splitlines()[0]})") from error
    return next(((reader,) for mark, reader in HDF5 if mark in top), None)


def read_ephys(path: Path, stated: Stated) -> Recording:
    """Open a recording with SpikeInterface.

    Parameters
    ----------
    path : pathlib.Path
        File or folder; a file that is one of many stands for its folder.
    stated : Stated
        ``reader`` names the extractor, ``stream`` and ``segment`` choose among several.

    Raises
    ------
    BitspikeError
        The format is not known, the file damaged, or there are several streams or segments and nothing tells which is meant.
    MissingExtraError
        The ``ephys`` extra is not installed.
    """
    found = (path, (stated.reader,)) if stated.reader else find_reader(path)
    if found is None:
        raise BitspikeError(f"{path}: unknown format; name a SpikeInterface extractor with reader=, or convert it")
    opened, readers = found
    if readers == ("openephyslegacy",):
        require_whole(opened)
    table = _extractors(readers[0])
    part = path.name.removesuffix(path.suffix).split(".", 1)[-1] if readers == ("spikeglx",) and path.is_file() else None
    stream = stated.stream or part
    refusals = []
    for reader in readers:
        if reader not in table:
            raise BitspikeError(f"{path}: reader: SpikeInterface has no extractor {reader!r}; it has {', '.join(sorted(table))}")
        try:
            traces = _open(table[reader], reader, opened, stream)
        except BitspikeError:
            raise
        except Exception as error:  # see above
            refusals.append(_refusal(path, reader, error))
            continue
        return _recording(traces, reader, opened, stated)
    raise refusals[0]


def _extractors(reader: str) -> dict[str, Callable[..., Any]]:
    try:
        from spikeinterface.extractors.extractor_classes import recording_extractor_full_dict
    except ImportError as error:
        raise MissingExtraError(f"the format {NAMES.get(reader, reader)}", "ephys") from error
    return recording_extractor_full_dict  # type: ignore[no-any-return]


def _refusal(path: Path, reader: str, error: Exception) -> BitspikeError:
    """Return one line that says why an extractor gave up."""
    text = " ".join(str(error).split()) or type(error).__name__
    if isinstance(error, ImportError) or text.startswith("Requires "):
        package = getattr(error, "name", None) or text.removeprefix("Requires ")
        return BitspikeError(f"{path}: {NAMES.get(reader, reader)} needs the package {package}; install it")
    if isinstance(error, KeyError):
        text = f"its header lacks {text}"
    name, text = NAMES.get(reader, reader), text[:200]
    if "electrical_series_path" in text or "not found in the NWB file" in text:
        return BitspikeError(f"{path}: stream: give stream=, one of its electrical series ({text})")
    if isinstance(error, STUMBLES):
        return BitspikeError(
            f"{path}: truncated or damaged, or no {name} recording ({text}); copy it again, or name another extractor with reader="
        )
    return BitspikeError(f"{path}: not readable as {name}: {text}")


def _open(extractor: Callable[..., Any], reader: str, path: Path, stream: str | None) -> Any:
    options: dict[str, Any] = {"install_maxwell_plugin": False} if reader == "maxwell" else {}
    if reader == "nwb":
        options |= {} if stream is None else {"electrical_series_path": stream}
    elif stream is not None:
        options |= {"stream_name": stream}
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")
        if stream is None:
            names = _streams(reader, path)
            if len(names) > 1:
                return _busiest([(name, extractor(path, stream_name=name, **options)) for name in names], path)
        elif reader != "nwb" and (names := _streams(reader, path)) and stream not in names:
            raise BitspikeError(f"{path}: stream: {stream!r}; choose one of {', '.join(names)}")
        return extractor(path, **options)


def _streams(reader: str, path: Path) -> list[str]:
    """Return the names of a file's streams, empty where the extractor knows of none."""
    from spikeinterface.extractors import get_neo_streams
    from spikeinterface.extractors.extractor_classes import neo_recording_class_dict

    if reader not in neo_recording_class_dict or reader == "blackrock":  # a Blackrock file's suffix names its stream
        return []
    return [str(name) for name in get_neo_streams(reader, path)[0]]


def _busiest(streams: list[tuple[str, Any]], path: Path) -> Any:
    busy = sorted(((t.get_num_channels() * t.get_sampling_frequency(), name) for name, t in streams), reverse=True)
    if busy[0][0] == busy[1][0]:
        raise BitspikeError(f"{path}: has several streams; give stream=, one of {', '.join(name for name, _ in streams)}")
    return dict(streams)[busy[0][1]]


def _recording(traces: Any, reader: str, path: Path, stated: Stated) -> Recording:
    segments = traces.get_num_segments()
    if segments > 1 and stated.segment is None:
        raise BitspikeError(f"{path}: has {segments} segments with gaps between them; give segment=, 0 to {segments - 1}")
    segment = stated.segment or 0
    if segment >= segments:
        raise BitspikeError(f"{path}: segment: {segment}, and there are {segments}, counted from 0")
    stated = stated.with_facts(
        path,
        "its header",
        rate_hz=float(traces.get_sampling_frequency()),
        channels=int(traces.get_num_channels()),
        bits=_bits(traces, reader),
        **_geometry(traces),
    )
    conversion, stated = _conversion(traces, path, stated)
    frames = int(traces.get_num_frames(segment_index=segment))
    files = [path] if path.is_file() else sorted(p for p in path.rglob("*") if p.is_file())
    read = _Traces(traces, segment, conversion, reader)
    recording = Recording(path, NAMES.get(reader, reader), stated.signal(path), frames, read, files)
    if traces.get_dtype().kind == "f":
        return check_floats(recording, "stored")
    if not conversion.safe(traces.get_dtype()) and not (traces.get_dtype() == np.int16 and conversion.bits < 16):
        recording.verify()
    return recording


def _bits(traces: Any, reader: str) -> int | None:
    """Return the converter's bits where its header says them: SpikeGLX's ``imMaxInt`` or ``niMaxInt``."""
    if reader != "spikeglx":
        return None
    for info in traces.neo_reader.signals_info_list:
        if info["stream_name"] == traces.stream_name:
            most = info["meta"].get("imMaxInt", info["meta"].get("niMaxInt"))
            return None if most is None else int(most).bit_length()
    return None


def _geometry(traces: Any) -> dict[str, Any]:
    known: dict[str, Any] = {}
    if traces.has_probe():
        known["positions_um"] = tuple((float(x), float(y)) for x, y in traces.get_channel_locations()[:, :2])
    group = traces.get_property("group")
    if group is not None and len(np.unique(group)) > 1:
        known["groups"] = tuple(int(g) for g in np.unique(group, return_inverse=True)[1])
    return known


def _conversion(traces: Any, path: Path, stated: Stated) -> tuple[Conversion, Stated]:
    dtype, gains = traces.get_dtype(), traces.get_channel_gains()
    if gains is None or not np.all(np.isfinite(gains)) or np.any(gains == 0):
        return conversion_of(path, dtype, stated)
    gains = np.abs(np.asarray(gains, np.float64))
    offsets = traces.get_channel_offsets()
    offsets = np.zeros(len(gains)) if offsets is None else np.asarray(offsets, np.float64)
    equal = bool(np.all(np.abs(gains - gains[0]) <= 1e-6 * gains[0]))
    if dtype.kind in "iu" and dtype.itemsize <= 2 and equal:
        given = stated.with_facts(path, "its header", uv_per_count=round(float(gains[0]), 9))
        return conversion_of(path, dtype, given)
    bits = stated.bits or 16
    if stated.uv_per_count is not None:
        target = stated.uv_per_count
    elif dtype.kind in "iu" and dtype.itemsize <= 2:
        target = float(gains.max())
        if target > MOST_GAINS * gains.min():
            raise BitspikeError(f"{path}: channels have {gains.min():g} to {target:g} uV per count; give uv_per_count=")
    else:
        target = 1.0
    shift = -offsets / gains
    zero: float | np.ndarray = float(shift[0]) if np.all(shift == shift[0]) else shift
    if dtype.kind == "u" and not np.any(offsets):
        zero = float(1 << (8 * dtype.itemsize - 1))
    cure = f"choose a larger uv_per_count= than {target:g}"
    return Conversion(path, zero, gains / target, bits, cure), stated.with_facts(path, "the rule", uv_per_count=target)
