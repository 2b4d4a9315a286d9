"""Training: what a chain learns from a recording, kept in a folder that `replay` takes as ``trained``."""

from __future__ import annotations

import time
from collections.abc import Callable
from pathlib import Path

from bitspike.finishing import write_tables
from bitspike.learning import fit, learners
from bitspike.runs import MANIFEST, Run
from bitspike.session import describe_recording, new_folder, target_for
from bitspike.stretch import stretch
from bitspike.writing import writing
from pipeline.chain import ChainPlan, read_chain
from pipeline.manifest import Manifest, describe_chain
from sensors.recording import Recording, open_recording


def train(
    recording: str | Path | Recording,
    chain: str | Path | ChainPlan = "probe",
    out: str | Path | None = None,
    *,
    start_s: float = 0.0,
    stop_s: float | None = None,
    progress: Callable[[float, float], None] | None = None,
) -> Run:
    """Let every stage of a chain that can learn do so.

    Parameters
    ----------
    recording : str, pathlib.Path or Recording
        What to learn from.
    chain : str, pathlib.Path or ChainPlan
        Name of a packaged chain, a TOML file, or a chain that was read.
    out : str or pathlib.Path, optional
        Folder for the result; ``out/<recording>-<chain>-trained`` unless given.
    start_s, stop_s : float, optional
        Stretch of the recording in seconds; all of it unless given.
    progress : callable, optional
        Called with the seconds done and in all, for each stage that learns.

    Returns
    -------
    Run
        A folder with the manifest and the tables, without spikes.

    Raises
    ------
    BitspikeError
        The recording or the chain is bad, no stage learns, or there was too little to learn from; nothing is left behind.
    """
    if not isinstance(recording, Recording):
        recording = open_recording(recording)
    plan = chain if isinstance(chain, ChainPlan) else read_chain(chain)
    start, stop = stretch(recording, start_s, stop_s)
    target = target_for(out, recording.path, f"{recording.name}-{plan.name}-trained")
    with writing(target), new_folder(target) as folder:
        began = time.perf_counter()
        built = plan.build(recording.format, fit(plan, recording, start, stop, progress))
        manifest = Manifest(recording=describe_recording(recording, start, stop), chain=describe_chain(built))
        manifest.recording["sha256"] = recording.checksum()
        manifest.run.update(learned=learners(plan))
        manifest.timings.update(learning_s=time.perf_counter() - began)
        write_tables(built, folder)
        (folder / MANIFEST).write_text(manifest.to_json(), encoding="utf-8")
    return Run(target)
