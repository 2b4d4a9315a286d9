"""A run's folder while it grows: begun anew or continued, saved now and then, and put in its place when it is complete.

A run that shall end in ``out/x`` grows in ``out/x.partial``. After an error what was begun is removed, and what was continued
is left as it was; after an interrupt it stays, to be resumed.
"""

from __future__ import annotations

import hashlib
import json
import shutil
import tempfile
import zipfile
from collections.abc import Callable, Iterator
from contextlib import contextmanager, suppress
from pathlib import Path
from typing import Any, Generic, Protocol, TypeVar

import numpy as np

from bitspike.columns import Columns
from bitspike.runs import MANIFEST, is_run, partial
from bitspike.writing import folder_for, make_folder
from pipeline.chain import Chain
from pipeline.errors import BitspikeError
from pipeline.manifest import Manifest, describe_chain, parse_manifest
from sensors.recording import Recording

CHECKPOINT = "checkpoint.npz"
HEAD_SAMPLES = 1 << 19  # of a recording, by which a resumed run knows it again


class Keeps(Protocol):
    """Takes every block's outputs and writes what the run keeps."""

    def take(self, outputs: Any, /) -> None:
        """Keep what is to be kept of one block's outputs."""
        ...

    def checkpoint(self) -> tuple[dict[str, Any], dict[str, np.ndarray]]:
        """Write everything; return what follows depends on: plain values and arrays."""
        ...


K = TypeVar("K", bound=Keeps)


class Session(Generic[K]):
    """The growing folder of one run, and what continues it.

    As a context it guards the folder against what may happen while the run goes on.

    Parameters
    ----------
    described : dict of str to Any
        What is replayed, as the manifest has it.
    chain : Chain
        At its start; where a run is resumed it is restored.
    target : pathlib.Path
        Where the finished run shall be.
    start, stop : int
        Frames of the recording to replay, or microseconds.
    resume : bool
        Continue an interrupted run if there is one.
    keep : callable
        Makes what keeps the outputs, of the folder's columns (``columns``) and what its `checkpoint` returned (``state``), or None.

    Attributes
    ----------
    keeper : Keeps
        What `keep` made.
    position : int
        The next frame to process.
    lost : int
        Frames missing so far in gaps of the recording.
    resumed : int
        How often the run was resumed.
    """

    def __init__(
        self,
        described: dict[str, Any],
        chain: Chain,
        target: Path,
        start: int,
        stop: int,
        resume: bool,
        keep: Callable[..., K],
    ) -> None:
        self.chain, self.target, self.start, self.stop = chain, target.absolute(), start, stop
        self.position, self.lost, self.resumed = start, 0, 0
        self.folder = partial(self.target)
        self.manifest = Manifest(recording=described, chain=describe_chain(chain))
        refuse_other(self.target, self.folder)
        self._new = not (resume and (self.folder / CHECKPOINT).is_file())
        self._parent_new = not self.target.parent.exists()
        try:
            self._open(keep)
        except BaseException as error:
            self._abandon(type(error))
            raise

    def _open(self, keep: Callable[..., K]) -> None:
        plain: dict[str, Any] = {}
        arrays: dict[str, np.ndarray] = {}
        if self._new:
            if self.folder.exists():
                shutil.rmtree(self.folder)
            make_folder(self.folder, self.target)
            (self.folder / MANIFEST).write_text(self.manifest.to_json(), encoding="utf-8")
        else:
            plain, arrays = self._interrupted()
            self.chain.restore(arrays.pop("chain").tobytes())
            self.position, self.lost, self.resumed = plain["position"], plain["lost"], plain["resumed"] + 1
        self.columns = Columns(self.folder, plain.get("columns"))
        self.keeper = keep(columns=self.columns, state=(plain["keeper"], arrays) if plain else None)

    def _interrupted(self) -> tuple[dict[str, Any], dict[str, np.ndarray]]:
        """Return what the checkpoint holds, or refuse that of another run."""
        before = parse_manifest((self.folder / MANIFEST).read_text(encoding="utf-8"), str(self.folder / MANIFEST))
        if before.identity != self.manifest.identity:
            raise BitspikeError(f"{self.folder}: is of another recording, stretch or chain; leave out --resume to start anew")
        try:
            with np.load(self.folder / CHECKPOINT, allow_pickle=False) as stored:
                arrays = {name: stored[name] for name in stored.files}
            return json.loads(arrays.pop("plain").tobytes()), arrays
        except (OSError, ValueError, KeyError, zipfile.BadZipFile) as error:
            raise BitspikeError(f"{self.folder / CHECKPOINT}: damaged ({error}); leave out --resume to start anew") from None

    def __enter__(self) -> Session[K]:
        return self

    def __exit__(self, kind: type[BaseException] | None, *rest: Any) -> None:
        if kind is not None:
            self._abandon(kind)

    def _abandon(self, kind: type[BaseException]) -> None:
        if hasattr(self, "columns"):
            with suppress(OSError):  # of a full disk, most likely: the error on its way says so
                self.columns.close()
        if self._new and not issubclass(kind, KeyboardInterrupt):
            shutil.rmtree(self.folder, ignore_errors=True)
            if self._parent_new:
                with suppress(OSError):
                    self.target.parent.rmdir()

    def checkpoint(self) -> None:
        """Save what it takes to continue from `position`."""
        kept, arrays = self.keeper.checkpoint()
        plain = {"position": self.position, "lost": self.lost, "resumed": self.resumed, "keeper": kept}
        plain["columns"] = self.columns.state()
        held = {
            "plain": np.frombuffer(json.dumps(plain).encode(), np.uint8),
            "chain": np.frombuffer(self.chain.checkpoint(), np.uint8),
        }
        new = self.folder / "checkpoint.new.npz"
        with new.open("wb") as file:
            np.savez(file, allow_pickle=False, **held, **arrays)
        new.replace(self.folder / CHECKPOINT)

    def publish(self, manifest: Manifest) -> None:
        """Put the complete folder in its place, instead of an earlier run there."""
        (self.folder / MANIFEST).write_text(manifest.to_json(), encoding="utf-8")
        (self.folder / CHECKPOINT).unlink(missing_ok=True)
        put_in_place(self.folder, self.target)


