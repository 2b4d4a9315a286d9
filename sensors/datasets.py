"""Fetch public recordings into a cache: checked, resumable, from the net or from a local copy."""

from __future__ import annotations

import hashlib
import json
import os
import shutil
import zipfile
from collections.abc import Callable
from pathlib import Path

from pipeline.errors import BitspikeError
from sensors.catalogue import DATASETS, Dataset, DatasetFile
from sensors.download import check_copy, download

__all__ = ["Dataset", "DatasetFile", "cache_folder", "catalogue", "fetch", "fetch_dataset", "is_fetched"]

MANIFEST = "fetched.json"


def catalogue() -> tuple[Dataset, ...]:
    """Return the data sets that can be fetched."""
    return DATASETS


def cache_folder() -> Path:
    """Return the folder that data sets are fetched into: ``BITSPIKE_CACHE``, or ``bitspike`` in the user's cache folder."""
    given = os.environ.get("BITSPIKE_CACHE")
    if given:
        return Path(given)
    base = os.environ.get("XDG_CACHE_HOME")
    return (Path(base) if base else Path.home() / ".cache") / "bitspike"


def fetch(
    name: str,
    cache: str | Path | None = None,
    source: str | Path | None = None,
    progress: Callable[[int, int], None] | None = None,
) -> Path:
    """Fetch a data set of the catalogue by name; see `fetch_dataset`.

    Raises
    ------
    BitspikeError
        There is no such data set, or as `fetch_dataset`.
    """
    found = {dataset.name: dataset for dataset in catalogue()}
    if name not in found:
        raise BitspikeError(f"data set: {name!r}; choose one of {', '.join(found)}")
    return fetch_dataset(found[name], cache, source, progress)


def fetch_dataset(
    dataset: Dataset,
    cache: str | Path | None = None,
    source: str | Path | None = None,
    progress: Callable[[int, int], None] | None = None,
) -> Path:
    """Fetch a data set, unless it is there already.

    Everything is downloaded and unpacked under ``<name>.part`` in the cache, which is renamed when all is complete and checked;
    what a broken attempt left there is used by the next.

    Parameters
    ----------
    dataset : Dataset
        What to fetch.
    cache : str or pathlib.Path, optional
        Folder to fetch into; `cache_folder` by default.
    source : str or pathlib.Path, optional
        A local copy to take instead of the net: a folder that holds the files by their names, or the one file.
    progress : callable, optional
        Called with the bytes there so far and the bytes there will be.

    Returns
    -------
    pathlib.Path
        The folder that holds the files, unpacked.

    Raises
    ------
    BitspikeError
        Something cannot be reached, read or written, or is not what the catalogue says.
    """
    folder = (Path(cache) if cache is not None else cache_folder()) / dataset.name
    if is_fetched(dataset, cache):
        return folder
    part = folder.with_name(folder.name + ".part")
    try:
        part.mkdir(parents=True, exist_ok=True)
        done = 0
        for file in dataset.files:
            _bring(file, part, source, _shifted(progress, done, dataset.size))
            done += file.size
            if progress is not None:
                progress(done, dataset.size)
        for file in dataset.files:
            if file.name.endswith(".zip"):
                _unpack(part / file.name, part)
        _write_manifest(dataset, part)
        if folder.exists():
            shutil.rmtree(folder)
        part.rename(folder)
    except OSError as error:
        raise BitspikeError(f"{folder}: cannot be written: {error.strerror or error}") from error
    return folder


def is_fetched(dataset: Dataset, cache: str | Path | None = None) -> bool:
    """Tell whether a data set is in the cache, complete: every file has the size it had when it was checked."""
    folder = (Path(cache) if cache is not None else cache_folder()) / dataset.name
    try:
        manifest = json.loads((folder / MANIFEST).read_text(encoding="utf-8"))
        return manifest["origin"] == _origin(dataset) and all(
            (folder / name).stat().st_size == entry["size"] for name, entry in manifest["files"].items()
        )
    except (OSError, ValueError, KeyError, TypeError):
        return False


def _origin(dataset: Dataset) -> list[str]:
    return [f"{file.algorithm}:{file.digest}" for file in dataset.files]


def _bring(file: DatasetFile, part: Path, source: str | Path | None, progress: Callable[[int], None] | None) -> None:
    target = part / file.name
    if target.is_file():  # complete and checked before an earlier attempt ended
        try:
            check_copy(file, target)
        except BitspikeError:
            target.unlink()
        else:
            return
    if source is None:
        download(file, target, progress)
        return
    copy = Path(source)
    if copy.is_dir():
        copy = copy / file.name
    check_copy(file, copy)
    shutil.copyfile(copy, target)


def _shifted(progress: Callable[[int, int], None] | None, done: int, total: int) -> Callable[[int], None] | None:
    return None if progress is None else lambda here: progress(done + here, total)


def _unpack(archive: Path, folder: Path) -> None:
    """Unpack and delete an archive; no member may lead out of the folder."""
    try:
        with zipfile.ZipFile(archive) as packed:
            for member in packed.namelist():
                if not (folder / member).resolve().is_relative_to(folder.resolve()):
                    raise BitspikeError(f"{archive}: member {member!r} leads out of the folder; it was not unpacked")
            packed.extractall(folder)
    except zipfile.BadZipFile as error:
        raise BitspikeError(f"{archive}: not a readable archive ({error})") from error
    archive.unlink()


def _write_manifest(dataset: Dataset, folder: Path) -> None:
    files = {}
    for path in sorted(p for p in folder.rglob("*") if p.is_file() and p.name != MANIFEST):
        with path.open("rb") as content:
            digest = hashlib.file_digest(content, "sha256").hexdigest()
        files[path.relative_to(folder).as_posix()] = {"size": path.stat().st_size, "sha256": digest}
    manifest = {"name": dataset.name, "doi": dataset.doi, "licence": dataset.licence, "origin": _origin(dataset), "files": files}
    (folder / MANIFEST).write_text(json.dumps(manifest, indent=1) + "\n", encoding="utf-8")
