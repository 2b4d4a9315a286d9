"""bitspike's own recordings: a folder of ``recording.raw``, ``info.json`` and, where it is known, ``truth.npz``.

``info.json`` says ``"format": "bitspike recording"`` and ``"version": 1``, the facts that `sensors.stated` knows (rate, channels,
dtype, microvolts per count, bits, sites, groups), the number of frames, and whatever the writer adds.
"""

from __future__ import annotations

import json
import shutil
from collections.abc import Callable, Iterable
from pathlib import Path
from typing import Any

import numpy as np

from pipeline.blocks import SampleFormat
from pipeline.errors import BitspikeError
from sensors.raw import read_raw
from sensors.source import Recording
from sensors.stated import Stated
from sensors.truth import Truth, read_truth

FORMAT, VERSION = "bitspike recording", 1
SAMPLES, INFO, TRUTH = "recording.raw", "info.json", "truth.npz"


def is_folder(path: Path) -> bool:
    """Tell whether `path` is a folder that `write_folder` wrote."""
    return path.is_dir() and (path / SAMPLES).is_file() and (path / INFO).is_file()


def read_folder(path: Path, stated: Stated) -> Recording:
    """Open a folder that `write_folder` wrote.

    Raises
    ------
    BitspikeError
        It is of a later version, damaged, or shorter than its ``info.json`` says.
    """
    info = read_info(path)
    truth = read_truth(path / TRUTH) if (path / TRUTH).is_file() else None
    inner = read_raw(path / SAMPLES, stated, truth)
    if info.get("frames", inner.frames) != inner.frames:
        raise BitspikeError(
            f"{path / SAMPLES}: is truncated, or shape is wrong: {inner.frames} frames, and {INFO} says {info['frames']}"
        )
    if truth is not None and len(truth) and not 0 <= truth.sample[0] <= truth.sample[-1] < inner.frames:
        raise BitspikeError(f"{path / TRUTH}: sample goes beyond the recording's {inner.frames} frames")
    if truth is not None and truth.units and truth.peak_channel.max() >= inner.format.channels:
        raise BitspikeError(f"{path / TRUTH}: peak_channel goes beyond the recording's {inner.format.channels} channels")
    return Recording(path, "bitspike", inner.format, inner.frames, inner.read, [p for p in _files(path) if p.is_file()], truth)


def read_info(path: Path) -> dict[str, Any]:
    """Return the ``info.json`` of a folder, checked to be bitspike's."""
    try:
        info = json.loads((path / INFO).read_text(encoding="utf-8"))
    except (OSError, ValueError) as error:
        raise BitspikeError(f"{path / INFO}: not readable as JSON ({error}); mend it") from error
    if not isinstance(info, dict) or info.get("format") != FORMAT:
        raise BitspikeError(f'{path / INFO}: does not say "format": "{FORMAT}"; open {SAMPLES} itself instead')
    if info.get("version") != VERSION:
        raise BitspikeError(f"{path / INFO}: version {info.get('version')!r}, and this bitspike reads version {VERSION}")
    return info


def write_folder(
    path: Path,
    signal: SampleFormat,
    chunks: Iterable[np.ndarray],
    truth: Truth | None = None,
    about: dict[str, Any] | None = None,
    overwrite: bool = False,
    progress: Callable[[int], None] | None = None,
) -> Path:
    """Write a recording chunk by chunk, under a temporary name that becomes `path` when all is done.

    Parameters
    ----------
    path : pathlib.Path
        The folder to make.
    signal : SampleFormat
        What the samples mean.
    chunks : iterable of numpy.ndarray
        int16 [n, channels] each.
    truth : Truth, optional
        True spikes.
    about : dict, optional
        What else ``info.json`` is to say; JSON values.
    overwrite : bool
        Replace an earlier folder of bitspike's.
    progress : callable, optional
        Called with the number of frames written so far.

    Raises
    ------
    BitspikeError
        `path` is in the way, or cannot be written (disk full, no permission); nothing is left behind.
    """
    if path.exists() and not (overwrite and is_folder(path)):
        cure = "choose another name, or overwrite it" if is_folder(path) else "choose another name"
        raise BitspikeError(f"{path}: exists already: {cure}")
    part = path.with_name(path.name + ".part")
    try:
        shutil.rmtree(part, ignore_errors=True)
        part.mkdir(parents=True)
        frames = 0
        with (part / SAMPLES).open("wb") as file:
            for chunk in chunks:
                file.write(np.ascontiguousarray(chunk, "<i2").data)
                frames += len(chunk)
                if progress is not None:
                    progress(frames)
        if truth is not None:
            truth.write(part / TRUTH)
        info = {**_facts(signal, frames), **(about or {})}
        (part / INFO).write_text(json.dumps(info, indent=1) + "\n", encoding="utf-8")
        if path.exists():
            shutil.rmtree(path)
        part.rename(path)
    except OSError as error:
        raise BitspikeError(f"{path}: cannot be written: {error.strerror or error}") from error
    finally:
        shutil.rmtree(part, ignore_errors=True)
    return path


def _facts(signal: SampleFormat, frames: int) -> dict[str, Any]:
    return {
        "format": FORMAT,
        "version": VERSION,
        "rate_hz": signal.rate_hz,
        "frames": frames,
        "shape": [-1, signal.channels],
        "dtype": "int16",
        "uv_per_count": signal.uv_per_count or None,
        "bits": signal.bits,
        "positions_um": [list(site) for site in signal.positions_um] or None,
        "groups": list(signal.groups) or None,
    }


def _files(path: Path) -> list[Path]:
    return [path / INFO, path / SAMPLES, path / TRUTH]