def target_for(out: str | Path | None, recording: Path, name: str) -> Path:
    """Return the folder for a result: `out`, or ``out/<name>`` unless given.

    Raises
    ------
    BitspikeError
        None was given, and that folder has what came of another recording, whose file or folder is of the same name.
    """
    if out is not None:
        return Path(out)
    target = Path("out") / name
    for folder in (target, partial(target)):
        before = _recording_of(folder)
        if before is not None and before.resolve() != recording.resolve():
            raise BitspikeError(f"{folder}: has the result of {before}, and this is {recording}; choose another folder with --out")
    return target


def _recording_of(folder: Path) -> Path | None:
    """Return the path of the recording that a run is of; None where there is no run, or none that can be read."""
    try:
        manifest = parse_manifest((folder / MANIFEST).read_text(encoding="utf-8"), str(folder))
    except (OSError, UnicodeDecodeError, BitspikeError):
        return None
    return Path(manifest.recording["path"])


@contextmanager
def new_folder(target: Path) -> Iterator[Path]:
    """Give a folder to write to that takes the place of `target` when all went well, and is removed when not."""
    target = target.absolute()
    folder = partial(target)
    refuse_other(target, folder)
    shutil.rmtree(folder, ignore_errors=True)
    with folder_for(target.parent):
        try:
            make_folder(folder, target)
            yield folder
            put_in_place(folder, target)
        finally:
            shutil.rmtree(folder, ignore_errors=True)


def put_in_place(folder: Path, target: Path) -> None:
    """Rename a complete folder to `target`, instead of an earlier run there."""
    with tempfile.TemporaryDirectory(prefix=f".{target.name}.", dir=target.parent) as aside:
        if target.exists():
            target.rename(Path(aside) / target.name)
        folder.rename(target)


def refuse_other(target: Path, growing: Path) -> None:
    """Refuse to replace anything but a run."""
    if not target.name:
        raise BitspikeError(f"{target}: is no folder to write to; choose another --out")
    for folder in (target, growing):
        used = folder.exists() and not (folder.is_dir() and (is_run(folder) or not any(folder.iterdir())))
        if used:
            raise BitspikeError(f"{folder}: is there already and is not the result of a replay; choose another --out, or remove it")


def describe_recording(recording: Recording, start: int, stop: int) -> dict[str, Any]:
    """Return a recording as the manifest has it; `head` tells whether it is the same without reading all of it."""
    signal = recording.format
    head = min(recording.frames, max(1, HEAD_SAMPLES // signal.channels))
    return {
        "path": str(recording.path),
        "format": recording.source_format,
        "rate_hz": signal.rate_hz,
        "channels": signal.channels,
        "uv_per_count": signal.uv_per_count,
        "bits": signal.bits,
        "positions_um": signal.positions_um,
        "groups": signal.groups,
        "frames": recording.frames,
        "start": start,
        "stop": stop,
        "head": {"frames": head, "sha256": hashlib.sha256(recording.read(0, head).tobytes()).hexdigest()},
    }
